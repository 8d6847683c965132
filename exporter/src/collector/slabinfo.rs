//! Objects in the kernel's slabs, from `/proc/slabinfo`, which only root may read. Off by default, as in node_exporter.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter::NameFilter, scan};

struct SlabInfo {
    path: PathBuf,
    filter: NameFilter,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(SlabInfo {
        path: setup.host.proc("slabinfo"),
        filter: NameFilter::from_pair(
            ("collector.slabinfo.slabs-include", &setup.options.slabs_include),
            ("collector.slabinfo.slabs-exclude", &setup.options.slabs_exclude),
            "",
        )?,
        buf: Vec::new(),
    }))
}

/// By the position of their numbers in a line, after the name.
const FAMILIES: [(&str, &str); 5] = [
    (
        "node_slabinfo_active_objects",
        "The number of objects that are currently active (i.e., in use).",
    ),
    (
        "node_slabinfo_objects",
        "The total number of allocated objects (i.e., objects that are both in use and not in use).",
    ),
    ("node_slabinfo_object_size_bytes", "The size of objects in this slab, in bytes."),
    ("node_slabinfo_objects_per_slab", "The number of objects stored in each slab."),
    ("node_slabinfo_pages_per_slab", "The number of pages allocated for each slab."),
];

impl Collector for SlabInfo {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text =
            host::read(&self.path, &mut self.buf).map_err(|err| err.or_no_data("list of slabs"))?;
        // Two lines of heading; `name active objects size objects/slab pages/slab : …`.
        for line in scan::lines(text).skip(2) {
            let mut fields = scan::fields(line);
            let name = scan::text(fields.next().unwrap_or_default());
            if !self.filter.admits(name.as_bytes()) {
                continue;
            }
            for (family, help) in FAMILIES {
                let value = fields.next().and_then(scan::f64).ok_or_else(|| Error::Parse {
                    path: self.path.clone(),
                    what: "a line is not a name and five numbers",
                })?;
                out.family(family, help, Kind::Gauge).sample(&[("slab", &name)], value);
            }
        }
        Ok(())
    }
}
