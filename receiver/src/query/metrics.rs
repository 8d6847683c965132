//! Counters of queries.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use promql::EvalError;

use super::QueryError;

/// Seconds: most queries of a dashboard take milliseconds, the worst ones minutes.
const SECONDS_BUCKETS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 120.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: Outcome,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Answered,
    /// It cannot be evaluated over these data, or not at all.
    Refused,
    TooLarge,
    TimedOut,
    Cancelled,
    Busy,
    StorageFailed,
}

service::label_values!(Outcome);

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Answered,
        Self::Refused,
        Self::TooLarge,
        Self::TimedOut,
        Self::Cancelled,
        Self::Busy,
        Self::StorageFailed,
    ];

    pub(super) fn of(err: &QueryError) -> Self {
        match err {
            QueryError::Busy => Self::Busy,
            QueryError::TimedOutWaiting | QueryError::Evaluation(EvalError::TimedOut) => {
                Self::TimedOut
            }
            QueryError::Evaluation(EvalError::Cancelled) => Self::Cancelled,
            QueryError::Evaluation(EvalError::TooManySamples) => Self::TooLarge,
            QueryError::Evaluation(EvalError::Source(_))
            | QueryError::Storage(_)
            | QueryError::Panicked => Self::StorageFailed,
            QueryError::Evaluation(_) => Self::Refused,
        }
    }
}

/// Registered once for each receiver; clones count together.
#[derive(Clone, Debug)]
pub struct QueryMetrics {
    queries: Family<ByOutcome, Counter>,
    pub(super) samples: Counter,
    pub(super) seconds: Histogram,
    pub(super) running: Gauge,
    pub(super) waiting: Gauge,
}

impl QueryMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            queries: Family::default(),
            samples: Counter::default(),
            seconds: Histogram::new(SECONDS_BUCKETS),
            running: Gauge::default(),
            waiting: Gauge::default(),
        };
        for outcome in Outcome::ALL {
            let _ = metrics.queries.get_or_create(&ByOutcome { outcome });
        }
        registry.register(
            "receiver_queries",
            "Queries by what became of them",
            metrics.queries.clone(),
        );
        registry.register(
            "receiver_query_samples",
            "Samples that queries have read",
            metrics.samples.clone(),
        );
        registry.register(
            "receiver_query_duration_seconds",
            "How long queries took, with the time for which they waited",
            metrics.seconds.clone(),
        );
        registry.register(
            "receiver_queries_running",
            "Queries that are being worked on",
            metrics.running.clone(),
        );
        registry.register(
            "receiver_queries_waiting",
            "Queries that wait for their turn",
            metrics.waiting.clone(),
        );
        metrics
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.queries.get_or_create(&ByOutcome { outcome }).inc();
    }
}
