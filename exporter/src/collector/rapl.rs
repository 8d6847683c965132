//! Energy that the processor's parts used, from `/sys/class/powercap`. Since 2020 only root may read it.

use std::{collections::HashMap, path::PathBuf};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::host;

struct Rapl {
    class: PathBuf,
    zone_label: bool,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let class = setup.host.sys("class/powercap");
    Ok(Box::new(Rapl { class, zone_label: setup.options.rapl_zone_label }))
}

impl Collector for Rapl {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.class).map_err(|err| err.or_no_data("RAPL"))?;
        let mut seen: HashMap<String, u32> = HashMap::new();
        let mut n_zones = 0;
        for name in names {
            let folder = self.class.join(&name);
            let Some(zone_name) = host::text(&folder.join("name")) else { continue };
            let (zone, index) = zone(&zone_name, &seen);
            seen.insert(zone.to_owned(), index + 1);
            let energy = folder.join("energy_uj");
            let Some(microjoules) = host::number(&energy) else {
                // Nothing at all by an ordinary user is a lack of permission, which is worth saying.
                if let Err(source) = host::attribute(&energy)
                    && source.kind() == std::io::ErrorKind::PermissionDenied
                {
                    return Err(Error::Read { path: energy, source });
                }
                continue;
            };
            n_zones += 1;
            let index = index.to_string();
            let path = folder.to_string_lossy();
            let joules = microjoules / 1e6;
            if self.zone_label {
                out.family("node_rapl_joules_total", "Current RAPL value in joules", Kind::Counter)
                    .sample(&[("index", &index), ("path", &path), ("rapl_zone", zone)], joules);
            } else {
                let family = format!("node_rapl_{}_joules_total", sanitize(zone));
                let help = format!("Current RAPL {zone} value in joules");
                out.family(&family, &help, Kind::Counter)
                    .sample(&[("index", &index), ("path", &path)], joules);
            }
        }
        if n_zones == 0 {
            return Err(Error::NoData { what: "RAPL" });
        }
        Ok(())
    }
}

/// `package-1` is the package of that number; names without a number are counted.
fn zone<'n>(name: &'n str, seen: &HashMap<String, u32>) -> (&'n str, u32) {
    match name.split_once('-').map(|(zone, number)| (zone, number.parse())) {
        Some((zone, Ok(number))) => (zone, number),
        _ => (name, seen.get(name).copied().unwrap_or(0)),
    }
}

fn sanitize(zone: &str) -> String {
    zone.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones() {
        let seen = HashMap::from([("dram".to_owned(), 1)]);
        assert_eq!(zone("package-1", &seen), ("package", 1));
        assert_eq!(zone("dram", &seen), ("dram", 1));
        assert_eq!(zone("core", &seen), ("core", 0));
        assert_eq!(zone("psys-x", &seen), ("psys-x", 0));
        assert_eq!(sanitize("psys-x"), "psys_x");
    }
}
