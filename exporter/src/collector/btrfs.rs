//! Btrfs filesystems: how space is allocated and how long commits take, from `/sys/fs/btrfs`.

use std::path::{Path, PathBuf};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup, attributes::Scale};
use crate::{host, scan};

struct Btrfs {
    filesystems: PathBuf,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Btrfs { filesystems: setup.host.sys("fs/btrfs") }))
}

/// (word in the file `commit_stats`, family, help, kind, scale)
const COMMITS: [(&[u8], &str, &str, Kind, Scale); 4] = [
    (
        b"commits",
        "node_btrfs_commits_total",
        "The total number of commits that have occurred.",
        Kind::Counter,
        Scale::One,
    ),
    (
        b"last_commit_ms",
        "node_btrfs_last_commit_seconds",
        "Duration of the most recent commit, in seconds.",
        Kind::Gauge,
        Scale::Per(1000.0),
    ),
    (
        b"max_commit_ms",
        "node_btrfs_max_commit_seconds",
        "Duration of the slowest commit, in seconds.",
        Kind::Gauge,
        Scale::Per(1000.0),
    ),
    (
        b"total_commit_ms",
        "node_btrfs_commit_seconds_total",
        "Sum of the duration of all commits, in seconds.",
        Kind::Counter,
        Scale::Per(1000.0),
    ),
];

impl Collector for Btrfs {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names =
            host::names(&self.filesystems).map_err(|err| err.or_no_data("Btrfs filesystem"))?;
        for uuid in names {
            let folder = self.filesystems.join(&uuid);
            // `features` lies there too.
            if folder.join("allocation").is_dir() {
                write(&uuid, &folder, out);
            }
        }
        Ok(())
    }
}

fn write(uuid: &str, folder: &Path, out: &mut Exposition) {
    let label = host::text(&folder.join("label")).unwrap_or_default();
    out.family("node_btrfs_info", "Filesystem information", Kind::Gauge)
        .sample(&[("uuid", uuid), ("label", &label)], 1.0);
    if let Some(bytes) = host::number(&folder.join("allocation/global_rsv_size")) {
        out.family("node_btrfs_global_rsv_size_bytes", "Size of global reserve.", Kind::Gauge)
            .sample(&[("uuid", uuid)], bytes);
    }
    let devices = host::names(&folder.join("devices")).unwrap_or_default();
    for device in &devices {
        // In sectors of 512 bytes, whatever the device uses.
        if let Some(sectors) = host::number(&folder.join("devices").join(device).join("size")) {
            out.family(
                "node_btrfs_device_size_bytes",
                "Size of a device that is part of the filesystem.",
                Kind::Gauge,
            )
            .sample(&[("uuid", uuid), ("device", device)], sectors * 512.0);
        }
    }
    for group in ["data", "metadata", "system"] {
        write_group(uuid, group, &folder.join("allocation").join(group), devices.len(), out);
    }
    let commits = host::attribute(&folder.join("commit_stats"));
    for line in commits.as_deref().map(scan::lines).into_iter().flatten() {
        let mut fields = scan::fields(line);
        let (Some(word), Some(value)) = (fields.next(), fields.next().and_then(scan::f64)) else {
            continue;
        };
        if let Some((_, family, help, kind, scale)) =
            COMMITS.into_iter().find(|(known, ..)| *known == word)
        {
            out.family(family, help, kind).sample(&[("uuid", uuid)], scale.apply(value));
        }
    }
}

/// One kind of block groups and its profiles, which are the folders in it.
fn write_group(uuid: &str, group: &str, folder: &Path, n_devices: usize, out: &mut Exposition) {
    let of_group = [("uuid", uuid), ("block_group_type", group)];
    if let Some(bytes) = host::number(&folder.join("bytes_reserved")) {
        out.family(
            "node_btrfs_reserved_bytes",
            "Amount of space reserved for a data type",
            Kind::Gauge,
        )
        .sample(&of_group, bytes);
    }
    for mode in host::names(folder).unwrap_or_default() {
        let folder = folder.join(&mode);
        let (Some(used), Some(size)) =
            (host::number(&folder.join("used_bytes")), host::number(&folder.join("total_bytes")))
        else {
            continue;
        };
        let labels = [("uuid", uuid), ("block_group_type", group), ("mode", mode.as_str())];
        out.family(
            "node_btrfs_used_bytes",
            "Amount of used space by a layout/data type",
            Kind::Gauge,
        )
        .sample(&labels, used);
        out.family(
            "node_btrfs_size_bytes",
            "Amount of space allocated for a layout/data type",
            Kind::Gauge,
        )
        .sample(&labels, size);
        if let Some(ratio) = ratio(&mode, n_devices) {
            out.family(
                "node_btrfs_allocation_ratio",
                "Data allocation ratio for a layout/data type",
                Kind::Gauge,
            )
            .sample(&labels, ratio);
        }
    }
}

/// Bytes on disks for each byte of data.
fn ratio(mode: &str, n_devices: usize) -> Option<f64> {
    let n_devices = n_devices as f64;
    match mode {
        "single" | "raid0" => Some(1.0),
        "dup" | "raid1" | "raid10" => Some(2.0),
        "raid1c3" => Some(3.0),
        "raid1c4" => Some(4.0),
        "raid5" if n_devices > 1.0 => Some(n_devices / (n_devices - 1.0)),
        "raid6" if n_devices > 2.0 => Some(n_devices / (n_devices - 2.0)),
        _ => None,
    }
}
