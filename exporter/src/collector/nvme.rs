//! NVMe controllers, from `/sys/class/nvme`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::host;

struct Nvme {
    class: PathBuf,
}

/// (label, file)
const FILES: [(&str, &str); 5] = [
    ("cntlid", "cntlid"),
    ("firmware_revision", "firmware_rev"),
    ("model", "model"),
    ("serial", "serial"),
    ("state", "state"),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Nvme { class: setup.host.sys("class/nvme") }))
}

impl Collector for Nvme {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.class).map_err(|err| err.or_no_data("NVMe"))?;
        let mut family = out.family(
            "node_nvme_info",
            "Non-numeric data from /sys/class/nvme/<device>, value is always 1.",
            Kind::Gauge,
        );
        for name in names {
            let folder = self.class.join(&name);
            let texts = FILES.map(|(_, file)| host::text(&folder.join(file)).unwrap_or_default());
            let mut labels = vec![("device", name.as_str())];
            labels
                .extend(FILES.iter().zip(&texts).map(|((label, _), text)| (*label, text.as_str())));
            family.sample(&labels, 1.0);
        }
        Ok(())
    }
}
