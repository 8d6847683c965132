//! What each processor spent its time with.

use proto::exposition::{Exposition, Kind};

/// `CLK_TCK` of macOS.
const TICKS_PER_SECOND: f64 = 100.0;

/// One processor, in ticks since the system started. The kernel counts them in 32 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ticks {
    pub(super) user: u32,
    pub(super) system: u32,
    pub(super) idle: u32,
    pub(super) nice: u32,
}

pub(super) fn write(processors: &[Ticks], out: &mut Exposition) {
    let mut family =
        out.family("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", Kind::Counter);
    for (number, ticks) in processors.iter().enumerate() {
        let cpu = number.to_string();
        for (mode, ticks) in [
            ("idle", ticks.idle),
            ("nice", ticks.nice),
            ("system", ticks.system),
            ("user", ticks.user),
        ] {
            let seconds = f64::from(ticks) / TICKS_PER_SECOND;
            family.sample(&[("cpu", &cpu), ("mode", mode)], seconds);
        }
    }
}
