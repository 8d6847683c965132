//! Each swap device by itself, from `/proc/swaps`. Off by default, as in node_exporter.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Swap {
    path: PathBuf,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Swap { path: setup.host.proc("swaps"), buf: Vec::new() }))
}

impl Collector for Swap {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)
            .map_err(|err| err.or_no_data("list of swap devices"))?;
        // A heading, then `file kind size used priority`, sizes in KiB; spaces in the file's name are \040.
        for line in scan::lines(text).skip(1) {
            let fields: Vec<&[u8]> = scan::fields(line).collect();
            let parsed = match fields[..] {
                [device, kind, size, used, priority] => scan::f64(size)
                    .zip(scan::f64(used))
                    .zip(scan::f64(priority))
                    .map(|((size, used), priority)| {
                        (device, kind, [size * 1024.0, used * 1024.0, priority])
                    }),
                _ => None,
            };
            let Some((device, kind, values)) = parsed else {
                let what = "a line is not `file kind size used priority`";
                return Err(Error::Parse { path: self.path.clone(), what });
            };
            let (device, kind) = (scan::text(device), scan::text(kind));
            for ((name, help), value) in FAMILIES.into_iter().zip(values) {
                out.family(name, help, Kind::Gauge)
                    .sample(&[("device", &device), ("swap_type", &kind)], value);
            }
        }
        Ok(())
    }
}

/// In the order of the values.
const FAMILIES: [(&str, &str); 3] = [
    ("node_swap_size_bytes", "Swap device size in bytes."),
    ("node_swap_used_bytes", "Swap device used in bytes."),
    ("node_swap_priority", "Swap device priority."),
];
