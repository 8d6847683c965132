//! Counters of the way in.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{Limit, Reason, WriteError, Written};
use crate::db::sqlstate::Outlook;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLimit {
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Stored,
    PartlyRefused,
    Invalid,
    PushedBack,
}

service::label_values!(Outcome);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    Relabelling,
    Replica,
}

service::label_values!(Cause);

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// Registered once for each receiver; clones count together.
#[derive(Clone, Debug, Default)]
pub struct IngestMetrics {
    samples: Counter,
    exemplars: Counter,
    starts_ignored: Counter,
    refused: Family<ByReason, Counter>,
    requests: Family<ByOutcome, Counter>,
    dropped: Family<ByCause, Counter>,
    keys_forgotten: Counter,
    limits: Family<ByLimit, Counter>,
}

impl IngestMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "receiver_samples",
            "Samples acknowledged: committed now or before",
            metrics.samples.clone(),
        );
        registry.register(
            "receiver_exemplars",
            "Exemplars acknowledged: committed now or before",
            metrics.exemplars.clone(),
        );
        registry.register(
            "receiver_start_timestamps_ignored",
            "Start timestamps that lie after their samples or before those of earlier samples; the samples are stored",
            metrics.starts_ignored.clone(),
        );
        registry.register(
            "receiver_samples_refused",
            "Samples and exemplars that were refused for good, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "receiver_write_requests",
            "Write requests by what became of them",
            metrics.requests.clone(),
        );
        registry.register(
            "receiver_samples_dropped",
            "Samples that are not wanted: dropped by write_relabel_configs, or of another replica than the leader",
            metrics.dropped.clone(),
        );
        registry.register(
            "receiver_label_spellings_forgotten",
            "Label bytes whose series was forgotten to make room, and is found anew when they come again",
            metrics.keys_forgotten.clone(),
        );
        for limit in Limit::ALL {
            // Present from the start, so that a rate sees the first time.
            drop(metrics.limits.get_or_create(&ByLimit { limit }));
        }
        registry.register(
            "receiver_write_limits",
            "Write requests that met a bound, by bound: larger ones are refused for good, the times and those of all requests together push back",
            metrics.limits.clone(),
        );
        metrics
    }

    pub(super) fn keys_forgotten(&self) -> &Counter {
        &self.keys_forgotten
    }

    /// Counts a request that met a bound.
    pub fn limit(&self, limit: Limit) {
        self.limits.get_or_create(&ByLimit { limit }).inc();
    }

    pub(super) fn written(&self, written: &Written) {
        self.samples.inc_by((written.samples + written.histograms) as u64);
        self.exemplars.inc_by(written.exemplars as u64);
        for (cause, dropped) in
            [(Cause::Relabelling, written.dropped), (Cause::Replica, written.standby)]
        {
            let n_samples = dropped.samples + dropped.histograms;
            self.dropped.get_or_create(&ByCause { cause }).inc_by(n_samples as u64);
        }
        let outcome =
            if written.refusals.is_empty() { Outcome::Stored } else { Outcome::PartlyRefused };
        self.requests.get_or_create(&ByOutcome { outcome }).inc();
        for (reason, samples) in written.refusals.by_reason() {
            self.refused.get_or_create(&ByReason { reason }).inc_by(samples as u64);
        }
    }

    pub(super) fn starts_ignored(&self, n: usize) {
        self.starts_ignored.inc_by(n as u64);
    }

    pub(super) fn failed(&self, err: &WriteError) {
        if let Some(limit) = err.limit() {
            self.limit(limit);
        }
        let outcome = match err.outlook() {
            Outlook::MayPass => Outcome::PushedBack,
            Outlook::NeverPasses => Outcome::Invalid,
        };
        self.requests.get_or_create(&ByOutcome { outcome }).inc();
    }
}
