//! How many processes and threads there are, and in which states. Off by default: it reads a file for each process.

use std::{collections::BTreeMap, path::PathBuf};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, procs};

struct Processes {
    processes: procs::Processes,
    threads_max: PathBuf,
    pid_max: PathBuf,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Processes {
        processes: procs::Processes::new(setup.host.proc("")),
        threads_max: setup.host.proc("sys/kernel/threads-max"),
        pid_max: setup.host.proc("sys/kernel/pid_max"),
    }))
}

impl Collector for Processes {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let mut n_threads = 0;
        let mut n_processes = 0_u64;
        let mut states: BTreeMap<u8, u64> = BTreeMap::new();
        self.processes.for_each(|stat| {
            n_processes += 1;
            n_threads += stat.n_threads;
            *states.entry(stat.state).or_default() += 1;
        })?;
        out.gauge("node_processes_threads", "Allocated threads in system", n_threads as f64);
        out.gauge("node_processes_pids", "Number of PIDs", n_processes as f64);
        if let Some(max) = host::number(&self.threads_max) {
            out.gauge("node_processes_max_threads", "Limit of threads in the system", max);
        }
        if let Some(max) = host::number(&self.pid_max) {
            out.gauge("node_processes_max_processes", "Number of max PIDs limit", max);
        }
        let mut family =
            out.family("node_processes_state", "Number of processes in each state.", Kind::Gauge);
        for (state, count) in states {
            family.sample(&[("state", &char::from(state).to_string())], count as f64);
        }
        Ok(())
    }
}
