//! The management surface of every program, as Prometheus has it.
//!
//! | path | answer |
//! |---|---|
//! | `GET /-/healthy` | 200 while the process lives |
//! | `GET /-/ready` | 200 when it can do its work, else 503 and the reason |
//! | `GET /metrics` | its own metrics |

use std::sync::{Arc, RwLock};

use axum::{Router, http::StatusCode, routing::get};

use crate::Metrics;

/// Whether the program can do its work right now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health(Arc<RwLock<Option<String>>>);

impl Default for Health {
    /// Not ready: "starting".
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Some("starting".to_owned()))))
    }
}

impl Health {
    pub fn ready(&self) {
        *self.0.write().expect("no holder panics") = None;
    }

    /// `reason` is shown to whoever asks: no secrets.
    pub fn not_ready(&self, reason: &str) {
        *self.0.write().expect("no holder panics") = Some(reason.to_owned());
    }

    fn reason(&self) -> Option<String> {
        self.0.read().expect("no holder panics").clone()
    }
}

/// `/-/healthy`, `/-/ready` and `/metrics`.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(move || async move { metrics.open_metrics() }))
        .merge(health_router(health))
}

/// `/-/healthy` and `/-/ready` alone, for a program whose `/metrics` is its product.
pub fn health_router(health: Health) -> Router {
    Router::new().route("/-/healthy", get(|| async { "Healthy.\n" })).route(
        "/-/ready",
        get(move || async move {
            match health.reason() {
                None => (StatusCode::OK, "Ready.\n".to_owned()),
                Some(reason) => {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("Not ready: {reason}.\n"))
                }
            }
        }),
    )
}
