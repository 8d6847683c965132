//! Which family a sensor's file belongs to, by its type and element.

use proto::exposition::Kind;

use super::super::attributes::Scale;

/// A family and what its numbers are multiplied with.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: Kind,
    pub(super) scale: Scale,
}

const MILLI: Scale = Scale::Per(1000.0);
const MICRO: Scale = Scale::Per(1e6);

impl Family {
    /// `both` says that the sensor has a file without an element beside the one with `input`.
    pub(super) fn of(sensor_type: &str, element: &str, both: bool) -> Self {
        let mut name = ["node_hwmon_", sensor_type].concat();
        // The input is the value itself.
        if !element.is_empty() && (element != "input" || both) {
            name.push('_');
            name.push_str(&super::clean(element));
        }
        let gauge = |suffix: &str, help: String, scale| Self {
            name: [name.as_str(), suffix].concat(),
            help,
            kind: Kind::Gauge,
            scale,
        };
        match (sensor_type, element) {
            ("beep_enable", _) => Self {
                name: "node_hwmon_beep_enabled".to_owned(),
                help: "Hardware beep enabled".to_owned(),
                kind: Kind::Gauge,
                scale: Scale::One,
            },
            ("vrm", _) => Self {
                name: "node_hwmon_voltage_regulator_version".to_owned(),
                help: "Hardware voltage regulator".to_owned(),
                kind: Kind::Gauge,
                scale: Scale::One,
            },
            ("update_interval", _) => Self {
                name: "node_hwmon_update_interval_seconds".to_owned(),
                help: "Hardware monitor update interval".to_owned(),
                kind: Kind::Gauge,
                scale: MILLI,
            },
            (_, "fault" | "alarm") => {
                gauge("", format!("Hardware sensor {element} status ({sensor_type})"), Scale::One)
            }
            (_, "beep") => gauge(
                "_enabled",
                "Hardware monitor sensor has beeping enabled".to_owned(),
                Scale::One,
            ),
            ("in" | "cpu", _) => {
                gauge("_volts", format!("Hardware monitor for voltage ({element})"), MILLI)
            }
            ("temp", element) if element != "type" => {
                gauge("_celsius", format!("Hardware monitor for temperature ({element})"), MILLI)
            }
            ("curr", _) => {
                gauge("_amps", format!("Hardware monitor for current ({element})"), MILLI)
            }
            ("energy", _) => Self {
                name: [name.as_str(), "_joule_total"].concat(),
                help: format!("Hardware monitor for joules used so far ({element})"),
                kind: Kind::Counter,
                scale: MICRO,
            },
            ("power", "accuracy") => {
                gauge("", "Hardware monitor power meter accuracy, as a ratio".to_owned(), MICRO)
            }
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
                gauge(
                    "_seconds",
                    format!("Hardware monitor power usage update interval ({element})"),
                    MILLI,
                )
            }
            ("power", _) => gauge(
                "_watt",
                format!("Hardware monitor for power usage in watts ({element})"),
                MICRO,
            ),
            ("humidity", _) => gauge(
                "",
                format!(
                    "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) ({element})"
                ),
                MICRO,
            ),
            ("fan", "input" | "min" | "max" | "target") => gauge(
                "_rpm",
                format!("Hardware monitor for fan revolutions per minute ({element})"),
                Scale::One,
            ),
            ("freq", "input") => {
                gauge("_freq_mhz", "Hardware monitor for GPU frequency in MHz".to_owned(), MICRO)
            }
            _ => gauge("", format!("Hardware monitor {sensor_type} element {element}"), Scale::One),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_node_exporters() {
        for (sensor_type, element, name) in [
            ("temp", "input", "node_hwmon_temp_celsius"),
            ("temp", "crit_alarm", "node_hwmon_temp_crit_alarm_celsius"),
            ("temp", "type", "node_hwmon_temp_type"),
            ("temp", "alarm", "node_hwmon_temp_alarm"),
            ("fan", "input", "node_hwmon_fan_rpm"),
            ("fan", "min", "node_hwmon_fan_min_rpm"),
            ("fan", "pulses", "node_hwmon_fan_pulses"),
            ("in", "input", "node_hwmon_in_volts"),
            ("intrusion", "beep", "node_hwmon_intrusion_beep_enabled"),
            ("pwm", "", "node_hwmon_pwm"),
            ("pwm", "auto_point1_temp", "node_hwmon_pwm_auto_point1_temp"),
            ("power", "average", "node_hwmon_power_average_watt"),
            ("energy", "input", "node_hwmon_energy_joule_total"),
            ("freq", "input", "node_hwmon_freq_freq_mhz"),
        ] {
            assert_eq!(Family::of(sensor_type, element, false).name, name);
        }
    }
}
