//! What the web server counts about its connections.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Cheap to clone. The default counts into nothing that is exposed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    pub(crate) open: Gauge,
    pub(crate) limited: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) unauthorized: Counter,
    pub(crate) config_failed: Gauge,
}

impl Connections {
    pub(crate) fn register(registry: &mut Registry, prefix: &str) -> Self {
        let counts = Self::default();
        registry.register(
            format!("{prefix}_http_connections_open"),
            "Open connections, WebSockets included",
            counts.open.clone(),
        );
        registry.register(
            format!("{prefix}_http_connections_limited"),
            "Times that accepting waited because as many connections as allowed were open",
            counts.limited.clone(),
        );
        registry.register(
            format!("{prefix}_tls_handshakes_failed"),
            "TLS handshakes that failed, by the client's fault or ours",
            counts.handshakes_failed.clone(),
        );
        registry.register(
            format!("{prefix}_http_requests_unauthorized"),
            "Requests refused for want of a right user name and password",
            counts.unauthorized.clone(),
        );
        registry.register(
            format!("{prefix}_web_config_failed"),
            "1 while the file of --web.config.file cannot be used and the settings before it stay in force",
            counts.config_failed.clone(),
        );
        counts
    }
}
