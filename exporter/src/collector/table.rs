//! Every collector's name, whether it runs unless told otherwise, and how it is made.

use proto::exposition::Exposition;

use super::{Collector, Error, OptionError, Setup};

/// What makes a collector.
type Open = fn(&Setup<'_>) -> Result<Box<dyn Collector>, OptionError>;

/// One collector.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name in `--collector.<name>`, `collect[]` and the label `collector`.
    pub(crate) name: &'static str,
    /// Whether it runs without `--collector.<name>`.
    pub(crate) default_on: bool,
    /// `None` for a collector of node_exporter's that we know but do not have.
    pub(crate) open: Option<Open>,
}

const fn on(name: &'static str, open: Open) -> Entry {
    Entry { name, default_on: true, open: Some(open) }
}

const fn off(name: &'static str, open: Open) -> Entry {
    Entry { name, default_on: false, open: Some(open) }
}

const fn known(name: &'static str) -> Entry {
    Entry { name, default_on: false, open: None }
}

/// All collectors, sorted by name.
pub(crate) const ENTRIES: &[Entry] = &[
    on("arp", super::arp::open),
    known("bcache"),
    known("bcachefs"),
    on("bonding", super::bonding::open),
    on("btrfs", super::btrfs::open),
    known("buddyinfo"),
    off("cgroup_resources", super::cgroup_resources::open),
    off("cgroups", super::cgroups::open),
    on("conntrack", super::conntrack::open),
    on("cpu", super::cpu::open),
    known("cpu_vulnerabilities"),
    on("cpufreq", super::cpufreq::open),
    on("diskstats", super::diskstats::open),
    on("dmi", super::dmi::open),
    known("dmmultipath"),
    known("drbd"),
    known("drm"),
    on("edac", super::edac::open),
    on("entropy", super::numbers::open_entropy),
    known("ethtool"),
    on("fibrechannel", super::fibrechannel::open),
    on("filefd", super::numbers::open_filefd),
    on("filesystem", super::filesystem::open),
    on("hwmon", super::hwmon::open),
    on("infiniband", super::infiniband::open),
    off("interrupts", super::interrupts::open),
    on("ipvs", super::ipvs::open),
    on("kernel_hung", super::numbers::open_kernel_hung),
    known("ksmd"),
    known("lnstat"),
    on("loadavg", super::loadavg::open),
    known("logind"),
    on("mdadm", super::mdadm::open),
    on("meminfo", super::meminfo::open),
    known("meminfo_numa"),
    known("mountstats"),
    on("netclass", super::netclass::open),
    on("netdev", super::netdev::open),
    on("netstat", super::netstat::open),
    known("network_route"),
    on("nfs", super::rpc::open_client),
    on("nfsd", super::rpc::open_server),
    known("ntp"),
    on("nvme", super::nvme::open),
    known("nvmesubsystem"),
    on("os", super::os::open),
    known("pcidevice"),
    known("perf"),
    on("powersupplyclass", super::powersupplyclass::open),
    on("pressure", super::pressure::open),
    off("process_groups", super::process_groups::open),
    off("processes", super::processes::open),
    known("qdisc"),
    on("rapl", super::rapl::open),
    known("runit"),
    on("schedstat", super::schedstat::open),
    on("selinux", super::selinux::open),
    known("slabinfo"),
    on("sockstat", super::sockstat::open),
    off("softirqs", super::interrupts::open_softirqs),
    on("softnet", super::softnet::open),
    on("stat", super::stat::open),
    known("supervisord"),
    known("swap"),
    known("sysctl"),
    off("systemd", super::systemd::open),
    on("tapestats", super::tapestats::open),
    off("tcpstat", super::tcpstat::open),
    on("textfile", super::textfile::open),
    on("thermal_zone", super::thermal_zone::open),
    on("time", super::time::open),
    on("timex", super::timex::open),
    on("udp_queues", super::udp_queues::open),
    on("uname", super::uname::open),
    on("vmstat", super::vmstat::open),
    on("watchdog", super::watchdog::open),
    known("wifi"),
    known("xfrm"),
    on("xfs", super::xfs::open),
    on("zfs", super::zfs::open),
    known("zoneinfo"),
];

/// Stands in for a collector that we do not have: reports so, each time.
pub(crate) struct NotBuilt(pub(crate) &'static str);

impl Collector for NotBuilt {
    fn collect(&mut self, _out: &mut Exposition) -> Result<(), Error> {
        Err(Error::NotBuilt { name: self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.name < b.name));
    }
}
