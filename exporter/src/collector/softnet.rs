//! Packet processing by CPU, from `/proc/net/softnet_stat`: a line of hexadecimal columns for each CPU.
//!
//! Columns: `softnet_seq_show` in the kernel's `net/core/net-procfs.c`. They grew over time; what is missing is left out.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Softnet {
    path: PathBuf,
    buf: Vec<u8>,
}

/// (column, name, help, kind)
const COLUMNS: [(usize, &str, &str, Kind); 7] = [
    (0, "node_softnet_processed_total", "Number of processed packets", Kind::Counter),
    (1, "node_softnet_dropped_total", "Number of dropped packets", Kind::Counter),
    (
        2,
        "node_softnet_times_squeezed_total",
        "Number of times processing packets ran out of quota",
        Kind::Counter,
    ),
    (
        8,
        "node_softnet_cpu_collision_total",
        "Number of collision occur while obtaining device lock while transmitting",
        Kind::Counter,
    ),
    (
        9,
        "node_softnet_received_rps_total",
        "Number of times cpu woken up received_rps",
        Kind::Counter,
    ),
    (
        10,
        "node_softnet_flow_limit_count_total",
        "Number of times flow limit has been reached",
        Kind::Counter,
    ),
    (11, "node_softnet_backlog_len", "Softnet backlog status", Kind::Gauge),
];
/// Holds the CPU's number on kernels that write it.
const CPU_COLUMN: usize = 12;

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Softnet { path: setup.host.proc("net/softnet_stat"), buf: Vec::new() }))
}

impl Collector for Softnet {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)
            .map_err(|err| err.or_no_data("softnet statistics"))?;
        let mut cpus = Vec::new();
        for (number, line) in scan::lines(text).enumerate() {
            let what = "a line is not hexadecimal numbers";
            let wrong = || Error::Parse { path: self.path.clone(), what };
            let columns = parse(line).ok_or_else(wrong)?;
            let cpu = columns.get(CPU_COLUMN).copied().unwrap_or(number as u64);
            cpus.push((cpu.to_string(), columns));
        }
        for (column, name, help, kind) in COLUMNS {
            let mut family = out.family(name, help, kind);
            for (cpu, columns) in &cpus {
                if let Some(value) = columns.get(column) {
                    family.sample(&[("cpu", cpu)], *value as f64);
                }
            }
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<Vec<u64>> {
    let columns = scan::fields(line).map(scan::hex).collect::<Option<Vec<u64>>>()?;
    (columns.len() >= 3).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(parse(b"0000000a 00000001 ffffffff"), Some(vec![10, 1, u64::from(u32::MAX)]));
        for garbage in [&b""[..], b"1 2", b"x y z", b"1 2 -3", b"\xff \xff \xff"] {
            assert_eq!(parse(garbage), None, "{garbage:?}");
        }
    }
}
