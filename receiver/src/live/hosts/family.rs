//! Which node-style families the views read, and what each of their series is a part of.

use promql::model::Labels;

/// What a series contributes to. The order is that of [`super::output::Parts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    Up,
    BootTime,
    Load1,
    Load5,
    Load15,
    CpuIdle,
    CpuUser,
    CpuSystem,
    CpuIowait,
    CpuSteal,
    /// nice, irq, softirq and whatever else a kernel counts.
    CpuOther,
    MemoryTotal,
    MemoryAvailable,
    MemoryFree,
    MemoryCached,
    SwapTotal,
    SwapFree,
    Received,
    Transmitted,
    DiskRead,
    DiskWritten,
    FilesystemSize,
    FilesystemAvailable,
    /// `node_uname_info`: only its labels matter.
    Name,
}

impl Part {
    pub(super) const COUNT: usize = Self::Name as usize + 1;

    /// Whether its values are counters, of which the rate is shown.
    pub(super) fn is_counter(self) -> bool {
        use Part::{
            CpuIdle, CpuIowait, CpuOther, CpuSteal, CpuSystem, CpuUser, DiskRead, DiskWritten,
            Received, Transmitted,
        };
        matches!(
            self,
            CpuIdle
                | CpuUser
                | CpuSystem
                | CpuIowait
                | CpuSteal
                | CpuOther
                | Received
                | Transmitted
                | DiskRead
                | DiskWritten
        )
    }

    pub(super) fn is_filesystem(self) -> bool {
        matches!(self, Self::FilesystemSize | Self::FilesystemAvailable)
    }
}

/// A family of metrics and how its series are sorted into parts; `None` leaves a series out.
pub(super) struct Family {
    pub(super) name: &'static str,
    /// A fixed condition that keeps the selection small.
    pub(super) condition: Option<(&'static str, &'static str)>,
    pub(super) part: fn(&Labels) -> Option<Part>,
}

const fn family(name: &'static str, part: fn(&Labels) -> Option<Part>) -> Family {
    Family { name, condition: None, part }
}

/// What the list of servers shows. Of the CPU only the idle time is read: few series for many servers.
pub(super) const LIST: &[Family] = &[
    Family {
        name: "node_cpu_seconds_total",
        condition: Some(("mode", "idle")),
        part: |_| Some(Part::CpuIdle),
    },
    family("node_memory_MemTotal_bytes", |_| Some(Part::MemoryTotal)),
    family("node_memory_MemAvailable_bytes", |_| Some(Part::MemoryAvailable)),
    family("node_memory_total_bytes", |_| Some(Part::MemoryTotal)),
    family("node_memory_available_bytes", |_| Some(Part::MemoryAvailable)),
    family("node_load5", |_| Some(Part::Load5)),
    family("node_boot_time_seconds", |_| Some(Part::BootTime)),
    family("node_network_receive_bytes_total", |labels| network(labels, Part::Received)),
    family("node_network_transmit_bytes_total", |labels| network(labels, Part::Transmitted)),
    family("node_filesystem_size_bytes", |labels| filesystem(labels, Part::FilesystemSize)),
    family("node_filesystem_avail_bytes", |labels| filesystem(labels, Part::FilesystemAvailable)),
    family("node_uname_info", |_| Some(Part::Name)),
    family("up", |_| Some(Part::Up)),
];

/// What the page of one server shows.
pub(super) const ONE: &[Family] = &[
    family("node_cpu_seconds_total", |labels| {
        Some(match labels.get("mode") {
            "idle" => Part::CpuIdle,
            "user" => Part::CpuUser,
            "system" => Part::CpuSystem,
            "iowait" => Part::CpuIowait,
            "steal" => Part::CpuSteal,
            _ => Part::CpuOther,
        })
    }),
    family("node_memory_MemTotal_bytes", |_| Some(Part::MemoryTotal)),
    family("node_memory_MemAvailable_bytes", |_| Some(Part::MemoryAvailable)),
    family("node_memory_MemFree_bytes", |_| Some(Part::MemoryFree)),
    family("node_memory_Cached_bytes", |_| Some(Part::MemoryCached)),
    family("node_memory_Buffers_bytes", |_| Some(Part::MemoryCached)),
    family("node_memory_SReclaimable_bytes", |_| Some(Part::MemoryCached)),
    family("node_memory_total_bytes", |_| Some(Part::MemoryTotal)),
    family("node_memory_available_bytes", |_| Some(Part::MemoryAvailable)),
    family("node_memory_SwapTotal_bytes", |_| Some(Part::SwapTotal)),
    family("node_memory_SwapFree_bytes", |_| Some(Part::SwapFree)),
    family("node_load1", |_| Some(Part::Load1)),
    family("node_load5", |_| Some(Part::Load5)),
    family("node_load15", |_| Some(Part::Load15)),
    family("node_boot_time_seconds", |_| Some(Part::BootTime)),
    family("node_network_receive_bytes_total", |labels| network(labels, Part::Received)),
    family("node_network_transmit_bytes_total", |labels| network(labels, Part::Transmitted)),
    family("node_disk_read_bytes_total", |labels| disk(labels, Part::DiskRead)),
    family("node_disk_written_bytes_total", |labels| disk(labels, Part::DiskWritten)),
    family("node_filesystem_size_bytes", |labels| filesystem(labels, Part::FilesystemSize)),
    family("node_filesystem_avail_bytes", |labels| filesystem(labels, Part::FilesystemAvailable)),
    family("node_uname_info", |_| Some(Part::Name)),
    family("up", |_| Some(Part::Up)),
];

