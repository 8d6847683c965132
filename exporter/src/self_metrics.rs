//! What the exporter says about itself: `promhttp_*` and `process_*`, as programs in Go do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proto::exposition::{Exposition, Kind};

#[cfg_attr(not(target_os = "linux"), path = "self_metrics/process_elsewhere.rs")]
mod process;

/// Counters of the page and figures of the process.
#[derive(Debug)]
pub(crate) struct SelfMetrics {
    shown: bool,
    in_flight: AtomicUsize,
    answered: [AtomicU64; 3],
    encoding_errors: AtomicU64,
    gathering_errors: AtomicU64,
}

/// The status codes that the page answers with, by their positions in [`CODES`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    Ok = 0,
    ServiceUnavailable = 2,
}

/// 500 never happens here and is shown for the queries that ask for it.
const CODES: [&str; 3] = ["200", "500", "503"];

impl SelfMetrics {
    pub(crate) fn new(shown: bool) -> Self {
        Self {
            shown,
            in_flight: AtomicUsize::new(0),
            answered: [const { AtomicU64::new(0) }; 3],
            encoding_errors: AtomicU64::new(0),
            gathering_errors: AtomicU64::new(0),
        }
    }

    /// Counts a scrape in; `None` when `max` are in flight already (0 is without limit).
    pub(crate) fn enter(&self, max: usize) -> Option<InFlight<'_>> {
        let guard = InFlight(self);
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        (max == 0 || before < max).then_some(guard)
    }

    pub(crate) fn answered(&self, code: Code) {
        self.answered[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, out: &mut Exposition) {
        if !self.shown {
            return;
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let mut requests = out.family(
            "promhttp_metric_handler_requests_total",
            "Total number of scrapes by HTTP status code.",
            Kind::Counter,
        );
        for (code, count) in CODES.iter().zip(&self.answered) {
            requests.sample(&[("code", code)], load(count));
        }
        out.gauge(
            "promhttp_metric_handler_requests_in_flight",
            "Current number of scrapes being served.",
            self.in_flight.load(Ordering::Relaxed) as f64,
        );
        out.family(
            "promhttp_metric_handler_errors_total",
            "Total number of internal errors encountered by the promhttp metric handler.",
            Kind::Counter,
        )
        .sample(&[("cause", "encoding")], load(&self.encoding_errors))
        .sample(&[("cause", "gathering")], load(&self.gathering_errors));
        process::write(out);
    }
}

/// One scrape in flight.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a SelfMetrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_so_many_at_a_time() {
        let own = SelfMetrics::new(true);
        let first = own.enter(1).unwrap();
        assert!(own.enter(1).is_none());
        assert!(own.enter(0).is_some());
        drop(first);
        assert!(own.enter(1).is_some());
    }
}
