//! Load averages, and since when the system runs.

use proto::exposition::Exposition;

/// Over 1, 5 and 15 minutes.
pub(super) fn write(loads: &[f64; 3], out: &mut Exposition) {
    let [one, five, fifteen] = *loads;
    out.gauge("node_load1", "1m load average.", one);
    out.gauge("node_load5", "5m load average.", five);
    out.gauge("node_load15", "15m load average.", fifteen);
}

/// In seconds since the Unix epoch.
pub(super) fn write_boot_time(seconds: &u64, out: &mut Exposition) {
    out.gauge(
        "node_boot_time_seconds",
        "Unix time of last boot, including microseconds.",
        *seconds as f64,
    );
}
