//! What is called differently on another system: collectors, their options, and the families about collecting.
//!
//! A command line that was written for one system is accepted on all of them: what is not there changes nothing and is
//! said.

use std::env::consts::OS;

/// The collectors of all systems, sorted.
pub(crate) const COLLECTORS: &[&str] = &[
    "arp",
    "bcache",
    "bcachefs",
    "bonding",
    "boottime",
    "btrfs",
    "buddyinfo",
    "cgroup_resources",
    "cgroups",
    "conntrack",
    "cpu",
    "cpu_vulnerabilities",
    "cpufreq",
    "cs",
    "diskstats",
    "dmi",
    "dmmultipath",
    "drbd",
    "drm",
    "edac",
    "entropy",
    "ethtool",
    "fibrechannel",
    "filefd",
    "filesystem",
    "hwmon",
    "infiniband",
    "interrupts",
    "ipvs",
    "kernel_hung",
    "ksmd",
    "lnstat",
    "loadavg",
    "logical_disk",
    "logind",
    "mdadm",
    "meminfo",
    "meminfo_numa",
    "memory",
    "mountstats",
    "net",
    "netclass",
    "netdev",
    "netstat",
    "network_route",
    "nfs",
    "nfsd",
    "ntp",
    "nvme",
    "nvmesubsystem",
    "os",
    "pagefile",
    "pcidevice",
    "perf",
    "powersupplyclass",
    "pressure",
    "process_groups",
    "processes",
    "qdisc",
    "rapl",
    "runit",
    "schedstat",
    "selinux",
    "service",
    "services",
    "slabinfo",
    "sockstat",
    "softirqs",
    "softnet",
    "stat",
    "supervisord",
    "swap",
    "sysctl",
    "system",
    "systemd",
    "tapestats",
    "tcpstat",
    "textfile",
    "thermal_zone",
    "time",
    "timex",
    "udp_queues",
    "uname",
    "vmstat",
    "watchdog",
    "wifi",
    "xfrm",
    "xfs",
    "zfs",
    "zoneinfo",
];

/// Options of collectors that only Windows has.
const OPTIONS_OF_WINDOWS: &[&str] = &[
    "collector.logical_disk.volume-exclude",
    "collector.logical_disk.volume-include",
    "collector.net.nic-exclude",
    "collector.net.nic-include",
    "collector.service.exclude",
    "collector.service.include",
];

/// Options that work on macOS as on Linux.
const OPTIONS_OF_MACOS: &[&str] = &[
    "collector.filesystem.fs-types-exclude",
    "collector.filesystem.fs-types-include",
    "collector.filesystem.mount-points-exclude",
    "collector.filesystem.mount-points-include",
    "collector.netdev.device-exclude",
    "collector.netdev.device-include",
];

/// Options that work on every system.
const OPTIONS_OF_ALL: &[&str] = &["collector.textfile.directory"];

/// Whether a flag is the option of a collector, or a path, that this system does not have.
///
/// Which collectors there are is not asked here: their switches have no second dot.
pub(crate) fn is_elsewhere(flag: &str) -> bool {
    is_not_of(OS, flag)
}

fn is_not_of(system: &str, flag: &str) -> bool {
    let is_option = flag.strip_prefix("collector.").is_some_and(|rest| rest.contains('.'));
    if !is_option && !flag.starts_with("path.") {
        return false;
    }
    match system {
        "windows" => !OPTIONS_OF_WINDOWS.contains(&flag) && !OPTIONS_OF_ALL.contains(&flag),
        "macos" => !OPTIONS_OF_MACOS.contains(&flag) && !OPTIONS_OF_ALL.contains(&flag),
        _ => OPTIONS_OF_WINDOWS.contains(&flag),
    }
}

/// A family's name and help.
type Named = (&'static str, &'static str);

/// The families about collecting, and the program that has them so.
#[derive(Debug)]
pub(crate) struct OwnFamilies {
    pub(crate) duration: Named,
    pub(crate) success: Named,
    /// windows_exporter's alone.
    pub(crate) timeout: Option<Named>,
    pub(crate) build_info: Named,
    /// The release whose names, labels and values we follow; dashboards and scripts compare it.
    pub(crate) version: &'static str,
    pub(crate) textfile_modified: &'static str,
    pub(crate) textfile_error: &'static str,
}

/// As they are called on this system.
pub(crate) const OWN: &OwnFamilies = if cfg!(windows) { &WINDOWS_EXPORTER } else { &NODE_EXPORTER };

const NODE_EXPORTER: OwnFamilies = OwnFamilies {
    duration: (
        "node_scrape_collector_duration_seconds",
        "node_exporter: Duration of a collector scrape.",
    ),
    success: ("node_scrape_collector_success", "node_exporter: Whether a collector succeeded."),
    timeout: None,
    build_info: (
        "node_exporter_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which node_exporter was built, and the goos and goarch for the build.",
    ),
    version: "1.9.1",
    textfile_modified: "node_textfile_mtime_seconds",
    textfile_error: "node_textfile_scrape_error",
};

const WINDOWS_EXPORTER: OwnFamilies = OwnFamilies {
    duration: (
        "windows_exporter_collector_duration_seconds",
        "windows_exporter: Duration of a collection.",
    ),
    success: (
        "windows_exporter_collector_success",
        "windows_exporter: Whether the collector was successful.",
    ),
    timeout: Some((
        "windows_exporter_collector_timeout",
        "windows_exporter: Whether the collector timed out.",
    )),
    build_info: (
        "windows_exporter_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which windows_exporter was built, and the goos and goarch for the build.",
    ),
    version: "0.31.0",
    textfile_modified: "windows_textfile_mtime_seconds",
    textfile_error: "windows_textfile_scrape_error",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::table::ENTRIES;

    #[test]
    fn all_collectors_are_listed() {
        assert!(COLLECTORS.is_sorted_by(|a, b| a < b));
        for entry in ENTRIES {
            assert!(COLLECTORS.contains(&entry.name), "{} is missing in COLLECTORS", entry.name);
        }
    }

    #[test]
    fn options_are_where_their_collectors_are() {
        for (flag, elsewhere) in [
            // On Linux, macOS, Windows.
            ("collector.textfile.directory", [false, false, false]),
            ("collector.netdev.device-include", [false, false, true]),
            ("collector.systemd.unit-include", [false, true, true]),
            ("collector.service.include", [true, true, false]),
            ("path.procfs", [false, true, true]),
            ("collector.timeout", [false, false, false]),
            ("collector.disable-defaults", [false, false, false]),
            ("web.listen-address", [false, false, false]),
        ] {
            let found = ["linux", "macos", "windows"].map(|system| is_not_of(system, flag));
            assert_eq!(found, elsewhere, "{flag}");
        }
    }
}
