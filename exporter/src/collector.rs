//! What a collector is, and the table of all of them.
//!
//! A collector reads one corner of the machine and writes families. It is run by one thread at a time (see
//! [`crate::runner`]), so it may keep buffers and earlier values in `self`. What it fails at is its own alone.

use std::{io, path::PathBuf};

use proto::exposition::Exposition;

use crate::options::Options;
#[cfg(target_os = "linux")]
use crate::{Selection, host::Host, netlink::SharedLinks};

pub(crate) mod entry;
pub(crate) mod names;

#[cfg(any(target_os = "macos", test))]
mod darwin;
#[cfg(test)]
mod golden;
#[cfg(not(target_os = "linux"))]
mod halves;
mod textfile;
#[cfg(any(windows, test))]
mod windows;
#[cfg(unix)]
mod zone;

#[cfg(target_os = "macos")]
pub(crate) use self::darwin::table;
#[cfg(target_os = "linux")]
pub(crate) use self::linux::table;
#[cfg(feature = "testing")]
pub use self::textfile::parse_textfile;
#[cfg(windows)]
pub(crate) use self::windows::table;

/// One corner of the machine.
pub(crate) trait Collector: Send {
    /// Adds this corner's families to `out`. What was added before an error stays.
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error>;
}

/// What collectors are made from.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) options: &'a Options,
    #[cfg(target_os = "linux")]
    pub(crate) selection: &'a Selection,
    #[cfg(target_os = "linux")]
    pub(crate) host: &'a Host,
    #[cfg(target_os = "linux")]
    pub(crate) links: &'a SharedLinks,
}

/// Why a collector has nothing, or not everything, to say.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "who reads no files parses none"))]
pub(crate) enum Error {
    /// The machine lacks the hardware or the kernel lacks the feature; normal, and logged at debug level only.
    #[error("this machine has no {what}")]
    NoData { what: &'static str },
    /// A collector that this program accepts on its command line but does not have.
    #[error("this collector is not part of this program: remove --collector.{name}")]
    NotBuilt { name: &'static str },
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {what}", path.display())]
    Parse { path: PathBuf, what: &'static str },
    /// A system call other than reading a file.
    #[error("{call}")]
    System {
        call: &'static str,
        #[source]
        source: io::Error,
    },
}

#[cfg(target_os = "linux")]
impl Error {
    /// Turns "no such file" into [`Error::NoData`]: for the file whose absence means that the feature is absent.
    pub(crate) fn or_no_data(self, what: &'static str) -> Self {
        match &self {
            Self::Read { source, .. } if is_absent(source) => Self::NoData { what },
            _ => self,
        }
    }

    /// Whether the file, or the device behind it, is not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if is_absent(source))
    }
}

#[cfg(target_os = "linux")]
fn is_absent(err: &io::Error) -> bool {
    // ENODEV and ENXIO: the device went between listing and reading.
    err.kind() == io::ErrorKind::NotFound
        || err.kind() == io::ErrorKind::NotADirectory
        || [Some(libc::ENODEV), Some(libc::ENXIO)].contains(&err.raw_os_error())
}

/// Why a collector cannot be made: a flag of the user's is wrong.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    #[error("--{flag}")]
    Pattern {
        flag: &'static str,
        #[source]
        source: regexp::Error,
    },
    #[error("--{include} and --{exclude} exclude each other: give one")]
    Both { include: &'static str, exclude: &'static str },
    #[error("--{flag}: `{value}` {problem}")]
    Value { flag: &'static str, value: String, problem: &'static str },
}

/// What reads `/proc`, `/sys` and the like. Its files are those of the folder `collector` itself, being most of them.
#[cfg(target_os = "linux")]
#[path = "collector"]
mod linux {
    use super::{Collector, Error, OptionError, Setup, entry, textfile, zone};

    pub(crate) mod table;

    mod arp;
    mod attributes;
    mod bonding;
    mod btrfs;
    mod buddyinfo;
    mod cgroup_resources;
    mod cgroups;
    mod conntrack;
    mod cpu;
    mod cpu_vulnerabilities;
    mod cpufreq;
    mod diskstats;
    mod dmi;
    mod edac;
    mod fibrechannel;
    mod filesystem;
    mod hwmon;
    mod infiniband;
    mod interrupts;
    mod ipvs;
    mod ksmd;
    mod loadavg;
    mod mdadm;
    mod meminfo;
    mod netclass;
    mod netdev;
    mod netstat;
    mod numbers;
    mod nvme;
    mod os;
    mod own_runtime;
    mod powersupplyclass;
    mod pressure;
    mod process_groups;
    mod processes;
    mod rapl;
    mod rpc;
    mod schedstat;
    mod selinux;
    mod services;
    mod slabinfo;
    mod sockstat;
    mod softnet;
    mod stat;
    mod swap;
    mod systemd;
    mod tapestats;
    mod tcpstat;
    mod thermal_zone;
    mod time;
    mod timex;
    mod udp_queues;
    mod uname;
    mod vmstat;
    mod watchdog;
    mod xfs;
    mod zfs;
}
