//! Bytes read from and written to disks.

use proto::exposition::{Exposition, Kind};

/// One whole disk, such as `disk3`; bytes since the system started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) device: String,
    pub(super) read: u64,
    pub(super) written: u64,
}

/// Adds what was told about the volume of `device`, such as `/dev/disk3s1s1`. The driver counts for the whole disk, so
/// that further volumes of a disk tell nothing new.
pub(super) fn add(disks: &mut Vec<Disk>, device: &str, read: u64, written: u64) {
    let Some(device) = whole_disk(device) else { return };
    if !disks.iter().any(|known| known.device == device) {
        disks.push(Disk { device: device.to_owned(), read, written });
    }
}

/// `disk3` of `/dev/disk3s1s1`; `None` for what is no disk.
fn whole_disk(device: &str) -> Option<&str> {
    let name = device.strip_prefix("/dev/")?;
    let number = name.strip_prefix("disk")?;
    let n_digits = number.bytes().take_while(u8::is_ascii_digit).count();
    (n_digits > 0).then(|| &name[.."disk".len() + n_digits])
}

pub(super) fn write(disks: &[Disk], out: &mut Exposition) {
    for (name, help, figure) in [
        (
            "node_disk_read_bytes_total",
            "The total number of bytes read successfully.",
            (|disk| disk.read) as fn(&Disk) -> u64,
        ),
        (
            "node_disk_written_bytes_total",
            "The total number of bytes written successfully.",
            |disk| disk.written,
        ),
    ] {
        let mut family = out.family(name, help, Kind::Counter);
        for disk in disks {
            family.sample(&[("device", &disk.device)], figure(disk) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_one_disk_count_once() {
        for (device, disk) in [
            ("/dev/disk3s1s1", Some("disk3")),
            ("/dev/disk12", Some("disk12")),
            ("/dev/disk", None),
            ("map auto_home", None),
            ("//user@server/share", None),
        ] {
            assert_eq!(whole_disk(device), disk, "{device}");
        }
        let mut disks = Vec::new();
        add(&mut disks, "/dev/disk3s1s1", 1, 2);
        add(&mut disks, "/dev/disk3s5", 1, 2);
        add(&mut disks, "/dev/disk4s2", 3, 4);
        assert_eq!(disks.iter().map(|disk| disk.read).collect::<Vec<_>>(), [1, 3]);
    }
}
