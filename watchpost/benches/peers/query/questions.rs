//! What dashboards, alerts and people ask, by how far they look back.

/// Over which times a question is asked; the end is that of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Instant,
    /// A step of 15 s.
    Hour,
    /// A step of a minute.
    Day,
    /// A step of ten minutes.
    Week,
}

impl Over {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Instant => "now",
            Self::Hour => "1 h",
            Self::Day => "24 h",
            Self::Week => "7 d",
        }
    }

    /// Length and step, in seconds.
    pub(crate) fn times(self) -> (i64, i64) {
        match self {
            Self::Instant => (0, 1),
            Self::Hour => (3_600, 15),
            Self::Day => (86_400, 60),
            Self::Week => (604_800, 600),
        }
    }
}

pub(crate) const QUESTIONS: &[(Over, &str)] = &[
    (Over::Instant, "up"),
    (Over::Instant, "node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1"),
    (Over::Instant, "sum by (cluster, mode) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m]))"),
    (
        Over::Instant,
        "topk(10, 1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))",
    ),
    (Over::Instant, "sum by (code) (increase(http_requests_total[24h]))"),
    (Over::Instant, "quantile_over_time(0.95, node_load1[24h])"),
    (Over::Instant, "predict_linear(node_filesystem_avail_bytes[6h], 86400) < 0"),
    (Over::Hour, "rate(node_cpu_seconds_total{instance=\"host-00007.example.com:9100\"}[1m])"),
    (Over::Hour, "node_load1"),
    (Over::Hour, "sum by (mode) (rate(node_cpu_seconds_total[5m]))"),
    (
        Over::Hour,
        "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    (Over::Hour, "topk(5, sum by (instance) (rate(node_network_receive_bytes_total[5m])))"),
    (
        Over::Hour,
        "sum by (code) (rate(http_requests_total{instance=~\"host-000[0-4].*\", code=~\"5..|4..\"}[5m]))",
    ),
    (
        Over::Hour,
        "sum by (instance) (rate(http_requests_total{code=\"500\"}[5m])) / sum by (instance) (rate(http_requests_total[5m]))",
    ),
    (Over::Hour, "node_filesystem_avail_bytes * on (instance) group_left (cluster) up"),
    (
        Over::Day,
        "node_memory_MemAvailable_bytes{instance=\"host-00007.example.com:9100\"} / node_memory_MemTotal_bytes",
    ),
    (Over::Day, "sum by (cluster) (rate(node_cpu_seconds_total{mode=\"user\"}[5m]))"),
    (Over::Day, "sum by (mode) (rate(node_cpu_seconds_total[5m]))"),
    (
        Over::Day,
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    (Over::Day, "max_over_time(node_load1[1h])"),
    (Over::Day, "quantile_over_time(0.95, node_load5[30m])"),
    (Over::Day, "max_over_time(sum(rate(http_requests_total[5m]))[1h:1m])"),
    (Over::Day, "stddev by (cluster) (node_load15)"),
    (Over::Day, "count(up == 1) by (cluster)"),
    (Over::Day, "avg without (cpu) (irate(node_cpu_seconds_total{mode=~\"user|system\"}[2m]))"),
    (Over::Week, "sum by (mode) (rate(node_cpu_seconds_total[1h]))"),
    (Over::Week, "avg by (cluster) (avg_over_time(node_load1[10m]))"),
];
