//! Block devices, from `/proc/diskstats` and what udev knows about them.
//!
//! Fields: <https://www.kernel.org/doc/Documentation/admin-guide/iostats.rst>

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter::NameFilter, scan};

mod udev;

const EXCLUDE_DEFAULT: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";

/// What a column counts.
#[derive(Clone, Copy)]
enum Unit {
    Pieces,
    /// Of 512 bytes in this file, whatever the device uses.
    Sectors,
    Milliseconds,
}

impl Unit {
    fn to_base(self, number: u64) -> f64 {
        match self {
            Self::Pieces => number as f64,
            Self::Sectors => number as f64 * 512.0,
            // Divided, because a product with 0.001 shows as 9653.880000000001.
            Self::Milliseconds => number as f64 / 1000.0,
        }
    }
}

/// One column after the device's name: (name, help, kind, unit in the file).
const COLUMNS: [(&str, &str, Kind, Unit); 17] = {
    use Kind::{Counter, Gauge};
    use Unit::{Milliseconds, Pieces, Sectors};
    [
        (
            "node_disk_reads_completed_total",
            "The total number of reads completed successfully.",
            Counter,
            Pieces,
        ),
        ("node_disk_reads_merged_total", "The total number of reads merged.", Counter, Pieces),
        (
            "node_disk_read_bytes_total",
            "The total number of bytes read successfully.",
            Counter,
            Sectors,
        ),
        (
            "node_disk_read_time_seconds_total",
            "The total number of seconds spent by all reads.",
            Counter,
            Milliseconds,
        ),
        (
            "node_disk_writes_completed_total",
            "The total number of writes completed successfully.",
            Counter,
            Pieces,
        ),
        ("node_disk_writes_merged_total", "The number of writes merged.", Counter, Pieces),
        (
            "node_disk_written_bytes_total",
            "The total number of bytes written successfully.",
            Counter,
            Sectors,
        ),
        (
            "node_disk_write_time_seconds_total",
            "This is the total number of seconds spent by all writes.",
            Counter,
            Milliseconds,
        ),
        ("node_disk_io_now", "The number of I/Os currently in progress.", Gauge, Pieces),
        (
            "node_disk_io_time_seconds_total",
            "Total seconds spent doing I/Os.",
            Counter,
            Milliseconds,
        ),
        (
            "node_disk_io_time_weighted_seconds_total",
            "The weighted # of seconds spent doing I/Os.",
            Counter,
            Milliseconds,
        ),
        // Since Linux 4.18:
        (
            "node_disk_discards_completed_total",
            "The total number of discards completed successfully.",
            Counter,
            Pieces,
        ),
        (
            "node_disk_discards_merged_total",
            "The total number of discards merged.",
            Counter,
            Pieces,
        ),
        (
            "node_disk_discarded_sectors_total",
            "The total number of sectors discarded successfully.",
            Counter,
            Pieces,
        ),
        (
            "node_disk_discard_time_seconds_total",
            "This is the total number of seconds spent by all discards.",
            Counter,
            Milliseconds,
        ),
        // Since Linux 5.5:
        (
            "node_disk_flush_requests_total",
            "The total number of flush requests completed successfully",
            Counter,
            Pieces,
        ),
        (
            "node_disk_flush_requests_time_seconds_total",
            "This is the total number of seconds spent by all flush requests.",
            Counter,
            Milliseconds,
        ),
    ]
};

struct DiskStats {
    path: PathBuf,
    filter: NameFilter,
    udev: udev::Database,
    buf: Vec<u8>,
}

/// One line of the file.
#[derive(Debug, PartialEq)]
struct Device {
    major: u32,
    minor: u32,
    name: String,
    columns: Vec<u64>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let filter = NameFilter::from_pair(
        ("collector.diskstats.device-include", &setup.options.diskstats_include),
        ("collector.diskstats.device-exclude", &setup.options.diskstats_exclude),
        EXCLUDE_DEFAULT,
    )?;
    Ok(Box::new(DiskStats {
        path: setup.host.proc("diskstats"),
        filter,
        udev: udev::Database::new(setup.host.clone()),
        buf: Vec::new(),
    }))
}

impl Collector for DiskStats {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let mut devices = Vec::new();
        for line in scan::lines(text) {
            let name = scan::fields(line).nth(2);
            if name.is_some_and(|name| self.filter.admits(name)) {
                let what = "a line is not `major minor name numbers…`";
                let wrong = || Error::Parse { path: self.path.clone(), what };
                devices.push(Device::parse(line).ok_or_else(wrong)?);
            }
        }
        for (column, (name, help, kind, unit)) in COLUMNS.into_iter().enumerate() {
            let mut family = out.family(name, help, kind);
            for device in &devices {
                if let Some(value) = device.columns.get(column) {
                    family.sample(&[("device", &device.name)], unit.to_base(*value));
                }
            }
        }
        self.udev.retain(|id| devices.iter().any(|device| (device.major, device.minor) == id));
        for device in &devices {
            self.write_info(device, out);
        }
        Ok(())
    }
}

