//! What each processor spent its time with.

use proto::exposition::{Exposition, Kind};

/// Times are in units of 100 ns, as the kernel counts them.
const TICKS_PER_SECOND: f64 = 1e7;

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) processors: Vec<Processor>,
    /// Of each processor in the same order, in MHz; empty where it is not known.
    pub(super) frequencies: Vec<u64>,
}

/// One logical processor, times in units of 100 ns since the system started.
#[derive(Clone, Debug, Default)]
pub(super) struct Processor {
    /// Processors come in groups of at most 64, and are counted within their group.
    pub(super) group: u16,
    pub(super) number: usize,
    pub(super) idle: u64,
    /// All of the kernel's, and that includes `idle`, `dpc` and `interrupt`.
    pub(super) kernel: u64,
    pub(super) user: u64,
    pub(super) dpc: u64,
    pub(super) interrupt: u64,
    pub(super) n_interrupts: u64,
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    let cores: Vec<String> =
        facts.processors.iter().map(|one| format!("{},{}", one.group, one.number)).collect();
    let mut times = out.family(
        "windows_cpu_time_total",
        "Time that processor spent in different modes (dpc, idle, interrupt, privileged, user)",
        Kind::Counter,
    );
    for (core, one) in cores.iter().zip(&facts.processors) {
        for (mode, ticks) in [
            ("dpc", one.dpc),
            ("idle", one.idle),
            ("interrupt", one.interrupt),
            ("privileged", one.kernel.saturating_sub(one.idle)),
            ("user", one.user),
        ] {
            times.sample(&[("core", core), ("mode", mode)], ticks as f64 / TICKS_PER_SECOND);
        }
    }
    let mut interrupts = out.family(
        "windows_cpu_interrupts_total",
        "Total number of received and serviced hardware interrupts",
        Kind::Counter,
    );
    for (core, one) in cores.iter().zip(&facts.processors) {
        interrupts.sample(&[("core", core)], one.n_interrupts as f64);
    }
    out.gauge(
        "windows_cpu_logical_processor",
        "Total number of logical processors",
        facts.processors.len() as f64,
    );
    if facts.frequencies.len() != facts.processors.len() {
        return;
    }
    let mut frequencies =
        out.family("windows_cpu_core_frequency_mhz", "Core frequency in megahertz", Kind::Gauge);
    for (core, mhz) in cores.iter().zip(&facts.frequencies) {
        // 0 stands for unknown.
        if *mhz > 0 {
            frequencies.sample(&[("core", core)], *mhz as f64);
        }
    }
}
