//! Batteries and mains, from `/sys/class/power_supply`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};
use regexp::Regexp;

use super::{Collector, Error, OptionError, Setup, attributes::Scale};
use crate::{host, name_filter};

struct PowerSupply {
    class: PathBuf,
    ignored: Option<Regexp>,
    name: String,
    help: String,
}

/// (name after `node_power_supply_`, file, scale); the kernel counts in micro-units and tenths of degrees.
const NUMBERS: [(&str, &str, Scale); 49] = {
    const MICRO: Scale = Scale::Per(1e6);
    const TENTHS: Scale = Scale::Per(10.0);
    [
        ("authentic", "authentic", Scale::One),
        ("calibrate", "calibrate", Scale::One),
        ("capacity", "capacity", Scale::One),
        ("capacity_alert_max", "capacity_alert_max", Scale::One),
        ("capacity_alert_min", "capacity_alert_min", Scale::One),
        ("cyclecount", "cycle_count", Scale::One),
        ("online", "online", Scale::One),
        ("present", "present", Scale::One),
        ("time_to_empty_seconds", "time_to_empty_now", Scale::One),
        ("time_to_full_seconds", "time_to_full_now", Scale::One),
        ("current_boot", "current_boot", MICRO),
        ("current_max", "current_max", MICRO),
        ("current_ampere", "current_now", MICRO),
        ("energy_empty", "energy_empty", MICRO),
        ("energy_empty_design", "energy_empty_design", MICRO),
        ("energy_full", "energy_full", MICRO),
        ("energy_full_design", "energy_full_design", MICRO),
        ("energy_watthour", "energy_now", MICRO),
        ("voltage_boot", "voltage_boot", MICRO),
        ("voltage_max", "voltage_max", MICRO),
        ("voltage_max_design", "voltage_max_design", MICRO),
        ("voltage_min", "voltage_min", MICRO),
        ("voltage_min_design", "voltage_min_design", MICRO),
        ("voltage_volt", "voltage_now", MICRO),
        ("voltage_ocv", "voltage_ocv", MICRO),
        ("charge_control_limit", "charge_control_limit", MICRO),
        ("charge_control_limit_max", "charge_control_limit_max", MICRO),
        ("charge_counter", "charge_counter", MICRO),
        ("charge_empty", "charge_empty", MICRO),
        ("charge_empty_design", "charge_empty_design", MICRO),
        ("charge_full", "charge_full", MICRO),
        ("charge_full_design", "charge_full_design", MICRO),
        ("charge_ampere", "charge_now", MICRO),
        ("charge_term_current", "charge_term_current", MICRO),
        ("constant_charge_current", "constant_charge_current", MICRO),
        ("constant_charge_current_max", "constant_charge_current_max", MICRO),
        ("constant_charge_voltage", "constant_charge_voltage", MICRO),
        ("constant_charge_voltage_max", "constant_charge_voltage_max", MICRO),
        ("precharge_current", "precharge_current", MICRO),
        ("input_current_limit", "input_current_limit", MICRO),
        ("power_watt", "power_now", MICRO),
        ("temp_celsius", "temp", TENTHS),
        ("temp_alert_max_celsius", "temp_alert_max", TENTHS),
        ("temp_alert_min_celsius", "temp_alert_min", TENTHS),
        ("temp_ambient_celsius", "temp_ambient", TENTHS),
        ("temp_ambient_max_celsius", "temp_ambient_max", TENTHS),
        ("temp_ambient_min_celsius", "temp_ambient_min", TENTHS),
        ("temp_max_celsius", "temp_max", TENTHS),
        ("temp_min_celsius", "temp_min", TENTHS),
    ]
};

/// Labels of the info family, which are named as their files; empty ones are left out.
const TEXTS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
    "scope",
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let flag = "collector.powersupply.ignored-supplies";
    Ok(Box::new(PowerSupply {
        class: setup.host.sys("class/power_supply"),
        ignored: name_filter::compile(flag, setup.options.power_supply_ignored.as_deref())?,
        name: String::new(),
        help: String::new(),
    }))
}

impl Collector for PowerSupply {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let supplies = host::names(&self.class).map_err(|err| err.or_no_data("power supplies"))?;
        for supply in supplies {
            if self.ignored.as_ref().is_some_and(|ignored| ignored.is_match(supply.as_bytes())) {
                continue;
            }
            let folder = self.class.join(&supply);
            for (stem, file, scale) in NUMBERS {
                if let Some(value) = host::number(&folder.join(file)) {
                    self.name.clear();
                    self.name.extend(["node_power_supply_", stem]);
                    self.help.clear();
                    self.help.extend([stem, " value of /sys/class/power_supply/<power_supply>."]);
                    out.family(&self.name, &self.help, Kind::Gauge)
                        .sample(&[("power_supply", &supply)], scale.apply(value));
                }
            }
            let texts = TEXTS.map(|file| host::text(&folder.join(file)).unwrap_or_default());
            let mut labels = vec![("power_supply", supply.as_str())];
            labels.extend(TEXTS.into_iter().zip(texts.iter().map(String::as_str)));
            labels.retain(|(_, value)| !value.is_empty());
            out.family(
                "node_power_supply_info",
                "info of /sys/class/power_supply/<power_supply>.",
                Kind::Gauge,
            )
            .sample(&labels, 1.0);
        }
        Ok(())
    }
}