impl DiskStats {
    fn write_info(&mut self, device: &Device, out: &mut Exposition) {
        let info = self.udev.get(device.major, device.minor, &device.name);
        let name = device.name.as_str();
        let rotational = if info.is_rotational() { "1" } else { "0" };
        let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]
            .into_iter()
            .map(|property| info.get(property))
            .find(|serial| !serial.is_empty());
        let major = device.major.to_string();
        let minor = device.minor.to_string();
        out.family("node_disk_info", "Info of /sys/block/<block_device>.", Kind::Gauge).sample(
            &[
                ("device", name),
                ("major", &major),
                ("minor", &minor),
                ("path", info.get("ID_PATH")),
                ("wwn", info.get("ID_WWN")),
                ("model", info.get("ID_MODEL")),
                ("serial", serial.unwrap_or_default()),
                ("revision", info.get("ID_REVISION")),
                ("rotational", rotational),
            ],
            1.0,
        );
        let fs_type = info.get("ID_FS_TYPE");
        if !fs_type.is_empty() {
            let labels = [
                ("device", name),
                ("type", fs_type),
                ("usage", info.get("ID_FS_USAGE")),
                ("uuid", info.get("ID_FS_UUID")),
                ("version", info.get("ID_FS_VERSION")),
            ];
            out.family("node_disk_filesystem_info", "Info about disk filesystem.", Kind::Gauge)
                .sample(&labels, 1.0);
        }
        let mapper_name = info.get("DM_NAME");
        if !mapper_name.is_empty() {
            let labels = [
                ("device", name),
                ("name", mapper_name),
                ("uuid", info.get("DM_UUID")),
                ("vg_name", info.get("DM_VG_NAME")),
                ("lv_name", info.get("DM_LV_NAME")),
                ("lv_layer", info.get("DM_LV_LAYER")),
            ];
            out.family(
                "node_disk_device_mapper_info",
                "Info about disk device mapper.",
                Kind::Gauge,
            )
            .sample(&labels, 1.0);
        }
        if !info.get("ID_ATA").is_empty() {
            for (property, family, help) in ATA {
                if let Some(value) = scan::f64(info.get(property).as_bytes()) {
                    out.family(family, help, Kind::Gauge).sample(&[("device", name)], value);
                }
            }
        }
    }
}

/// What udev knows about ATA disks: (property, family, help).
const ATA: [(&str, &str, &str); 3] = [
    ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "ATA disk has a write cache."),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "node_disk_ata_write_cache_enabled",
        "ATA disk has its write cache enabled.",
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        "node_disk_ata_rotation_rate_rpm",
        "ATA disk rotation rate in RPMs (0 for SSDs).",
    ),
];

impl Device {
    /// `254 0 vda 88928 9780 …`: 11, 15 or 17 numbers by the kernel's age; further ones are ignored.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = scan::fields(line);
        let major = u32::try_from(scan::u64(fields.next()?)?).ok()?;
        let minor = u32::try_from(scan::u64(fields.next()?)?).ok()?;
        let name = scan::text(fields.next()?).into_owned();
        let columns = fields.take(COLUMNS.len()).map(scan::u64).collect::<Option<Vec<u64>>>()?;
        (columns.len() >= 11).then_some(Self { major, minor, name, columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let device = Device::parse(b"  8  16 sdb 1 2 3 4 5 6 7 8 9 10 11").unwrap();
        assert_eq!((device.major, device.minor, device.name.as_str()), (8, 16, "sdb"));
        assert_eq!(device.columns, (1..=11).collect::<Vec<u64>>());
        for garbage in [
            &b""[..],
            b"8 16 sdb",
            b"8 16 sdb 1 2 3",
            b"8 16 sdb 1 2 3 4 5 6 7 8 9 10 x",
            b"-8 16 sdb 1 2 3 4 5 6 7 8 9 10 11",
            b"99999999999 1 sdb 1 2 3 4 5 6 7 8 9 10 11",
        ] {
            assert_eq!(Device::parse(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn partitions_are_hidden_by_default() {
        let mut filter = NameFilter::excluding("x", EXCLUDE_DEFAULT).unwrap();
        for (name, shown) in [
            ("sda", true),
            ("sda1", false),
            ("nvme0n1", true),
            ("nvme0n1p2", false),
            ("loop3", false),
            ("zram0", false),
            ("dm-0", true),
            ("md127", true),
            ("mmcblk0p1", true),
        ] {
            assert_eq!(filter.admits(name.as_bytes()), shown, "{name}");
        }
    }
}
