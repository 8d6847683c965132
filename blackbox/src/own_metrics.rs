//! What the prober tells about itself on `/metrics`, in the names of the original where it has them.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{config::Prober, probe::Outcome};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    prober: &'static str,
    result: &'static str,
}

/// In seconds: what timers take, what a busy machine takes, and too few workers.
const DELAYS: [f64; 8] = [0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

#[derive(Clone, Debug)]
pub(crate) struct OwnMetrics {
    module_unknown: Counter,
    probes: Family<ProbeLabels, Counter>,
    inflight: Gauge,
    delays: Histogram,
}

/// Counts a probe as running until it is dropped, which a cut-off probe is too.
#[derive(Debug)]
pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl OwnMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let own = Self {
            module_unknown: Counter::default(),
            probes: Family::default(),
            inflight: Gauge::default(),
            delays: Histogram::new(DELAYS),
        };
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("blackbox_exporter_build_info", "The version of this program", build);
        registry.register(
            "blackbox_module_unknown",
            "Count of unknown modules requested by probes",
            own.module_unknown.clone(),
        );
        registry.register(
            "blackbox_probes",
            "Probes made, by prober and result",
            own.probes.clone(),
        );
        registry.register(
            "blackbox_inflight_probes",
            "Probes that are running now",
            own.inflight.clone(),
        );
        registry.register_with_unit(
            "blackbox_scheduled_probe_delay",
            "How much later than due probes by the clock began",
            Unit::Seconds,
            own.delays.clone(),
        );
        own
    }

    pub(crate) fn unknown_module(&self) {
        self.module_unknown.inc();
    }

    pub(crate) fn delayed(&self, delay: Duration) {
        self.delays.observe(delay.as_secs_f64());
    }

    pub(crate) fn begin(&self) -> Running {
        self.inflight.inc();
        Running(self.inflight.clone())
    }

    pub(crate) fn probed(&self, prober: Prober, outcome: &Outcome) {
        let result = if outcome.success() { "success" } else { "failure" };
        self.probes.get_or_create(&ProbeLabels { prober: prober.name(), result }).inc();
    }
}
