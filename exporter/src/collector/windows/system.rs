//! Processes, threads, and since when.

use proto::exposition::Exposition;

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) n_processes: u64,
    pub(super) n_threads: u64,
    /// In seconds since the Unix epoch.
    pub(super) booted_at: u64,
    /// `None` where the kernel does not count them.
    pub(super) n_context_switches: Option<u32>,
    pub(super) n_system_calls: Option<u32>,
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    out.gauge(
        "windows_system_boot_time_timestamp",
        "Unix timestamp of last system boot",
        facts.booted_at as f64,
    );
    if let Some(switches) = facts.n_context_switches {
        out.counter(
            "windows_system_context_switches_total",
            "Total number of context switches (WMI source: PerfOS_System.ContextSwitchesPersec)",
            f64::from(switches),
        );
    }
    if let Some(calls) = facts.n_system_calls {
        out.counter(
            "windows_system_system_calls_total",
            "Total number of system calls (WMI source: PerfOS_System.SystemCallsPersec)",
            f64::from(calls),
        );
    }
    out.gauge(
        "windows_system_processes",
        "Current number of processes (WMI source: PerfOS_System.Processes)",
        facts.n_processes as f64,
    );
    out.gauge(
        "windows_system_threads",
        "Current number of threads (WMI source: PerfOS_System.Threads)",
        facts.n_threads as f64,
    );
}
