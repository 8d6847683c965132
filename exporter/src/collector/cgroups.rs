//! How many control groups each controller has, from `/proc/cgroups`. Off by default, as in node_exporter.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Cgroups {
    path: PathBuf,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Cgroups { path: setup.host.proc("cgroups"), buf: Vec::new() }))
}

impl Collector for Cgroups {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)
            .map_err(|err| err.or_no_data("control groups"))?;
        // A heading, then `name hierarchy number enabled`.
        for line in scan::lines(text).filter(|line| !line.starts_with(b"#")) {
            let fields: Vec<&[u8]> = scan::fields(line).collect();
            let [name, _, number, enabled] = fields[..] else {
                let what = "a line is not `name hierarchy number enabled`";
                return Err(Error::Parse { path: self.path.clone(), what });
            };
            let name = scan::text(name);
            let labels = [("subsys_name", &*name)];
            for (family, field) in
                [("node_cgroups_cgroups", number), ("node_cgroups_enabled", enabled)]
            {
                if let Some(value) = scan::f64(field) {
                    // The same help for both, as in node_exporter.
                    out.family(family, "Current cgroup number of the subsystem.", Kind::Gauge)
                        .sample(&labels, value);
                }
            }
        }
        Ok(())
    }
}
