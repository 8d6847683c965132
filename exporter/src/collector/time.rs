//! The system clock, its time zone and its sources.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup, zone};
use crate::{host, scan};

struct Time {
    clocksources: PathBuf,
    /// Found at the first scrape; `available` changes when the kernel gives up on a source, so it is read each time.
    devices: Option<Vec<Device>>,
}

/// One folder `clocksource<number>`.
struct Device {
    number: String,
    available: PathBuf,
    current: PathBuf,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Time { clocksources: setup.host.sys("devices/system/clocksource"), devices: None }))
}

impl Collector for Time {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        // A clock before 1970 shows as 0.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        out.gauge(
            "node_time_seconds",
            "System time in seconds since epoch (1970).",
            now.as_secs_f64(),
        );
        if let Some((name, offset)) = zone::local(now.as_secs() as i64) {
            out.family(
                "node_time_zone_offset_seconds",
                "System time zone offset in seconds.",
                Kind::Gauge,
            )
            .sample(&[("time_zone", &name)], f64::from(offset));
        }
        let devices = match &self.devices {
            Some(devices) => devices,
            None => self.devices.insert(find(&self.clocksources)?),
        };
        for Device { number, available, current } in devices {
            let device = number.as_str();
            if let Ok(available) = host::attribute(available) {
                let mut family = out.family(
                    "node_time_clocksource_available_info",
                    "Available clocksources read from '/sys/devices/system/clocksource'.",
                    Kind::Gauge,
                );
                for source in scan::fields(&available) {
                    family.sample(&[("clocksource", &scan::text(source)), ("device", device)], 1.0);
                }
            }
            if let Ok(current) = host::attribute(current) {
                out.family(
                    "node_time_clocksource_current_info",
                    "Current clocksource read from '/sys/devices/system/clocksource'.",
                    Kind::Gauge,
                )
                .sample(&[("clocksource", &scan::text(&current)), ("device", device)], 1.0);
            }
        }
        Ok(())
    }
}

fn find(folder: &Path) -> Result<Vec<Device>, Error> {
    let names = match host::names(folder) {
        Ok(names) => names,
        Err(err) if err.is_absent() => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let device = |name: &String| {
        Some(Device {
            number: name.strip_prefix("clocksource")?.to_owned(),
            available: folder.join(name).join("available_clocksource"),
            current: folder.join(name).join("current_clocksource"),
        })
    };
    Ok(names.iter().filter_map(device).collect())
}
