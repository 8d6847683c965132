//! Thermal zones and cooling devices, from `/sys/class/thermal`.

use std::path::PathBuf;

use proto::exposition::Exposition;

use super::{
    Collector, Error, OptionError, Setup,
    attributes::{self, Attribute, Scale, gauge},
};
use crate::host;

struct ThermalZone {
    class: PathBuf,
}

const ZONE: [Attribute; 1] =
    [gauge("temp", "node_thermal_zone_temp", "Zone temperature in Celsius")
        .scaled(Scale::Per(1000.0))];
const COOLING_DEVICE: [Attribute; 2] = [
    gauge(
        "cur_state",
        "node_cooling_device_cur_state",
        "Current throttle state of the cooling device",
    ),
    gauge(
        "max_state",
        "node_cooling_device_max_state",
        "Maximum throttle state of the cooling device",
    ),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(ThermalZone { class: setup.host.sys("class/thermal") }))
}

impl Collector for ThermalZone {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.class).map_err(|err| err.or_no_data("thermal zones"))?;
        for name in &names {
            let (number, label, table) = if let Some(number) = name.strip_prefix("thermal_zone") {
                (number, "zone", &ZONE[..])
            } else if let Some(number) = name.strip_prefix("cooling_device") {
                (number, "name", &COOLING_DEVICE[..])
            } else {
                continue;
            };
            let folder = self.class.join(name);
            let Some(kind) = host::text(&folder.join("type")) else { continue };
            attributes::write(&folder, table, &[(label, number), ("type", &kind)], out);
        }
        Ok(())
    }
}
