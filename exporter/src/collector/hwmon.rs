//! Temperatures, fans, voltages, from `/sys/class/hwmon`.
//!
//! Files: <https://docs.kernel.org/hwmon/sysfs-interface.html>. Names and units of the families are node_exporter's,
//! oddities such as `node_hwmon_temp_crit_alarm_celsius` included.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use proto::exposition::{Exposition, Kind};

use self::family::Family;
use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter::NameFilter, scan};

mod family;

struct HwMon {
    class: PathBuf,
    chips: NameFilter,
    /// Matched against `chip;sensor`.
    sensors: NameFilter,
}

/// What a file's name says: type, number, what of it (empty for the value itself).
#[derive(Debug, PartialEq, Eq)]
struct FileName<'a> {
    sensor_type: &'a str,
    number: u32,
    element: &'a str,
}

/// A sensor's files by element.
#[derive(Debug, Default)]
struct Sensor {
    sensor_type: String,
    elements: BTreeMap<String, String>,
}

const SENSOR_TYPES: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let options = setup.options;
    Ok(Box::new(HwMon {
        class: setup.host.sys("class/hwmon"),
        chips: NameFilter::from_pair(
            ("collector.hwmon.chip-include", &options.hwmon_chip_include),
            ("collector.hwmon.chip-exclude", &options.hwmon_chip_exclude),
            "",
        )?,
        sensors: NameFilter::from_pair(
            ("collector.hwmon.sensor-include", &options.hwmon_sensor_include),
            ("collector.hwmon.sensor-exclude", &options.hwmon_sensor_exclude),
            "",
        )?,
    }))
}

impl Collector for HwMon {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names =
            host::names(&self.class).map_err(|err| err.or_no_data("hardware monitoring"))?;
        let mut seen: Vec<String> = Vec::new();
        for name in names {
            let folder = self.class.join(&name);
            let mut chip = chip_name(&folder).unwrap_or_else(|| clean(&name));
            // Two monitors on one device: `chip` has to tell them apart, or their series would be the same.
            if seen.contains(&chip) {
                chip = [chip.as_str(), "_", &clean(&name)].concat();
            }
            if self.chips.admits(chip.as_bytes()) {
                self.write_chip(&chip, &folder, out);
            }
            seen.push(chip);
        }
        Ok(())
    }
}

impl HwMon {
    fn write_chip(&mut self, chip: &str, folder: &Path, out: &mut Exposition) {
        if let Some(readable) = host::text(&folder.join("name")).map(|name| clean(&name)) {
            out.family(
                "node_hwmon_chip_names",
                "Annotation metric for human-readable chip names",
                Kind::Gauge,
            )
            .sample(&[("chip", chip), ("chip_name", &readable)], 1.0);
        }
        let mut sensors: BTreeMap<String, Sensor> = BTreeMap::new();
        // Old drivers put their files into the device's own folder.
        for folder in [folder.to_owned(), folder.join("device")] {
            for name in host::names(&folder).unwrap_or_default() {
                let Some(file) = FileName::parse(&name) else { continue };
                if !SENSOR_TYPES.contains(&file.sensor_type) {
                    continue;
                }
                let Some(value) = host::text(&folder.join(&name)) else { continue };
                let sensor =
                    sensors.entry(format!("{}{}", file.sensor_type, file.number)).or_default();
                sensor.sensor_type = file.sensor_type.to_owned();
                sensor.elements.insert(file.element.to_owned(), value);
            }
        }
        for (name, sensor) in &sensors {
            if self.sensors.admits(format!("{chip};{name}").as_bytes()) {
                write_sensor(chip, name, sensor, out);
            }
        }
    }
}

fn write_sensor(chip: &str, name: &str, sensor: &Sensor, out: &mut Exposition) {
    let label = sensor.elements.get("label").map(|label| clean(label));
    if let Some(label) = label.as_deref().filter(|label| !label.is_empty()) {
        out.family("node_hwmon_sensor_label", "Label for given chip and sensor", Kind::Gauge)
            .sample(&[("chip", chip), ("sensor", name), ("label", label)], 1.0);
    }
    for (element, text) in &sensor.elements {
        if element == "label" {
            continue;
        }
        let Some(value) = scan::f64(text.as_bytes()) else { continue };
        let both = sensor.elements.contains_key("");
        let family = Family::of(&sensor.sensor_type, element, both);
        // A frequency is known by its label.
        let sensor_name = match label.as_deref() {
            Some(label) if sensor.sensor_type == "freq" && element == "input" => label,
            _ => name,
        };
        out.family(&family.name, &family.help, family.kind)
            .sample(&[("chip", chip), ("sensor", sensor_name)], family.scale.apply(value));
    }
}

/// A name that stays the same over reboots, which `hwmon3` does not: bus and device, else what the driver says.
fn chip_name(folder: &Path) -> Option<String> {
    if let Ok(device) = folder.join("device").canonicalize() {
        let last = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(clean);
        let name = last(&device).unwrap_or_default();
        let bus = device.parent().and_then(last).unwrap_or_default();
        match (bus.is_empty(), name.is_empty()) {
            (false, false) => return Some([bus.as_str(), "_", &name].concat()),
            (true, false) => return Some(name),
            (_, true) => {}
        }
    }
    host::text(&folder.join("name")).map(|name| clean(&name)).filter(|name| !name.is_empty())
}

/// Lower case; everything but letters, digits, `:` and `_` becomes `_`, except at the ends.
fn clean(name: &str) -> String {
    let replaced: String = name
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | ':' | '_') => c,
            _ => '_',
        })
        .collect();
    replaced.trim_matches('_').to_owned()
}

impl<'a> FileName<'a> {
    /// `temp1_crit_alarm` is type `temp`, number 1, element `crit_alarm`.
    fn parse(name: &'a str) -> Option<Self> {
        let digits = name.find(|c: char| c.is_ascii_digit());
        let Some(start) = digits.filter(|start| *start > 0) else {
            // `beep_enable`, `update_interval`: no number, no element.
            return digits.is_none().then_some(Self { sensor_type: name, number: 0, element: "" });
        };
        let rest = &name[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest[..end].parse().ok()?;
        let element = match &rest[end..] {
            "" => "",
            tail => tail.strip_prefix('_').filter(|element| !element.is_empty())?,
        };
        Some(Self { sensor_type: &name[..start], number, element })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        for (name, parts) in [
            ("temp1_crit_alarm", Some(("temp", 1, "crit_alarm"))),
            ("in0_input", Some(("in", 0, "input"))),
            ("pwm2", Some(("pwm", 2, ""))),
            ("pwm1_auto_point1_temp", Some(("pwm", 1, "auto_point1_temp"))),
            ("beep_enable", Some(("beep_enable", 0, ""))),
            ("1temp", None),
            ("temp1x", None),
            ("temp1_", None),
            ("temp99999999999", None),
        ] {
            let found = FileName::parse(name).map(|f| (f.sensor_type, f.number, f.element));
            assert_eq!(found, parts, "{name}");
        }
    }

    #[test]
    fn names_are_cleaned() {
        for (name, cleaned) in [
            ("coretemp.0", "coretemp_0"),
            ("0000:00:1f.3", "0000:00:1f_3"),
            ("_Ä_", ""),
            ("A B", "a_b"),
        ] {
            assert_eq!(clean(name), cleaned, "{name}");
        }
    }
}
