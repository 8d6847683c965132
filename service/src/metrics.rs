//! A program's own metrics: one `prometheus-client` registry, served as OpenMetrics or as text 0.0.4.

use std::sync::{Arc, Mutex};

use prometheus_client::registry::Registry;

/// The registry of one program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// An empty registry; `program` (`receiver`, …) prefixes nothing, it names the `build_info` family.
    pub fn new(_program: &'static str) -> Self {
        Self { registry: Arc::default() }
    }

    /// Lets a component register its families.
    pub fn register<T>(&self, component: impl FnOnce(&mut Registry) -> T) -> T {
        component(&mut self.registry.lock().expect("no registration panics"))
    }

    /// All families in OpenMetrics text.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(
            &mut text,
            &self.registry.lock().expect("no registration panics"),
        )
        .expect("writing to a String cannot fail");
        text
    }
}
