//! The exporter's pages.
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | where the metrics are |
//! | `GET /metrics` | the metrics; `collect[]` and `exclude[]` choose collectors |
//! | `GET /-/healthy`, `/-/ready` | as every program of ours |

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use proto::exposition::{OPEN_METRICS_CONTENT_TYPE, TEXT_CONTENT_TYPE};
use service::Health;

use crate::{Exporter, Filter, self_metrics::Code};

/// What Prometheus sends with each scrape: how many seconds it waits.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// What we leave of that time for writing and sending the answer.
const SENDING_MAX: Duration = Duration::from_millis(500);
/// Bodies below this size are cheaper to send than to compress.
const COMPRESS_BYTES_MIN: usize = 1024;

impl Exporter {
    /// The pages, to be served by [`service::web::serve`].
    pub fn router(&self) -> Router {
        let health = Health::default();
        health.ready();
        let path = self.0.telemetry_path.clone();
        let landing = Html(landing_page(&path));
        Router::new()
            .route("/", get(move || async move { landing }))
            .route(&path, get(metrics))
            .with_state(self.clone())
            .merge(service::admin::health_router(health))
    }
}

async fn metrics(
    State(exporter): State<Exporter>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let own = &exporter.0.own;
    let max = exporter.0.max_requests;
    let Some(_in_flight) = own.enter(max) else {
        own.answered(Code::ServiceUnavailable);
        let text = format!("Limit of concurrent requests reached ({max}), try again later.\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let filter = Filter::from_query(query.as_deref().unwrap_or_default());
    let filter = match filter.and_then(|filter| exporter.check(&filter).map(|()| filter)) {
        Ok(filter) => filter,
        Err(err) => return (StatusCode::BAD_REQUEST, format!("{err}\n")).into_response(),
    };
    let deadline = Instant::now() + time_left(&headers, exporter.0.timeout);
    let collected = exporter.collect(deadline, &filter).await;
    let (content_type, text) = if wants_open_metrics(&headers) {
        (OPEN_METRICS_CONTENT_TYPE, collected.to_open_metrics())
    } else {
        (TEXT_CONTENT_TYPE, collected.to_text())
    };
    exporter.recycle(collected);
    own.answered(Code::Ok);
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if text.len() < COMPRESS_BYTES_MIN || !accepts_gzip(&headers) {
        return ([content_type], text).into_response();
    }
    let encoding = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    ([content_type, encoding], exporter.0.gzip.compress(text.as_bytes())).into_response()
}

/// How long the collectors have: what the flag says, or less when Prometheus waits less.
fn time_left(headers: &HeaderMap, timeout: Duration) -> Duration {
    let waits = headers
        .get(SCRAPE_TIMEOUT)
        .and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|waits| !waits.is_zero());
    match waits {
        Some(waits) => timeout.min(waits - SENDING_MAX.min(waits / 10)),
        None => timeout,
    }
}

/// Whether OpenMetrics is preferred to text 0.0.4.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let mut open_metrics = 0.0;
    let mut text: f64 = 0.0;
    for (media, quality, parameters) in accepted(headers, header::ACCEPT) {
        match media {
            "application/openmetrics-text" => {
                // Both versions differ in what they must contain, not in how it is written.
                let known = parameters.split(';').map(str::trim).all(|parameter| {
                    !parameter.starts_with("version=")
                        || ["version=1.0.0", "version=0.0.1"].contains(&parameter)
                });
                if known && quality > open_metrics {
                    open_metrics = quality;
                }
            }
            "text/plain" | "text/*" | "*/*" => text = text.max(quality),
            _ => {}
        }
    }
    open_metrics > 0.0 && open_metrics >= text
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    accepted(headers, header::ACCEPT_ENCODING)
        .any(|(coding, quality, _)| (coding == "gzip" || coding == "*") && quality > 0.0)
}

/// The items of an `Accept…` header: (what, how much it is liked from 0 to 1, its parameters).
fn accepted(
    headers: &HeaderMap,
    name: header::HeaderName,
) -> impl Iterator<Item = (&str, f64, &str)> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| {
            let (what, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = parameters
                .split(';')
                .find_map(|parameter| parameter.trim().strip_prefix("q=")?.parse().ok());
            (what.trim(), quality.unwrap_or(1.0), parameters)
        })
}

fn landing_page(path: &str) -> String {
    let path = path.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Node Exporter</title></head>\n\
         <body>\n<h1>Node Exporter</h1>\n<p>Watchpost {}: metrics of this machine, under node_exporter's names.</p>\n\
         <p><a href=\"{path}\">Metrics</a></p>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn content_is_negotiated() {
        for (accept, open_metrics) in [
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                true,
            ),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", false),
            ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1", false),
            ("application/openmetrics-text;q=0", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(
                wants_open_metrics(&headers(header::ACCEPT, accept)),
                open_metrics,
                "{accept}"
            );
        }
        for (accept, yes) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            assert_eq!(accepts_gzip(&headers(header::ACCEPT_ENCODING, accept)), yes, "{accept}");
        }
    }

    #[test]
    fn a_scrape_ends_before_prometheus_gives_up() {
        let name = header::HeaderName::from_static(SCRAPE_TIMEOUT);
        for (value, ms) in [
            ("10", 9500),
            ("1", 900),
            ("0.1", 90),
            ("120", 30_000),
            ("0", 30_000),
            ("-1", 30_000),
            ("NaN", 30_000),
            ("1e300", 30_000),
            ("soon", 30_000),
        ] {
            let left = time_left(&headers(name.clone(), value), Duration::from_secs(30));
            assert_eq!(left, Duration::from_millis(ms), "{value}");
        }
    }
}
