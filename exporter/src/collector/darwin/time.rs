//! The system clock and its time zone.

use proto::exposition::{Exposition, Kind};

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Since the Unix epoch.
    pub(super) seconds: f64,
    /// Its name, and seconds east of Greenwich; `None` where it is not known.
    pub(super) zone: Option<(String, i32)>,
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    out.gauge("node_time_seconds", "System time in seconds since epoch (1970).", facts.seconds);
    if let Some((name, offset)) = &facts.zone {
        out.family(
            "node_time_zone_offset_seconds",
            "System time zone offset in seconds.",
            Kind::Gauge,
        )
        .sample(&[("time_zone", name)], f64::from(*offset));
    }
}
