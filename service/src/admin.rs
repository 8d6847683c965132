//! The management surface of every program, as Prometheus has it.
//!
//! | path | answer |
//! |---|---|
//! | `GET`, `HEAD /-/healthy` | 200 while the process lives |
//! | `GET`, `HEAD /-/ready` | 200 when it can do its work, else 503 and the reason |
//! | `GET`, `HEAD /metrics` | its own metrics |
//! | `PUT`, `POST /-/reload` | reloads the configuration; 403 without `--web.enable-lifecycle` |
//! | `PUT`, `POST /-/quit` | stops the program; 403 without `--web.enable-lifecycle` |

use std::sync::{Arc, RwLock};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::compression::CompressionLayer;
use tracing::info;

use crate::{
    Metrics, Shutdown,
    reload::{Reload, ReloadError},
};

/// The flags of a program that can be managed over HTTP.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Web")]
pub struct LifecycleArgs {
    /// Allow reloading and stopping by HTTP request
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
}

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

    /// Turns not ready ("stopping") when `shutdown` fires, so that load balancers stop sending.
    pub async fn follow(self, shutdown: Shutdown) {
        shutdown.fired().await;
        self.not_ready("stopping");
    }

    fn reason(&self) -> Option<String> {
        self.0.read().expect("no holder panics").clone()
    }
}

/// `/-/healthy`, `/-/ready` and `/metrics`.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new().merge(metrics_router("/metrics", metrics)).merge(health_router(health))
}

/// The program's own metrics at `path`, as OpenMetrics or text 0.0.4, compressed for those who accept it.
pub fn metrics_router(path: &str, metrics: Metrics) -> Router {
    let answer = get(move |headers: HeaderMap| async move { metrics.respond(&headers) });
    Router::new().route(path, answer).layer(CompressionLayer::new())
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

/// `/-/reload` and `/-/quit`.
pub fn lifecycle_router(args: LifecycleArgs, reload: Reload, shutdown: Shutdown) -> Router {
    reload_router(args, reload).merge(quit_router(args, shutdown))
}

/// `/-/reload` alone. Blackbox-style programs enable it always.
pub fn reload_router(args: LifecycleArgs, reload: Reload) -> Router {
    let handler = move || async move {
        if !args.enable_lifecycle {
            return not_enabled();
        }
        match reload.request().await {
            Ok(()) => (StatusCode::OK, "Configuration reloaded.\n").into_response(),
            Err(err) => {
                let status = match err {
                    ReloadError::Refused { .. } => StatusCode::INTERNAL_SERVER_ERROR,
                    ReloadError::Busy | ReloadError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, format!("failed to reload config: {err}\n")).into_response()
            }
        }
    };
    Router::new().route("/-/reload", post(handler.clone()).put(handler))
}

/// `/-/quit` alone.
pub fn quit_router(args: LifecycleArgs, shutdown: Shutdown) -> Router {
    let handler = move || async move {
        if !args.enable_lifecycle {
            return not_enabled();
        }
        info!("stopping, as asked by a request");
        shutdown.fire();
        (StatusCode::OK, "Requesting termination... Goodbye!\n").into_response()
    };
    Router::new().route("/-/quit", post(handler.clone()).put(handler))
}

fn not_enabled() -> Response {
    let text = "Lifecycle API is not enabled: start with --web.enable-lifecycle.\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::{Request, header};
    use tower::ServiceExt as _;

    use super::*;
    use crate::reload;

    async fn ask(router: &Router, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health() {
        let health = Health::default();
        let router = router(health.clone(), Metrics::new("demo"));
        assert_eq!(ask(&router, "GET", "/-/healthy").await, (200, "Healthy.\n".to_owned()));
        assert_eq!(ask(&router, "HEAD", "/-/healthy").await, (200, String::new()));
        assert_eq!(
            ask(&router, "GET", "/-/ready").await,
            (503, "Not ready: starting.\n".to_owned())
        );
        health.ready();
        assert_eq!(ask(&router, "GET", "/-/ready").await, (200, "Ready.\n".to_owned()));
        assert_eq!(ask(&router, "POST", "/-/ready").await.0, 405);
        let shutdown = Shutdown::new();
        shutdown.fire();
        health.clone().follow(shutdown).await;
        assert_eq!(
            ask(&router, "GET", "/-/ready").await,
            (503, "Not ready: stopping.\n".to_owned())
        );
    }

    #[tokio::test]
    async fn metrics_are_compressed_for_those_who_accept_it() {
        let router = router(Health::default(), Metrics::new("demo"));
        let request = Request::get("/metrics").header(header::ACCEPT_ENCODING, "gzip");
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/plain; version=0.0.4; charset=utf-8"
        );
    }

    #[tokio::test]
    async fn lifecycle_needs_its_flag() {
        let shutdown = Shutdown::new();
        let (reload, requests) = reload::channel();
        let off = lifecycle_router(LifecycleArgs::default(), reload.clone(), shutdown.clone());
        for path in ["/-/reload", "/-/quit"] {
            let (status, body) = ask(&off, "POST", path).await;
            assert_eq!(status, 403);
            assert!(body.contains("--web.enable-lifecycle"), "{body}");
            assert_eq!(ask(&off, "GET", path).await.0, 405);
        }
        assert!(!shutdown.is_fired());

        let args = LifecycleArgs { enable_lifecycle: true };
        let on = lifecycle_router(args, reload, shutdown.clone());
        let mut answers = [Ok(()), Err(anyhow::anyhow!("x.yml:1:1: bad"))].into_iter();
        let gauges = Metrics::new("demo").reload("demo");
        tokio::spawn(
            requests.serve(gauges, shutdown.clone(), async move || answers.next().unwrap()),
        );
        assert_eq!(ask(&on, "POST", "/-/reload").await.0, 200);
        let (status, body) = ask(&on, "PUT", "/-/reload").await;
        assert_eq!(status, 500);
        assert!(body.contains("x.yml:1:1: bad"), "{body}");
        assert_eq!(ask(&on, "PUT", "/-/quit").await.0, 200);
        assert!(shutdown.is_fired());
    }
}
