//! How long tasks ran and waited on each CPU, from `/proc/schedstat`.
//!
//! <https://docs.kernel.org/scheduler/sched-stats.html>

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct SchedStat {
    path: PathBuf,
    buf: Vec<u8>,
}

/// One CPU: nanoseconds running, nanoseconds waiting, slices.
#[derive(Debug, PartialEq, Eq)]
struct Cpu<'a> {
    id: &'a str,
    numbers: [u64; 3],
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(SchedStat { path: setup.host.proc("schedstat"), buf: Vec::new() }))
}

/// (name, help, divisor)
const FAMILIES: [(&str, &str, f64); 3] = [
    ("node_schedstat_running_seconds_total", "Number of seconds CPU spent running a process.", 1e9),
    (
        "node_schedstat_waiting_seconds_total",
        "Number of seconds spent by processing waiting for this CPU.",
        1e9,
    ),
    ("node_schedstat_timeslices_total", "Number of timeslices executed by CPU.", 1.0),
];

impl Collector for SchedStat {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)
            .map_err(|err| err.or_no_data("scheduler statistics"))?;
        let cpus: Vec<Cpu<'_>> = scan::lines(text).filter_map(parse).collect();
        for (position, (name, help, divisor)) in FAMILIES.into_iter().enumerate() {
            let mut family = out.family(name, help, Kind::Counter);
            for cpu in &cpus {
                family.sample(&[("cpu", cpu.id)], cpu.numbers[position] as f64 / divisor);
            }
        }
        Ok(())
    }
}

/// `cpu0 0 0 0 0 0 0 running waiting timeslices`
fn parse(line: &[u8]) -> Option<Cpu<'_>> {
    let mut fields = scan::fields(line);
    let id = fields.next()?.strip_prefix(b"cpu")?;
    scan::u64(id)?;
    let mut numbers = fields.skip(6).map_while(scan::u64);
    Some(Cpu {
        id: std::str::from_utf8(id).ok()?,
        numbers: [numbers.next()?, numbers.next()?, numbers.next()?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let cpu = Cpu { id: "3", numbers: [7, 8, 9] };
        assert_eq!(parse(b"cpu3 1 2 3 4 5 6 7 8 9"), Some(cpu));
        for garbage in [
            &b""[..],
            b"cpu 1 2 3 4 5 6 7 8 9",
            b"cpu3 1 2",
            b"domain0 f 1 2 3 4 5 6 7 8",
            b"cpu1 1 2 3 4 5 6 x 8 9",
        ] {
            assert_eq!(parse(garbage), None, "{garbage:?}");
        }
    }
}
