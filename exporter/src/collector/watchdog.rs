//! Watchdog timers, from `/sys/class/watchdog`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{
    Collector, Error, OptionError, Setup,
    attributes::{self, Attribute, gauge},
};
use crate::host;

struct Watchdog {
    class: PathBuf,
}

const NUMBERS: [Attribute; 7] = [
    gauge(
        "bootstatus",
        "node_watchdog_bootstatus",
        "Value of /sys/class/watchdog/<watchdog>/bootstatus",
    ),
    gauge(
        "fw_version",
        "node_watchdog_fw_version",
        "Value of /sys/class/watchdog/<watchdog>/fw_version",
    ),
    gauge("nowayout", "node_watchdog_nowayout", "Value of /sys/class/watchdog/<watchdog>/nowayout"),
    gauge(
        "timeleft",
        "node_watchdog_timeleft_seconds",
        "Value of /sys/class/watchdog/<watchdog>/timeleft",
    ),
    gauge(
        "timeout",
        "node_watchdog_timeout_seconds",
        "Value of /sys/class/watchdog/<watchdog>/timeout",
    ),
    gauge(
        "pretimeout",
        "node_watchdog_pretimeout_seconds",
        "Value of /sys/class/watchdog/<watchdog>/pretimeout",
    ),
    gauge(
        "access_cs0",
        "node_watchdog_access_cs0",
        "Value of /sys/class/watchdog/<watchdog>/access_cs0",
    ),
];
/// Labels of the info family, named as their files.
const TEXTS: [&str; 5] = ["options", "identity", "state", "status", "pretimeout_governor"];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Watchdog { class: setup.host.sys("class/watchdog") }))
}

impl Collector for Watchdog {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.class).map_err(|err| err.or_no_data("watchdogs"))?;
        for name in names {
            let folder = self.class.join(&name);
            attributes::write(&folder, &NUMBERS, &[("name", &name)], out);
            let texts = TEXTS.map(|file| host::text(&folder.join(file)).unwrap_or_default());
            let mut labels = vec![("name", name.as_str())];
            labels.extend(TEXTS.into_iter().zip(texts.iter().map(String::as_str)));
            out.family("node_watchdog_info", "Info of /sys/class/watchdog/<watchdog>", Kind::Gauge)
                .sample(&labels, 1.0);
        }
        Ok(())
    }
}
