//! How long tasks waited for CPU, memory and I/O, from `/proc/pressure`.
//!
//! <https://docs.kernel.org/accounting/psi.html>

use std::path::PathBuf;

use proto::exposition::Exposition;

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Pressure {
    files: Vec<File>,
}

/// One file and the families of its lines `some` and `full`: (name, help).
struct File {
    path: PathBuf,
    some: Option<(&'static str, &'static str)>,
    full: Option<(&'static str, &'static str)>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let file =
        |name: &str, some, full| File { path: setup.host.proc("pressure").join(name), some, full };
    let files = vec![
        // For CPU the kernel writes a line `full` that means nothing at this level.
        file(
            "cpu",
            Some((
                "node_pressure_cpu_waiting_seconds_total",
                "Total time in seconds that processes have waited for CPU time",
            )),
            None,
        ),
        file(
            "io",
            Some((
                "node_pressure_io_waiting_seconds_total",
                "Total time in seconds that processes have waited due to IO congestion",
            )),
            Some((
                "node_pressure_io_stalled_seconds_total",
                "Total time in seconds no process could make progress due to IO congestion",
            )),
        ),
        file(
            "memory",
            Some((
                "node_pressure_memory_waiting_seconds_total",
                "Total time in seconds that processes have waited for memory",
            )),
            Some((
                "node_pressure_memory_stalled_seconds_total",
                "Total time in seconds no process could make progress due to memory congestion",
            )),
        ),
        file(
            "irq",
            None,
            Some((
                "node_pressure_irq_stalled_seconds_total",
                "Total time in seconds no process could make progress due to IRQ congestion",
            )),
        ),
    ];
    Ok(Box::new(Pressure { files }))
}

impl Collector for Pressure {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let mut n_read = 0;
        for File { path, some, full } in &self.files {
            let text = match host::attribute(path) {
                Ok(text) => text,
                // ENOTSUPP: built in, but switched off at boot with psi=0. The file `irq` is younger than the others.
                Err(err) if err.raw_os_error() == Some(libc::EOPNOTSUPP) => continue,
                Err(source) => {
                    let err = Error::Read { path: path.clone(), source };
                    if err.is_absent() {
                        continue;
                    }
                    return Err(err);
                }
            };
            n_read += 1;
            for (family, line) in [(some, &b"some"[..]), (full, b"full")] {
                if let Some((name, help)) = family
                    && let Some(total_us) = total_us(&text, line)
                {
                    out.counter(name, help, total_us as f64 / 1e6);
                }
            }
        }
        if n_read == 0 {
            return Err(Error::NoData { what: "pressure stall information (psi=1)" });
        }
        Ok(())
    }
}

/// The total of a line `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`.
fn total_us(text: &[u8], kind: &[u8]) -> Option<u64> {
    scan::lines(text).find_map(|line| {
        let mut fields = scan::fields(line);
        if fields.next()? != kind {
            return None;
        }
        fields.find_map(|field| scan::u64(field.strip_prefix(b"total=")?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals() {
        let text = b"some avg10=0.10 avg60=0.00 avg300=0.00 total=123\nfull avg10=0.00 total=7";
        assert_eq!(total_us(text, b"some"), Some(123));
        assert_eq!(total_us(text, b"full"), Some(7));
        for garbage in [&b""[..], b"some", b"some total=", b"some total=-1", b"total=1", b"\xff"] {
            assert_eq!(total_us(garbage, b"some"), None, "{garbage:?}");
        }
    }
}
