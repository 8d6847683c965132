//! How well the kernel's clock follows its reference, from adjtimex(2).

use proto::exposition::{Exposition, Kind};

use self::read::Timex;
use super::{Collector, Error, OptionError, Setup};

mod read;

struct ClockDiscipline;

pub(crate) fn open(_: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(ClockDiscipline))
}

/// Frequencies are in parts per million with 16 bits of fraction.
const FREQUENCY_UNIT: f64 = 1_000_000.0 * 65_536.0;
const MICRO: f64 = 1e6;

/// Name, help, kind and figure of one family; the figure's second argument is the divisor to seconds.
type Row = (&'static str, &'static str, Kind, fn(&Timex, f64) -> f64);

const FAMILIES: [Row; 17] = {
    use Kind::{Counter, Gauge};
    [
        (
            "node_timex_sync_status",
            "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
            Gauge,
            |t, _| f64::from(u8::from(t.synchronized)),
        ),
        (
            "node_timex_offset_seconds",
            "Time offset in between local system and reference clock.",
            Gauge,
            |t, divisor| t.offset / divisor,
        ),
        (
            "node_timex_frequency_adjustment_ratio",
            "Local clock frequency adjustment.",
            Gauge,
            |t, _| 1.0 + t.frequency / FREQUENCY_UNIT,
        ),
        ("node_timex_maxerror_seconds", "Maximum error in seconds.", Gauge, |t, _| {
            t.max_error / MICRO
        }),
        ("node_timex_estimated_error_seconds", "Estimated error in seconds.", Gauge, |t, _| {
            t.estimated_error / MICRO
        }),
        ("node_timex_status", "Value of the status array bits.", Gauge, |t, _| f64::from(t.status)),
        ("node_timex_loop_time_constant", "Phase-locked loop time constant.", Gauge, |t, _| {
            t.constant
        }),
        ("node_timex_tick_seconds", "Seconds between clock ticks.", Gauge, |t, _| t.tick / MICRO),
        ("node_timex_pps_frequency_hertz", "Pulse per second frequency.", Gauge, |t, _| {
            t.pps_frequency / FREQUENCY_UNIT
        }),
        ("node_timex_pps_jitter_seconds", "Pulse per second jitter.", Gauge, |t, divisor| {
            t.jitter / divisor
        }),
        ("node_timex_pps_shift_seconds", "Pulse per second interval duration.", Gauge, |t, _| {
            t.shift
        }),
        (
            "node_timex_pps_stability_hertz",
            "Pulse per second stability, average of recent frequency changes.",
            Gauge,
            |t, _| t.stability / FREQUENCY_UNIT,
        ),
        (
            "node_timex_pps_jitter_total",
            "Pulse per second count of jitter limit exceeded events.",
            Counter,
            |t, _| t.jitter_count,
        ),
        (
            "node_timex_pps_calibration_total",
            "Pulse per second count of calibration intervals.",
            Counter,
            |t, _| t.calibration_count,
        ),
        (
            "node_timex_pps_error_total",
            "Pulse per second count of calibration errors.",
            Counter,
            |t, _| t.error_count,
        ),
        (
            "node_timex_pps_stability_exceeded_total",
            "Pulse per second count of stability limit exceeded events.",
            Counter,
            |t, _| t.stability_count,
        ),
        (
            "node_timex_tai_offset_seconds",
            "International Atomic Time (TAI) offset.",
            Gauge,
            |t, _| t.tai,
        ),
    ]
};

impl Collector for ClockDiscipline {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let timex = read::timex().map_err(|source| match source.kind() {
            // Forbidden in some containers.
            std::io::ErrorKind::PermissionDenied => {
                Error::NoData { what: "permission for adjtimex" }
            }
            _ => Error::System { call: "adjtimex", source },
        })?;
        let divisor = if timex.is_nano { 1e9 } else { MICRO };
        for (name, help, kind, figure) in FAMILIES {
            out.family(name, help, kind).sample(&[], figure(&timex, divisor));
        }
        Ok(())
    }
}
