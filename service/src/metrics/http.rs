//! How often, how long and with what outcome each route is asked.

use std::time::Instant;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::Method;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Seconds. From a health check to a query that reads a year.
const BUCKETS: [f64; 9] = [0.005, 0.025, 0.1, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0];

#[derive(Clone, Debug)]
pub(super) struct HttpMetrics {
    requests: Family<Outcome, Counter>,
    durations: Family<Handler, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    handler: String,
    method: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handler {
    handler: String,
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry, prefix: &str) -> Self {
        let families = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        };
        registry.register(
            format!("{prefix}_http_requests"),
            "Requests answered, by route",
            families.requests.clone(),
        );
        registry.register(
            format!("{prefix}_http_request_duration_seconds"),
            "Time from a request's head to the beginning of its answer, by route",
            families.durations.clone(),
        );
        registry.register(
            format!("{prefix}_http_requests_in_flight"),
            "Requests whose answer has not begun",
            families.in_flight.clone(),
        );
        families
    }

    pub(super) fn observe<S>(&self, router: Router<S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        router.layer(middleware::from_fn_with_state(self.clone(), track))
    }
}

async fn track(State(families): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let handler = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => "none".to_owned(),
    };
    let method = method_label(request.method());
    let began = Instant::now();
    let in_flight = InFlight::enter(&families.in_flight);
    let response = next.run(request).await;
    drop(in_flight);
    let code = response.status().as_u16();
    families
        .durations
        .get_or_create(&Handler { handler: handler.clone() })
        .observe(began.elapsed().as_secs_f64());
    families.requests.get_or_create(&Outcome { handler, method, code }).inc();
    response
}

/// Methods are chosen by the client, so only the known ones become labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

/// Counts a request while it lives, also when its client goes away and the future is dropped.
struct InFlight(Gauge);

impl InFlight {
    fn enter(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode, routing::get};
    use tower::ServiceExt as _;

    use crate::Metrics;

    use super::*;

    #[tokio::test]
    async fn labels_come_from_routes_not_from_clients() {
        let metrics = Metrics::new("demo");
        let api = Router::new().route("/series/{id}", get(|| async { StatusCode::NO_CONTENT }));
        let router = metrics.observe(Router::new().nest("/api", api));
        for (method, path) in [
            ("GET", "/api/series/1"),
            ("GET", "/api/series/2"),
            ("BREW", "/api/series/1"),
            ("GET", "/x"),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap();
        }
        let text = metrics.text();
        let name = "watchpost_demo_http_requests_total";
        for line in [
            format!("{name}{{handler=\"/api/series/{{id}}\",method=\"get\",code=\"204\"}} 2\n"),
            format!("{name}{{handler=\"/api/series/{{id}}\",method=\"other\",code=\"405\"}} 1\n"),
            format!("{name}{{handler=\"none\",method=\"get\",code=\"404\"}} 1\n"),
            "watchpost_demo_http_request_duration_seconds_count{handler=\"/api/series/{id}\"} 3\n"
                .to_owned(),
            "watchpost_demo_http_requests_in_flight 0\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
