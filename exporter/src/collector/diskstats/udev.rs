//! What does not change about a device: udev's database (one file a device, lines `E:NAME=value`) and whether it turns.
//!
//! It is read again only when udev's file was modified.

use std::{collections::HashMap, path::Path, time::SystemTime};

use crate::{
    host::{self, Host},
    scan,
};

/// The properties that are kept.
const KEPT: [&str; 23] = [
    "DM_LV_LAYER",
    "DM_LV_NAME",
    "DM_NAME",
    "DM_UUID",
    "DM_VG_NAME",
    "ID_ATA",
    "ID_ATA_ROTATION_RATE_RPM",
    "ID_ATA_WRITE_CACHE",
    "ID_ATA_WRITE_CACHE_ENABLED",
    "ID_FS_TYPE",
    "ID_FS_USAGE",
    "ID_FS_UUID",
    "ID_FS_VERSION",
    "ID_MODEL",
    "ID_PATH",
    "ID_REVISION",
    "ID_SERIAL",
    "ID_SERIAL_SHORT",
    "ID_WWN",
    "SCSI_IDENT_SERIAL",
    "ID_VENDOR",
    "ID_TYPE",
    "ID_BUS",
];

pub(super) struct Database {
    host: Host,
    devices: HashMap<(u32, u32), Device>,
}

struct Device {
    name: String,
    modified: Option<SystemTime>,
    properties: Properties,
}

/// What is known about one device.
#[derive(Debug, Default)]
pub(super) struct Properties {
    udev: Vec<(&'static str, String)>,
    is_rotational: bool,
}

impl Properties {
    /// A property, or nothing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.udev.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Whether it has platters; devices without a queue have not.
    pub(super) fn is_rotational(&self) -> bool {
        self.is_rotational
    }

    fn parse(text: &[u8]) -> Self {
        let mut properties = Vec::new();
        for line in scan::lines(text) {
            let Some(property) = line.strip_prefix(b"E:") else { continue };
            let Some((name, value)) = scan::split_once(property, b'=') else { continue };
            if let Some(known) = KEPT.into_iter().find(|known| known.as_bytes() == name) {
                properties.push((known, scan::text(value).into_owned()));
            }
        }
        Self { udev: properties, is_rotational: false }
    }
}

impl Database {
    pub(super) fn new(host: Host) -> Self {
        Self { host, devices: HashMap::new() }
    }

    /// Forgets devices that are gone.
    pub(super) fn retain(&mut self, keep: impl Fn((u32, u32)) -> bool) {
        self.devices.retain(|id, _| keep(*id));
    }

    pub(super) fn get(&mut self, major: u32, minor: u32, name: &str) -> &Properties {
        let path = self.host.udev(&format!("b{major}:{minor}"));
        let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        let known = self.devices.get(&(major, minor));
        if known.is_none_or(|known| known.modified != modified || known.name != name) {
            let queue = self.host.sys("block").join(name).join("queue/rotational");
            let mut properties = read(&path);
            properties.is_rotational = host::number(&queue) == Some(1.0);
            let device = Device { name: name.to_owned(), modified, properties };
            self.devices.insert((major, minor), device);
        }
        &self.devices[&(major, minor)].properties
    }
}

fn read(path: &Path) -> Properties {
    let mut buf = Vec::new();
    host::read(path, &mut buf).map(Properties::parse).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text =
            b"S:disk/by-id/x\nE:ID_MODEL=Fast=Disk\nE:UNKNOWN=1\nE:broken\nE:ID_SERIAL=\xff\n";
        let properties = Properties::parse(text);
        assert_eq!(properties.get("ID_MODEL"), "Fast=Disk");
        assert_eq!(properties.get("ID_SERIAL"), "\u{fffd}");
        assert_eq!(properties.get("UNKNOWN"), "");
    }
}
