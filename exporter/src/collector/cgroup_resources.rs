//! What services, containers and slices use, from the control groups below `/sys/fs/cgroup`. Off by default.
//!
//! This needs neither D-Bus nor a container engine's socket: systemd and the engines put each unit and each container
//! into a group of its own, and the kernel counts.

use std::path::{Path, PathBuf};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

mod v1;

/// Groups that are shown; a machine with more has a test running that makes them.
const GROUPS_MAX: usize = 1000;
/// `user.slice/user-1000.slice/user@1000.service/app.slice/x.service`, or Kubernetes' four levels.
const DEPTH_MAX: usize = 6;

struct CgroupResources {
    root: PathBuf,
    buf: Vec<u8>,
}

/// What one group has used and uses; `None` where its controller is not switched on.
#[derive(Debug, Default)]
struct Usage {
    /// Below the root, such as `system.slice/ssh.service`.
    name: String,
    user_us: Option<u64>,
    system_us: Option<u64>,
    throttled_us: Option<u64>,
    memory: Option<f64>,
    swap: Option<f64>,
    oom_kills: Option<u64>,
    processes: Option<f64>,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(CgroupResources { root: setup.host.sys("fs/cgroup"), buf: Vec::new() }))
}

/// Name, help, kind and figure of a family without further labels.
type Row = (&'static str, &'static str, Kind, fn(&Usage) -> Option<f64>);

const SINGLE: [Row; 5] = [
    (
        "watchpost_cgroup_memory_bytes",
        "Memory that the group's processes use, page cache included.",
        Kind::Gauge,
        |usage| usage.memory,
    ),
    ("watchpost_cgroup_swap_bytes", "Swap that the group's processes use.", Kind::Gauge, |usage| {
        usage.swap
    }),
    (
        "watchpost_cgroup_processes",
        "Processes and threads in the group and below it.",
        Kind::Gauge,
        |usage| usage.processes,
    ),
    (
        "watchpost_cgroup_oom_kills_total",
        "Processes of the group that were killed for lack of memory.",
        Kind::Counter,
        |usage| usage.oom_kills.map(|kills| kills as f64),
    ),
    (
        "watchpost_cgroup_cpu_throttled_seconds_total",
        "Time that the group was held back by its CPU limit.",
        Kind::Counter,
        |usage| usage.throttled_us.map(seconds),
    ),
];

impl Collector for CgroupResources {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let is_v2 = self.root.join("cgroup.controllers").exists();
        let tree = match v1::tree(&self.root) {
            _ if is_v2 => self.root.clone(),
            Some(tree) => self.root.join(tree),
            None => return Err(Error::NoData { what: "control groups in /sys/fs/cgroup" }),
        };
        let mut names = Vec::new();
        walk(&tree, "", 0, &mut names);
        let mut groups = Vec::with_capacity(names.len());
        for name in names {
            groups.push(match is_v2 {
                true => Usage::read(&self.root.join(&name), &name, &mut self.buf),
                false => v1::read(&self.root, &name, &mut self.buf),
            });
        }
        write(&groups, out);
        Ok(())
    }
}

/// The names of the groups below `folder`, each before those in it.
fn walk(folder: &Path, name: &str, depth: usize, names: &mut Vec<String>) {
    let is_engine = |group: &str| group.starts_with("docker") || group.starts_with("kubepods");
    // A container's own name says nothing where the engine does not use systemd.
    let is_container = name.split('/').any(is_engine);
    // A group may go at any time.
    for entry in host::names(folder).unwrap_or_default() {
        let is_group = [".service", ".scope", ".slice"].iter().any(|kind| entry.ends_with(kind))
            || is_engine(&entry)
            || is_container;
        let path = folder.join(&entry);
        if names.len() >= GROUPS_MAX || !is_group || !path.is_dir() {
            continue;
        }
        let name = if name.is_empty() { entry } else { [name, "/", &entry].concat() };
        names.push(name.clone());
        if depth + 1 < DEPTH_MAX {
            walk(&path, &name, depth + 1, names);
        }
    }
}

impl Usage {
    fn read(folder: &Path, name: &str, buf: &mut Vec<u8>) -> Self {
        let number = |file: &str| host::number(&folder.join(file));
        let mut usage = Self {
            name: name.to_owned(),
            memory: number("memory.current"),
            swap: number("memory.swap.current"),
            processes: number("pids.current"),
            ..Self::default()
        };
        if let Ok(text) = host::attribute(&folder.join("cpu.stat")) {
            usage.user_us = keyed(&text, b"user_usec");
            usage.system_us = keyed(&text, b"system_usec");
            usage.throttled_us = keyed(&text, b"throttled_usec");
        }
        if let Ok(text) = host::attribute(&folder.join("memory.events")) {
            usage.oom_kills = keyed(&text, b"oom_kill");
        }
        // A line for each device: may be longer than the page that an attribute has.
        if let Ok(text) = host::read(&folder.join("io.stat"), buf) {
            usage.read_bytes = Some(sum(text, b"rbytes="));
            usage.written_bytes = Some(sum(text, b"wbytes="));
        }
        usage
    }
}

/// The number of a line `key number`.
fn keyed(text: &[u8], key: &[u8]) -> Option<u64> {
    scan::lines(text).find_map(|line| {
        let (name, value) = scan::split_once(line, b' ')?;
        if name == key { scan::u64(value.trim_ascii()) } else { None }
    })
}

/// The sum over devices of words such as `rbytes=4096`.
fn sum(text: &[u8], key: &[u8]) -> u64 {
    scan::lines(text)
        .flat_map(scan::fields)
        .filter_map(|word| scan::u64(word.strip_prefix(key)?))
        .fold(0, u64::saturating_add)
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

fn write(groups: &[Usage], out: &mut Exposition) {
    let mut cpu = out.family(
        "watchpost_cgroup_cpu_seconds_total",
        "CPU time that the group's processes used.",
        Kind::Counter,
    );
    for group in groups {
        for (mode, used) in [("user", group.user_us), ("system", group.system_us)] {
            if let Some(used) = used {
                cpu.sample(&[("cgroup", &group.name), ("mode", mode)], seconds(used));
            }
        }
    }
    let mut io = out.family(
        "watchpost_cgroup_io_bytes_total",
        "Bytes that the group's processes read from and wrote to disks.",
        Kind::Counter,
    );
    for group in groups {
        for (direction, bytes) in [("read", group.read_bytes), ("write", group.written_bytes)] {
            if let Some(bytes) = bytes {
                io.sample(&[("cgroup", &group.name), ("direction", direction)], bytes as f64);
            }
        }
    }
    for (name, help, kind, figure) in SINGLE {
        let mut family = out.family(name, help, kind);
        for group in groups {
            if let Some(value) = figure(group) {
                family.sample(&[("cgroup", &group.name)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        assert_eq!(keyed(b"usage_usec 7\nuser_usec 5\n", b"user_usec"), Some(5));
        assert_eq!(keyed(b"user_usec\nuser_usec x\n", b"user_usec"), None);
        let io = b"8:0 rbytes=10 wbytes=1 rios=2\n8:16 rbytes=5 wbytes=x\n8:32\n";
        assert_eq!((sum(io, b"rbytes="), sum(io, b"wbytes=")), (15, 1));
    }
}
