//! Software RAID, from `/proc/mdstat` and `/sys/block/md*/md`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use self::mdstat::Array;
use super::{Collector, Error, OptionError, Setup};
use crate::{
    host::{self, Host},
    scan,
};

mod mdstat;

struct Mdadm {
    host: Host,
    path: PathBuf,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let path = setup.host.proc("mdstat");
    Ok(Box::new(Mdadm { host: setup.host.clone(), path, buf: Vec::new() }))
}

const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

impl Collector for Mdadm {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text =
            host::read(&self.path, &mut self.buf).map_err(|err| err.or_no_data("software RAID"))?;
        let arrays = mdstat::parse(text).ok_or_else(|| Error::Parse {
            path: self.path.clone(),
            what: "an array without a line of blocks",
        })?;
        write(&arrays, out);
        for array in &arrays {
            let name = scan::text(array.name);
            let folder = self.host.sys("block").join(&*name).join("md");
            for (file, family, help) in [
                ("degraded", "node_md_degraded", "Number of degraded disks on device."),
                ("raid_disks", "node_md_raid_disks", "Number of raid disks on device."),
            ] {
                if let Some(value) = host::number(&folder.join(file)) {
                    out.family(family, help, Kind::Gauge).sample(&[("device", &name)], value);
                }
            }
        }
        Ok(())
    }
}

fn write(arrays: &[Array<'_>], out: &mut Exposition) {
    let mut states = out.family("node_md_state", "Indicates the state of md-device.", Kind::Gauge);
    for array in arrays {
        let name = scan::text(array.name);
        for state in STATES {
            let is_in = f64::from(u8::from(state == array.state));
            states.sample(&[("device", &name), ("state", state)], is_in);
        }
    }
    let mut disks =
        out.family("node_md_disks", "Number of active/failed/spare disks of device.", Kind::Gauge);
    for array in arrays {
        let name = scan::text(array.name);
        for (state, count) in [
            ("active", array.active_disks),
            ("failed", array.failed_disks),
            ("spare", array.spare_disks),
        ] {
            disks.sample(&[("device", &name), ("state", state)], count as f64);
        }
    }
    type Figure = for<'a, 'b> fn(&'a Array<'b>) -> u64;
    let single: [(&str, &str, Figure); 3] = [
        ("node_md_disks_required", "Total number of disks of device.", |array| array.total_disks),
        ("node_md_blocks", "Total number of blocks on device.", |array| array.blocks),
        ("node_md_blocks_synced", "Number of blocks synced on device.", |array| {
            array.blocks_synced
        }),
    ];
    for (family, help, figure) in single {
        let mut family = out.family(family, help, Kind::Gauge);
        for array in arrays {
            family.sample(&[("device", &scan::text(array.name))], figure(array) as f64);
        }
    }
}
