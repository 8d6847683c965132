//! Interrupts, context switches, forks, processes and the boot time, from `/proc/stat`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Stat {
    path: PathBuf,
    softirq: bool,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Stat {
        path: setup.host.proc("stat"),
        softirq: setup.options.stat_softirq,
        buf: Vec::new(),
    }))
}

/// The lines that are one number: (name in the file, name of the family, help, kind).
const FAMILIES: [(&[u8], &str, &str, Kind); 6] = [
    (b"intr", "node_intr_total", "Total number of interrupts serviced.", Kind::Counter),
    (b"ctxt", "node_context_switches_total", "Total number of context switches.", Kind::Counter),
    (b"processes", "node_forks_total", "Total number of forks.", Kind::Counter),
    (b"btime", "node_boot_time_seconds", "Node boot time, in unixtime.", Kind::Gauge),
    (b"procs_running", "node_procs_running", "Number of processes in runnable state.", Kind::Gauge),
    (
        b"procs_blocked",
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O to complete.",
        Kind::Gauge,
    ),
];

/// The kernel's softirq vectors in their order in `/proc/stat`.
const VECTORS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

impl Collector for Stat {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let mut n_found = 0;
        for line in scan::lines(text) {
            let mut fields = scan::fields(line);
            let Some(name) = fields.next() else { continue };
            let known = FAMILIES.iter().find(|(in_file, ..)| *in_file == name);
            if let Some((_, family, help, kind)) = known
                && let Some(value) = fields.next().and_then(scan::f64)
            {
                out.family(family, help, *kind).sample(&[], value);
                n_found += 1;
            } else if name == b"softirq" && self.softirq {
                let mut family =
                    out.family("node_softirqs_total", "Number of softirq calls.", Kind::Counter);
                // The first number is the sum.
                for (vector, field) in VECTORS.iter().zip(fields.skip(1)) {
                    if let Some(value) = scan::f64(field) {
                        family.sample(&[("vector", vector)], value);
                    }
                }
            }
        }
        if n_found == 0 {
            return Err(Error::Parse { path: self.path.clone(), what: "none of the known lines" });
        }
        Ok(())
    }
}
