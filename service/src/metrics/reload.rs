//! Whether the last reload of the configuration worked, under the names that alerts know.

use std::{
    sync::atomic::AtomicU64,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

/// `<prefix>_config_last_reload_successful` and `…_success_timestamp_seconds`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    successful: Gauge,
    succeeded_at: Gauge<f64, AtomicU64>,
}

impl ReloadMetrics {
    pub(super) fn register(registry: &mut Registry, prefix: &str) -> Self {
        let gauges = Self { successful: Gauge::default(), succeeded_at: Gauge::default() };
        registry.register(
            format!("{prefix}_config_last_reload_successful"),
            "Whether the last configuration reload attempt was successful",
            gauges.successful.clone(),
        );
        registry.register(
            format!("{prefix}_config_last_reload_success_timestamp_seconds"),
            "Timestamp of the last successful configuration reload",
            gauges.succeeded_at.clone(),
        );
        gauges
    }

    /// The configuration in force is that of the file; also to be called after the first load.
    pub fn succeeded(&self, now: SystemTime) {
        self.successful.set(1);
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.succeeded_at.set(since.as_secs_f64());
    }

    /// The file is wrong and the configuration before it stays in force.
    pub fn failed(&self) {
        self.successful.set(0);
    }
}
