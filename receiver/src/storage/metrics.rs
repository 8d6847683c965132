//! Counters of what happens behind the scenes.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The parts of housekeeping, each of which may fail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Making partitions before they are needed.
    Ahead,
    Flush,
    Adopt,
    Merge,
    Rollup,
    Drop,
    /// A bug ended it before it was done.
    Whole,
}

service::label_values!(Step);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStep {
    step: Step,
}

/// Clones count together.
#[derive(Clone, Debug, Default)]
pub struct StorageMetrics {
    failures: Family<ByStep, Counter>,
    fenced: Counter,
}

impl StorageMetrics {
    pub fn register(&self, registry: &mut Registry) {
        for step in [
            Step::Ahead,
            Step::Flush,
            Step::Adopt,
            Step::Merge,
            Step::Rollup,
            Step::Drop,
            Step::Whole,
        ] {
            // Present from the start, so that a rate sees the first failure.
            drop(self.failures.get_or_create(&ByStep { step }));
        }
        registry.register(
            "receiver_housekeeping_failures",
            "Steps of housekeeping that failed and will be tried again, by step",
            self.failures.clone(),
        );
        registry.register(
            "receiver_takeovers",
            "Times that another receiver took over from this one because it had not renewed its lease",
            self.fenced.clone(),
        );
    }

    pub(super) fn failed(&self, step: Step) {
        self.failures.get_or_create(&ByStep { step }).inc();
    }

    pub(super) fn fenced(&self) {
        self.fenced.inc();
    }
}
