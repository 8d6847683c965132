//! Space and files of mounted filesystems.

use proto::exposition::{Exposition, Kind};

/// One mounted filesystem.
#[derive(Clone, Debug, Default)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) mount_point: String,
    pub(super) fs_type: String,
    pub(super) is_read_only: bool,
    /// In bytes, as the next two.
    pub(super) size: u64,
    pub(super) free: u64,
    pub(super) available: u64,
    pub(super) n_files: u64,
    pub(super) n_files_free: u64,
}

/// Name, help and figure of one family.
type Column = (&'static str, &'static str, fn(&Mount) -> u64);

const COLUMNS: [Column; 7] = [
    (
        "node_filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
        |m| m.available,
    ),
    ("node_filesystem_files", "Filesystem total file nodes.", |m| m.n_files),
    ("node_filesystem_files_free", "Filesystem total free file nodes.", |m| m.n_files_free),
    ("node_filesystem_free_bytes", "Filesystem free space in bytes.", |m| m.free),
    ("node_filesystem_readonly", "Filesystem read-only status.", |m| u64::from(m.is_read_only)),
    ("node_filesystem_size_bytes", "Filesystem size in bytes.", |m| m.size),
    (
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        |_| 0,
    ),
];

pub(super) fn write(mounts: &[Mount], out: &mut Exposition) {
    for (name, help, figure) in COLUMNS {
        let mut family = out.family(name, help, Kind::Gauge);
        for mount in mounts {
            let labels = [
                ("device", mount.device.as_str()),
                ("mountpoint", &mount.mount_point),
                ("fstype", &mount.fs_type),
                ("device_error", ""),
            ];
            family.sample(&labels, figure(mount) as f64);
        }
    }
}
