//! Memory errors that the hardware corrected or could not, from `/sys/devices/system/edac/mc`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::host;

struct Edac {
    controllers: PathBuf,
}

/// (file's beginning, by controller, by row, by channel), each with its help.
const KINDS: [(&str, [(&str, &str); 3]); 2] = [
    (
        "ce",
        [
            ("node_edac_correctable_errors_total", "Total correctable memory errors."),
            (
                "node_edac_csrow_correctable_errors_total",
                "Total correctable memory errors for this csrow.",
            ),
            (
                "node_edac_channel_correctable_errors_total",
                "Total correctable memory errors for this channel.",
            ),
        ],
    ),
    (
        "ue",
        [
            ("node_edac_uncorrectable_errors_total", "Total uncorrectable memory errors."),
            (
                "node_edac_csrow_uncorrectable_errors_total",
                "Total uncorrectable memory errors for this csrow.",
            ),
            (
                "node_edac_channel_uncorrectable_errors_total",
                "Total uncorrectable memory errors for this channel.",
            ),
        ],
    ),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Edac { controllers: setup.host.sys("devices/system/edac/mc") }))
}

impl Collector for Edac {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.controllers)
            .map_err(|err| err.or_no_data("memory error detection"))?;
        for name in names {
            let Some(controller) = numbered(&name, "mc") else { continue };
            let folder = self.controllers.join(&name);
            let rows = host::names(&folder).unwrap_or_default();
            for (file, [by_controller, by_row, by_channel]) in KINDS {
                let mut write = |(family, help), path: PathBuf, labels: &[(&str, &str)]| {
                    if let Some(count) = host::number(&path) {
                        out.family(family, help, Kind::Counter).sample(labels, count);
                    }
                };
                let labels = [("controller", controller)];
                write(by_controller, folder.join(format!("{file}_count")), &labels);
                // Errors that could not be told to belong to a row.
                let labels = [("controller", controller), ("csrow", "unknown")];
                write(by_row, folder.join(format!("{file}_noinfo_count")), &labels);
                for row_name in &rows {
                    let Some(row) = numbered(row_name, "csrow") else { continue };
                    let folder = folder.join(row_name);
                    let labels = [("controller", controller), ("csrow", row)];
                    write(by_row, folder.join(format!("{file}_count")), &labels);
                    for channel_file in host::names(&folder).unwrap_or_default() {
                        let channel = channel_file
                            .strip_suffix(&format!("_{file}_count"))
                            .and_then(|name| numbered(name, "ch"));
                        let Some(channel) = channel else { continue };
                        let label = host::text(&folder.join(format!("ch{channel}_dimm_label")));
                        let labels = [
                            ("controller", controller),
                            ("csrow", row),
                            ("channel", channel),
                            ("dimm_label", label.as_deref().unwrap_or_default()),
                        ];
                        write(by_channel, folder.join(&channel_file), &labels);
                    }
                }
            }
        }
        Ok(())
    }
}

/// `0` of `mc0`.
fn numbered<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    name.strip_prefix(prefix)
        .filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
