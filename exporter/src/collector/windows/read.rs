//! The half that asks Windows.

use std::time::SystemTime;

use sysinfo::{DiskRefreshKind, Disks, System};
use windows_service::{
    service::ServiceAccess,
    service_manager::{ServiceManager, ServiceManagerAccess},
};

use super::{
    super::{
        Collector, OptionError, Setup,
        halves::{Halves, kept, list, said, told},
    },
    cpu, cs, logical_disk, memory, net, os, pagefile, service, system, time,
};
use crate::name_filter::NameFilter;

mod native;
mod registry;

type Opened = Result<Box<dyn Collector>, OptionError>;

/// A filter that looks at whole names, as windows_exporter's do.
fn whole_names(
    (include_flag, include): (&'static str, &Option<String>),
    (exclude_flag, exclude): (&'static str, &Option<String>),
) -> Result<NameFilter, OptionError> {
    let whole = |pattern: &Option<String>| {
        pattern.as_ref().filter(|text| !text.is_empty()).map(|text| format!("^(?:{text})$"))
    };
    NameFilter::from_pair((include_flag, &whole(include)), (exclude_flag, &whole(exclude)), "")
}

pub(super) fn open_cpu(_: &Setup<'_>) -> Opened {
    let mut machine = None;
    let read = move || {
        let processors = said("ask for the times of processors", native::processors())?;
        let machine = kept(&mut machine, System::new)?;
        machine.refresh_cpu_frequency();
        let frequencies = machine.cpus().iter().map(sysinfo::Cpu::frequency).collect();
        Ok(cpu::Facts { processors, frequencies })
    };
    Ok(Box::new(Halves { read, write: cpu::write }))
}

pub(super) fn open_cs(_: &Setup<'_>) -> Opened {
    let read = || {
        let n_processors = said("ask for the times of processors", native::processors())?.len();
        let info = said("ask for memory", native::performance())?;
        let physical_bytes = info.PhysicalTotal as u64 * info.PageSize as u64;
        Ok(cs::Facts { names: registry::names(), n_processors, physical_bytes })
    };
    Ok(Box::new(Halves { read, write: cs::write }))
}

pub(super) fn open_logical_disk(setup: &Setup<'_>) -> Opened {
    let options = setup.options;
    let mut filter = whole_names(
        ("collector.logical_disk.volume-include", &options.volume_include),
        ("collector.logical_disk.volume-exclude", &options.volume_exclude),
    )?;
    let mut disks = None;
    let read = move || {
        let what = DiskRefreshKind::nothing().with_storage().with_io_usage();
        let disks = kept(&mut disks, Disks::new)?;
        disks.refresh_specifics(true, what);
        let mut volumes: Vec<_> = disks.iter().map(volume).collect();
        volumes.retain(|volume| filter.admits(volume.name().as_bytes()));
        volumes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        volumes.dedup_by(|a, b| a.path == b.path);
        Ok(volumes)
    };
    Ok(list(read, logical_disk::write))
}

fn volume(disk: &sysinfo::Disk) -> logical_disk::Volume {
    let usage = disk.usage();
    let traffic = (usage.total_read_bytes, usage.total_written_bytes);
    logical_disk::Volume {
        path: disk.mount_point().to_string_lossy().into_owned(),
        label: disk.name().to_string_lossy().into_owned(),
        filesystem: disk.file_system().to_string_lossy().into_owned(),
        is_removable: disk.is_removable(),
        is_read_only: disk.is_read_only(),
        size: disk.total_space(),
        free: disk.available_space(),
        // A volume that was mounted was read: 0 is how a driver that does not count is told.
        traffic: (traffic != (0, 0)).then_some(traffic),
    }
}

pub(super) fn open_memory(_: &Setup<'_>) -> Opened {
    let read = || {
        let info = said("ask for memory", native::performance())?;
        let bytes = |pages: usize| pages as u64 * info.PageSize as u64;
        Ok(memory::Facts {
            physical_total: bytes(info.PhysicalTotal),
            physical_available: bytes(info.PhysicalAvailable),
            committed: bytes(info.CommitTotal),
            commit_limit: bytes(info.CommitLimit),
            cache: bytes(info.SystemCache),
            pool_paged: bytes(info.KernelPaged),
            pool_nonpaged: bytes(info.KernelNonpaged),
            faults: said("ask for page faults", native::faults())?,
        })
    };
    Ok(Box::new(Halves { read, write: memory::write }))
}

pub(super) fn open_net(setup: &Setup<'_>) -> Opened {
    let options = setup.options;
    let mut filter = whole_names(
        ("collector.net.nic-include", &options.nic_include),
        ("collector.net.nic-exclude", &options.nic_exclude),
    )?;
    let read = move || {
        let mut all = said("list the network interfaces", native::interfaces())?;
        all.retain(|nic| filter.admits(net::label(&nic.description).as_bytes()));
        all.sort_by(|a, b| a.description.cmp(&b.description));
        all.dedup_by(|a, b| a.description == b.description);
        Ok(all)
    };
    Ok(list(read, net::write))
}

pub(super) fn open_os(_: &Setup<'_>) -> Opened {
    let read = || said("read the version from the registry", registry::os());
    Ok(Box::new(Halves { read, write: os::write }))
}

pub(super) fn open_pagefile(_: &Setup<'_>) -> Opened {
    let read = || {
        let page_bytes = said("ask for memory", native::performance())?.PageSize as u64;
        said("list the paging files", native::page_files(page_bytes))
    };
    Ok(list(read, pagefile::write))
}

pub(super) fn open_service(setup: &Setup<'_>) -> Opened {
    let options = setup.options;
    let mut filter = whole_names(
        ("collector.service.include", &options.service_include),
        ("collector.service.exclude", &options.service_exclude),
    )?;
    let read = move || {
        let mut services = said("list the services", native::services())?;
        services.retain(|one| filter.admits(one.name.as_bytes()));
        services.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let access = ServiceManagerAccess::CONNECT;
        let manager = ServiceManager::local_computer(None::<&str>, access).ok();
        for one in &mut services {
            one.config = manager.as_ref().and_then(|manager| service_config(manager, &one.name));
            if one.process_id > 0 {
                one.started_at = native::process_started_at(one.process_id);
            }
        }
        Ok(services)
    };
    Ok(list(read, service::write))
}

/// `None` where we may not ask, or the service is gone.
fn service_config(manager: &ServiceManager, name: &str) -> Option<service::Config> {
    let config =
        manager.open_service(name, ServiceAccess::QUERY_CONFIG).ok()?.query_config().ok()?;
    let account = config.account_name.unwrap_or_default();
    Some(service::Config {
        display_name: config.display_name.to_string_lossy().into_owned(),
        run_as: account.to_string_lossy().into_owned(),
        path: config.executable_path.to_string_lossy().into_owned(),
        start_mode: config.start_type.to_raw(),
    })
}

/// How far two looks at the time of the start may lie apart, in seconds: each is "now" minus "up for so long".
const BOOT_TIME_JITTER: u64 = 2;

pub(super) fn open_system(_: &Setup<'_>) -> Opened {
    let mut booted_at: u64 = 0;
    let read = move || {
        let info = said("ask for processes", native::performance())?;
        let faults = said("ask for context switches", native::faults())?;
        // Moves only when the clock was set.
        let now = told("ask when the system started", System::boot_time())?;
        if now.abs_diff(booted_at) > BOOT_TIME_JITTER {
            booted_at = now;
        }
        Ok(system::Facts {
            n_processes: u64::from(info.ProcessCount),
            n_threads: u64::from(info.ThreadCount),
            booted_at,
            n_context_switches: faults.map(|faults| faults.context_switches),
            n_system_calls: faults.map(|faults| faults.system_calls),
        })
    };
    Ok(Box::new(Halves { read, write: system::write }))
}

pub(super) fn open_time(_: &Setup<'_>) -> Opened {
    Ok(Box::new(Halves { read: || Ok(SystemTime::now()), write: time::write }))
}
