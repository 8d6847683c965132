//! How many neighbours each interface knows over ARP, from `/proc/net/arp`.

use std::{collections::BTreeMap, path::PathBuf};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter::NameFilter, scan};

struct Arp {
    path: PathBuf,
    filter: NameFilter,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Arp {
        path: setup.host.proc("net/arp"),
        filter: NameFilter::from_pair(
            ("collector.arp.device-include", &setup.options.arp_include),
            ("collector.arp.device-exclude", &setup.options.arp_exclude),
            "",
        )?,
        buf: Vec::new(),
    }))
}

impl Collector for Arp {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let mut entries: BTreeMap<&[u8], u64> = BTreeMap::new();
        // The heading, then `address type flags hardware-address mask device`.
        for line in scan::lines(text).skip(1) {
            let Some(device) = scan::fields(line).nth(5) else {
                return Err(Error::Parse { path: self.path.clone(), what: "a line has no device" });
            };
            if self.filter.admits(device) {
                *entries.entry(device).or_default() += 1;
            }
        }
        let mut family = out.family("node_arp_entries", "ARP entries by device", Kind::Gauge);
        for (device, count) in entries {
            family.sample(&[("device", &scan::text(device))], count as f64);
        }
        Ok(())
    }
}
