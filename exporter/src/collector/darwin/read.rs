//! The half that asks macOS.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, Networks, System};

use super::{
    super::{
        Collector, Error, OptionError, Setup,
        halves::{Halves, kept, list, said, told},
        zone,
    },
    cpu, diskstats, filesystem, loadavg, meminfo, netdev, os, time, uname,
};
use crate::{files, name_filter::NameFilter};

mod native;

type Opened = Result<Box<dyn Collector>, OptionError>;

/// Mount points and types that node_exporter hides on macOS.
const MOUNT_POINTS_EXCLUDE: &str = "^/(dev)($|/)";
const FS_TYPES_EXCLUDE: &str = "^devfs$";

const SYSTEM_VERSION: &str = "/System/Library/CoreServices/SystemVersion.plist";
/// It has less than 1 kB.
const SYSTEM_VERSION_BYTES_MAX: u64 = 64 << 10;

pub(super) fn open_boottime(_: &Setup<'_>) -> Opened {
    let read = || told("ask when the system started", System::boot_time());
    Ok(Box::new(Halves { read, write: loadavg::write_boot_time }))
}

pub(super) fn open_cpu(_: &Setup<'_>) -> Opened {
    let host = native::Host::open();
    let read = move || said("ask for the times of processors", host.processors());
    Ok(list(read, cpu::write))
}

pub(super) fn open_diskstats(_: &Setup<'_>) -> Opened {
    let mut volumes = None;
    let read = move || {
        let volumes = kept(&mut volumes, Disks::new)?;
        volumes.refresh_specifics(true, DiskRefreshKind::nothing().with_io_usage());
        let mounts = said("list the mounted filesystems", native::mounts())?;
        let mut disks = Vec::new();
        for volume in volumes.iter() {
            let mount =
                mounts.iter().find(|mount| Path::new(&mount.mount_point) == volume.mount_point());
            let usage = volume.usage();
            let (read, written) = (usage.total_read_bytes, usage.total_written_bytes);
            // A disk that was mounted was read: 0 is how one that is not counted is told.
            if let (Some(mount), 1..) = (mount, read) {
                diskstats::add(&mut disks, &mount.device, read, written);
            }
        }
        disks.sort_unstable_by(|a, b| a.device.cmp(&b.device));
        Ok(disks)
    };
    Ok(list(read, diskstats::write))
}

pub(super) fn open_filesystem(setup: &Setup<'_>) -> Opened {
    let options = setup.options;
    let mut mount_points = NameFilter::from_pair(
        ("collector.filesystem.mount-points-include", &options.mount_points_include),
        ("collector.filesystem.mount-points-exclude", &options.mount_points_exclude),
        MOUNT_POINTS_EXCLUDE,
    )?;
    let mut fs_types = NameFilter::from_pair(
        ("collector.filesystem.fs-types-include", &options.fs_types_include),
        ("collector.filesystem.fs-types-exclude", &options.fs_types_exclude),
        FS_TYPES_EXCLUDE,
    )?;
    let read = move || {
        let mut mounts = said("list the mounted filesystems", native::mounts())?;
        mounts.retain(|mount| {
            mount_points.admits(mount.mount_point.as_bytes())
                && fs_types.admits(mount.fs_type.as_bytes())
        });
        Ok(mounts)
    };
    Ok(list(read, filesystem::write))
}

pub(super) fn open_loadavg(_: &Setup<'_>) -> Opened {
    let read = || {
        let loads = told("ask for the load", System::load_average())?;
        Ok([loads.one, loads.five, loads.fifteen])
    };
    Ok(Box::new(Halves { read, write: loadavg::write }))
}

pub(super) fn open_meminfo(_: &Setup<'_>) -> Opened {
    let host = native::Host::open();
    let mut system = None;
    let read = move || {
        let system = kept(&mut system, System::new)?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram().with_swap());
        Ok(meminfo::Facts {
            page_bytes: rustix::param::page_size() as u64,
            pages: said("ask for memory", host.pages())?,
            total: system.total_memory(),
            swap_total: system.total_swap(),
            swap_used: system.used_swap(),
        })
    };
    Ok(Box::new(Halves { read, write: meminfo::write }))
}

pub(super) fn open_netdev(setup: &Setup<'_>) -> Opened {
    let options = setup.options;
    let mut filter = NameFilter::from_pair(
        ("collector.netdev.device-include", &options.netdev_include),
        ("collector.netdev.device-exclude", &options.netdev_exclude),
        "",
    )?;
    let mut networks = None;
    let read = move || {
        let networks = kept(&mut networks, Networks::new)?;
        networks.refresh(true);
        let all = networks.iter().map(|(name, data)| device(&name.to_string_lossy(), data));
        let mut devices: Vec<netdev::Device> =
            all.filter(|device| filter.admits(device.name.as_bytes())).collect();
        devices.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(devices)
    };
    Ok(list(read, netdev::write))
}

fn device(name: &str, data: &sysinfo::NetworkData) -> netdev::Device {
    netdev::Device {
        name: name.to_owned(),
        receive_bytes: data.total_received(),
        receive_errs: data.total_errors_on_received(),
        receive_packets: data.total_packets_received(),
        transmit_bytes: data.total_transmitted(),
        transmit_errs: data.total_errors_on_transmitted(),
        transmit_packets: data.total_packets_transmitted(),
    }
}

pub(super) fn open_os(_: &Setup<'_>) -> Opened {
    let read = || {
        let path = PathBuf::from(SYSTEM_VERSION);
        let mut text = Vec::new();
        let whole = files::open(&path)
            .and_then(|(file, _)| files::read(file, SYSTEM_VERSION_BYTES_MAX, &mut text));
        match whole {
            Ok(()) => Ok(os::Release::parse(&String::from_utf8_lossy(&text))),
            Err(source) => Err(Error::Read { path, source }),
        }
    };
    Ok(Box::new(Halves { read, write: os::write }))
}

pub(super) fn open_time(_: &Setup<'_>) -> Opened {
    let read = || {
        // A clock before 1970 shows as 0.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(time::Facts { seconds: now.as_secs_f64(), zone: zone::local(now.as_secs() as i64) })
    };
    Ok(Box::new(Halves { read, write: time::write }))
}

pub(super) fn open_uname(_: &Setup<'_>) -> Opened {
    let read = || {
        let names = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        Ok(uname::Facts {
            sysname: text(names.sysname()),
            release: text(names.release()),
            version: text(names.version()),
            machine: text(names.machine()),
            nodename: text(names.nodename()),
        })
    };
    Ok(Box::new(Halves { read, write: uname::write }))
}
