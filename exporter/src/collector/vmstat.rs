//! Counters of virtual memory, from `/proc/vmstat`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter::NameFilter, scan};

const FIELDS_DEFAULT: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";

struct VmStat {
    path: PathBuf,
    filter: NameFilter,
    name: String,
    help: String,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let fields = setup.options.vmstat_fields.as_deref().unwrap_or(FIELDS_DEFAULT);
    Ok(Box::new(VmStat {
        path: setup.host.proc("vmstat"),
        filter: NameFilter::including("collector.vmstat.fields", fields)?,
        name: String::new(),
        help: String::new(),
        buf: Vec::new(),
    }))
}

impl Collector for VmStat {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        for line in scan::lines(text) {
            let parsed = scan::split_once(line, b' ')
                .and_then(|(name, value)| Some((name, scan::f64(value.trim_ascii())?)));
            let Some((field, value)) = parsed else {
                return Err(Error::Parse {
                    path: self.path.clone(),
                    what: "a line is not `name number`",
                });
            };
            if self.filter.admits(field) {
                let field = scan::text(field);
                self.name.clear();
                self.name.extend(["node_vmstat_", &field]);
                self.help.clear();
                self.help.extend(["/proc/vmstat information field ", &field, "."]);
                out.family(&self.name, &self.help, Kind::Untyped).sample(&[], value);
            }
        }
        Ok(())
    }
}
