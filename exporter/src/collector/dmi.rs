//! What the firmware calls this machine, from `/sys/class/dmi/id`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::host;

struct Dmi {
    folder: PathBuf,
    /// Read once: the firmware does not change while the machine runs.
    labels: Option<Vec<(&'static str, String)>>,
}

/// (label, file); serial numbers can be read by root only and are left out otherwise.
const FILES: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Dmi { folder: setup.host.sys("class/dmi/id"), labels: None }))
}

impl Collector for Dmi {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let labels = self.labels.get_or_insert_with(|| {
            FILES
                .into_iter()
                .filter_map(|(label, file)| Some((label, host::text(&self.folder.join(file))?)))
                .collect()
        });
        if labels.is_empty() {
            return Err(Error::NoData { what: "DMI" });
        }
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
        out.family(
            "node_dmi_info",
            "A metric with a constant '1' value labeled by bios_date, bios_release, bios_vendor, bios_version, board_asset_tag, board_name, board_serial, board_vendor, board_version, chassis_asset_tag, chassis_serial, chassis_vendor, chassis_version, product_family, product_name, product_serial, product_sku, product_uuid, product_version, system_vendor if provided by DMI.",
            Kind::Gauge,
        )
        .sample(&labels, 1.0);
        Ok(())
    }
}
