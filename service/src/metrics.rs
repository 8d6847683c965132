//! A program's own metrics: one `prometheus-client` registry, served as OpenMetrics or as text 0.0.4.
//!
//! Every program has, without doing anything for it:
//! - `watchpost_<program>_build_info{version,revision,rustc}`, and `watchpost_build_info` in the all-in-one;
//! - `process_*`, what client libraries of Prometheus call the standard process metrics (Linux only).
//!
//! [`Metrics::observe`] adds `watchpost_<program>_http_*` for a router, [`Metrics::reload`] the two gauges about
//! reloading that Prometheus' own alerts look at.

mod connections;
mod exposition;
mod http;
pub mod label;
pub mod negotiate;
mod process;
mod reload;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use ::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::ConstGauge},
    registry::Registry,
};
use tracing::error;

pub(crate) use connections::Connections;
pub use negotiate::Exposition;
pub use reload::ReloadMetrics;

use crate::version;

/// The registry of one program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Mutex<Registry>,
    prefix: String,
    http: OnceLock<http::HttpMetrics>,
    connections: OnceLock<Connections>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    revision: &'static str,
    rustc: &'static str,
}

impl Metrics {
    /// `program` is `exporter`, `receiver`, `blackbox` or `watchpost`.
    pub fn new(program: &str) -> Self {
        let prefix = match program {
            "watchpost" => "watchpost".to_owned(),
            program => format!("watchpost_{program}"),
        };
        let mut registry = Registry::default();
        register_build_info(&mut registry, &prefix);
        process::register(&mut registry);
        Self(Arc::new(Inner {
            registry: Mutex::new(registry),
            prefix,
            http: OnceLock::new(),
            connections: OnceLock::new(),
        }))
    }

    /// What the names of this program's families begin with: `watchpost_exporter`.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Lets a component register its families.
    ///
    /// Names are without `_total`, and help without its full stop: the registry adds both.
    pub fn register<T>(&self, component: impl FnOnce(&mut Registry) -> T) -> T {
        component(&mut self.registry())
    }

    /// Counts and times the requests of `router` by its route patterns.
    ///
    /// `watchpost_<program>_http_requests_total{handler,method,code}`,
    /// `…_http_request_duration_seconds{handler}` until the answer begins, and `…_http_requests_in_flight`.
    /// The labels are bounded: paths without a route are all `handler="none"`, unknown methods `method="other"`.
    pub fn observe<S>(&self, router: axum::Router<S>) -> axum::Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let families = self
            .0
            .http
            .get_or_init(|| http::HttpMetrics::register(&mut self.registry(), self.prefix()));
        families.observe(router)
    }

    /// Gauges about the last reload of the configuration. `prefix` is the program's, or for a drop-in replacement
    /// that of the program it replaces, such as `blackbox_exporter`.
    pub fn reload(&self, prefix: &str) -> ReloadMetrics {
        ReloadMetrics::register(&mut self.registry(), prefix)
    }

    /// What the web server counts about its connections.
    pub(crate) fn connections(&self) -> Connections {
        self.0
            .connections
            .get_or_init(|| Connections::register(&mut self.registry(), self.prefix()))
            .clone()
    }

    /// All families in OpenMetrics text.
    pub fn open_metrics(&self) -> String {
        exposition::open_metrics(&exposition::families(&self.encode()))
    }

    /// All families in the text format 0.0.4.
    pub fn text(&self) -> String {
        exposition::text(&exposition::families(&self.encode()))
    }

    /// The answer to a scrape, in the format that its `Accept` header asks for.
    pub fn respond(&self, request: &HeaderMap) -> Response {
        let exposition = Exposition::accepted(request);
        let body = match exposition {
            Exposition::Text => self.text(),
            Exposition::OpenMetrics001 | Exposition::OpenMetrics100 => self.open_metrics(),
        };
        let content_type = HeaderValue::from_static(exposition.content_type());
        ([(header::CONTENT_TYPE, content_type)], body).into_response()
    }

    fn encode(&self) -> String {
        let mut text = String::new();
        let encoded = prometheus_client::encoding::text::encode(&mut text, &self.registry());
        if encoded.is_err() {
            // Only a collector can fail here; what was written before it is still good.
            error!("a collector of our own metrics failed: the families after it are missing");
        }
        text
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().expect("no registration and no collector panics")
    }
}

fn register_build_info(registry: &mut Registry, prefix: &str) {
    let labels = BuildLabels {
        version: version::VERSION,
        revision: version::REVISION,
        rustc: version::RUSTC,
    };
    let family = Family::<BuildLabels, ConstGauge>::new_with_constructor(|| ConstGauge::new(1));
    let _ = family.get_or_create(&labels);
    registry.register(
        format!("{prefix}_build_info"),
        "A metric with a constant '1' value labeled by version, revision and compiler",
        family,
    );
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use ::http::header::ACCEPT;
    use prometheus_client::{
        metrics::{counter::Counter, gauge::Gauge, histogram::Histogram, info::Info},
        registry::Unit,
    };

    use super::*;

    #[test]
    fn every_program_says_what_it_is() {
        let text = Metrics::new("exporter").text();
        assert!(text.contains("# TYPE watchpost_exporter_build_info gauge\n"), "{text}");
        let sample = format!("watchpost_exporter_build_info{{version=\"{}\",", version::VERSION);
        assert!(text.contains(&sample), "{text}");
        assert!(Metrics::new("watchpost").text().contains("\nwatchpost_build_info{"));
    }

    #[test]
    fn one_scrape_in_either_format() {
        let metrics = Metrics::new("demo");
        let mut headers = HeaderMap::new();
        let answer = metrics.respond(&headers);
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/openmetrics-text"));
        let answer = metrics.respond(&headers);
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        assert!(metrics.open_metrics().ends_with("# EOF\n"));
    }

    /// An independent reader judges our text: all kinds of metrics, with everything that must be escaped.
    #[test]
    fn promtool_accepts_it() {
        let metrics = Metrics::new("demo");
        let _router: axum::Router = metrics.observe(axum::Router::new());
        metrics.connections();
        metrics.reload("demo").succeeded(std::time::SystemTime::now());
        metrics.register(|registry| {
            let counter: Counter = Counter::default();
            counter.inc();
            registry.register("demo_things", "Things with a \\ and\na second line.", counter);
            let gauge: Gauge = Gauge::default();
            registry.register_with_unit("demo_size", "A size", Unit::Bytes, gauge);
            let histogram = Histogram::new([0.1, 1.0]);
            histogram.observe(0.5);
            registry.register("demo_duration_seconds", "A duration", histogram);
            let info = Info::new(vec![("path", "C:\\x \"quoted\"\nline")]);
            registry.register("demo_disk", "A disk", info);
        });
        let text = metrics.text();
        let child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = child else {
            eprintln!("SKIPPED: promtool is not installed, so nobody else has read our metrics");
            return;
        };
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        assert!(
            output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
            "{}{}\n{text}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
