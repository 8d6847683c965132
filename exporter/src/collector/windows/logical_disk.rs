//! Space and traffic of volumes.

use proto::exposition::{Exposition, Kind};

#[derive(Clone, Debug, Default)]
pub(super) struct Volume {
    /// Where it is mounted, such as `C:\` or `C:\data\`.
    pub(super) path: String,
    /// What people call it.
    pub(super) label: String,
    pub(super) filesystem: String,
    pub(super) is_removable: bool,
    pub(super) is_read_only: bool,
    pub(super) size: u64,
    pub(super) free: u64,
    /// Read and written since the system started, in bytes; `None` where the driver does not count.
    pub(super) traffic: Option<(u64, u64)>,
}

impl Volume {
    /// The label `volume`: the path without its last backslash.
    pub(super) fn name(&self) -> &str {
        self.path.strip_suffix('\\').unwrap_or(&self.path)
    }
}

/// Name, help, kind and figure of one family.
type Column = (&'static str, &'static str, Kind, fn(&Volume) -> Option<u64>);

const COLUMNS: [Column; 5] = [
    (
        "windows_logical_disk_size_bytes",
        "Total space in bytes (LogicalDisk.PercentFreeSpace_Base)",
        Kind::Gauge,
        |volume| Some(volume.size),
    ),
    (
        "windows_logical_disk_free_bytes",
        "Free space in bytes (LogicalDisk.PercentFreeSpace)",
        Kind::Gauge,
        |volume| Some(volume.free),
    ),
    (
        "windows_logical_disk_readonly",
        "Whether the logical disk is read-only",
        Kind::Gauge,
        |volume| Some(u64::from(volume.is_read_only)),
    ),
    (
        "windows_logical_disk_read_bytes_total",
        "The number of bytes transferred from the disk during read operations (LogicalDisk.DiskReadBytesPerSec)",
        Kind::Counter,
        |volume| volume.traffic.map(|(read, _)| read),
    ),
    (
        "windows_logical_disk_write_bytes_total",
        "The number of bytes transferred to the disk during write operations (LogicalDisk.DiskWriteBytesPerSec)",
        Kind::Counter,
        |volume| volume.traffic.map(|(_, written)| written),
    ),
];

pub(super) fn write(volumes: &[Volume], out: &mut Exposition) {
    let mut infos = out.family(
        "windows_logical_disk_info",
        "A metric with a constant '1' value labeled with logical disk information",
        Kind::Gauge,
    );
    for volume in volumes {
        let labels = [
            ("type", if volume.is_removable { "removable" } else { "fixed" }),
            ("volume", volume.name()),
            ("volume_name", &volume.label),
            ("filesystem", &volume.filesystem),
        ];
        infos.sample(&labels, 1.0);
    }
    for (name, help, kind, figure) in COLUMNS {
        let mut family = out.family(name, help, kind);
        for volume in volumes {
            if let Some(figure) = figure(volume) {
                family.sample(&[("volume", volume.name())], figure as f64);
            }
        }
    }
}
