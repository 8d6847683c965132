//! What live updates tell about themselves.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::protocol::{Close, Op};

/// Seconds from publication to the last outbox: the interesting part is between a millisecond and a second.
const FANOUT_BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0];

/// One label from a closed set: its name, its value.
type OneLabel = [(&'static str, &'static str); 1];

/// The `live_*` families. Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) connections: Gauge,
    pub(super) subscriptions: Gauge,
    pub(super) channels: Gauge,
    pub(super) conflated: Counter,
    pub(super) overflows: Counter,
    pub(super) send_queue_bytes: Gauge,
    pub(super) fanout_seconds: Histogram,
    frames: Family<OneLabel, Counter>,
    evicted: Family<OneLabel, Counter>,
}

impl Metrics {
    /// Adds the families to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            connections: Gauge::default(),
            subscriptions: Gauge::default(),
            channels: Gauge::default(),
            conflated: Counter::default(),
            overflows: Counter::default(),
            send_queue_bytes: Gauge::default(),
            fanout_seconds: Histogram::new(FANOUT_BUCKETS),
            frames: Family::default(),
            evicted: Family::default(),
        };
        // A counter that is absent until its first event cannot be alerted on: show all of the closed sets as 0.
        for op in Op::ALL {
            let _ = metrics.frames.get_or_create(&[("op", op.name())]);
        }
        for close in Close::ALL {
            let _ = metrics.evicted.get_or_create(&[("reason", close.reason())]);
        }
        let m = &metrics;
        registry.register("live_connections", "Open WebSocket connections", m.connections.clone());
        registry.register(
            "live_subscriptions",
            "Subscriptions of all WebSocket connections",
            m.subscriptions.clone(),
        );
        registry.register(
            "live_channels",
            "Distinct things subscribed to; subscribers to the same thing share one",
            m.channels.clone(),
        );
        registry.register(
            "live_conflated",
            "Updates merged into a later one because the client had not taken them yet",
            m.conflated.clone(),
        );
        registry.register(
            "live_overflows",
            "Times the hub fell so far behind the writers that every subscription started afresh",
            m.overflows.clone(),
        );
        registry.register(
            "live_send_queue_bytes",
            "Encoded bytes waiting for clients to take them",
            m.send_queue_bytes.clone(),
        );
        registry.register(
            "live_fanout_seconds",
            "Time from the publication of samples to the queue of the last subscriber",
            m.fanout_seconds.clone(),
        );
        registry.register("live_frames", "Messages sent to clients by op", m.frames.clone());
        registry.register(
            "live_evicted",
            "Connections that the server closed, by reason",
            m.evicted.clone(),
        );
        metrics
    }

    pub(super) fn sent(&self, op: Op) {
        self.frames.get_or_create(&[("op", op.name())]).inc();
    }

    pub(super) fn closed(&self, close: Close) {
        self.evicted.get_or_create(&[("reason", close.reason())]).inc();
    }
}