/// Physical interfaces only: what passes a bridge, tunnel or container passes one of them as well.
fn network(labels: &Labels, part: Part) -> Option<Part> {
    const VIRTUAL: [&str; 19] = [
        "lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "cali", "tap", "tun", "wg",
        "bond", "team", "dummy", "ifb", "utun", "awdl", "llw", "bridge",
    ];
    let device = labels.get("device");
    let is_virtual =
        VIRTUAL.iter().any(|prefix| device.starts_with(prefix)) || device.contains('.');
    (!is_virtual).then_some(part)
}

/// Whole disks only: a partition's or a mapped volume's bytes are bytes of a disk.
fn disk(labels: &Labels, part: Part) -> Option<Part> {
    const LAYERED: [&str; 7] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];
    let device = labels.get("device");
    let ends_in_digit = device.ends_with(|c: char| c.is_ascii_digit());
    let is_partition = if device.starts_with("nvme") || device.starts_with("mmcblk") {
        let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
        ends_in_digit
            && stem.ends_with('p')
            && stem[..stem.len() - 1].ends_with(|c: char| c.is_ascii_digit())
    } else {
        let has_letter_names =
            ["sd", "hd", "vd", "xvd"].iter().any(|prefix| device.starts_with(prefix));
        has_letter_names && ends_in_digit
    };
    let is_layered = LAYERED.iter().any(|prefix| device.starts_with(prefix));
    (!is_layered && !is_partition).then_some(part)
}

/// File systems that can fill up.
fn filesystem(labels: &Labels, part: Part) -> Option<Part> {
    const UNFILLABLE: [&str; 16] = [
        "tmpfs",
        "devtmpfs",
        "ramfs",
        "rootfs",
        "overlay",
        "squashfs",
        "iso9660",
        "udf",
        "proc",
        "sysfs",
        "autofs",
        "nsfs",
        "tracefs",
        "efivarfs",
        "fuse.lxcfs",
        "devfs",
    ];
    let is_unfillable = UNFILLABLE.contains(&labels.get("fstype"));
    (!is_unfillable && !labels.get("mountpoint").is_empty()).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_counted_twice() {
        let labels = |name, value| Labels::from_pairs([(name, value)]).unwrap();
        for device in ["eth0", "enp3s0", "wlan0", "en0", "ens5"] {
            assert!(network(&labels("device", device), Part::Received).is_some(), "{device}");
        }
        for device in ["lo", "lo0", "veth12ab", "docker0", "br-1f2e", "bond0", "eth0.100", "wg0"] {
            assert!(network(&labels("device", device), Part::Received).is_none(), "{device}");
        }
        for device in ["sda", "nvme0n1", "vda", "xvda", "mmcblk0", "disk0", "nvme10n1"] {
            assert!(disk(&labels("device", device), Part::DiskRead).is_some(), "{device}");
        }
        for device in
            ["sda1", "nvme0n1p2", "vda15", "xvda1", "mmcblk0p1", "dm-0", "md127", "loop3", "zram0"]
        {
            assert!(disk(&labels("device", device), Part::DiskRead).is_none(), "{device}");
        }
        let mount = |fstype| {
            let labels = Labels::from_pairs([("fstype", fstype), ("mountpoint", "/")]).unwrap();
            filesystem(&labels, Part::FilesystemSize).is_some()
        };
        assert!(mount("ext4") && mount("xfs") && mount("zfs") && mount("apfs") && mount("nfs4"));
        assert!(!mount("tmpfs") && !mount("overlay"));
    }
}
