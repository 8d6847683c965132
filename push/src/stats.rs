//! What pushing counts, for whichever page a program shows its own metrics on.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use proto::exposition::{Exposition, Kind};

/// Why samples that were taken were never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    QueueFull,
    Corrupted,
    TooLarge,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Taken,
    Refused,
    Later,
    Unreachable,
}

const DROPPED: [&str; 3] = ["queue_full", "corrupted", "too_large"];
const ENDED: [&str; 4] = ["taken", "refused", "later", "unreachable"];

/// Counters and gauges of one queue and its sender.
#[derive(Debug)]
pub struct Stats {
    prefix: String,
    queue_bytes_max: u64,
    queue_bytes: AtomicU64,
    pending: AtomicI64,
    sent: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    dropped: [AtomicU64; 3],
    requests: [AtomicU64; 4],
    bytes: AtomicU64,
    corrupted_segments: AtomicU64,
    highest_ms: AtomicI64,
    highest_sent_ms: AtomicI64,
    protocol: AtomicU64,
    is_dropping: AtomicBool,
}

/// One family: its name behind the prefix and without `_total`, and its samples by reason.
struct Shown {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Option<(&'static str, &'static str)>, f64)>,
}

impl Stats {
    /// `program` is as in [`service::Metrics::new`].
    pub(crate) fn new(program: &str, queue_bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            prefix: format!("watchpost_{program}_remote_write"),
            queue_bytes_max,
            queue_bytes: AtomicU64::new(0),
            pending: AtomicI64::new(0),
            sent: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dropped: [const { AtomicU64::new(0) }; 3],
            requests: [const { AtomicU64::new(0) }; 4],
            bytes: AtomicU64::new(0),
            corrupted_segments: AtomicU64::new(0),
            highest_ms: AtomicI64::new(0),
            highest_sent_ms: AtomicI64::new(0),
            protocol: AtomicU64::new(0),
            is_dropping: AtomicBool::new(false),
        })
    }

    pub(crate) fn pending_more(&self, samples: u64) {
        self.pending.fetch_add(samples as i64, Relaxed);
    }

    pub(crate) fn pending_less(&self, samples: u64) {
        self.pending.fetch_sub(samples as i64, Relaxed);
    }

    /// Samples that wait to be sent.
    pub fn pending(&self) -> i64 {
        self.pending.load(Relaxed)
    }

    pub(crate) fn dropped(&self, samples: u64, why: Dropped) {
        self.dropped[why as usize].fetch_add(samples, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn dropped_for(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].load(Relaxed)
    }

    /// Whether this is the first drop since everything was delivered: what is worth a line in the log.
    pub(crate) fn is_first_drop(&self) -> bool {
        !self.is_dropping.swap(true, Relaxed)
    }

    pub(crate) fn corrupted_segment(&self) {
        self.corrupted_segments.fetch_add(1, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn corrupted_segments(&self) -> u64 {
        self.corrupted_segments.load(Relaxed)
    }

    pub(crate) fn queue_bytes(&self, bytes: u64) {
        self.queue_bytes.store(bytes, Relaxed);
    }

    pub(crate) fn queued(&self, newest_ms: i64) {
        self.highest_ms.fetch_max(newest_ms, Relaxed);
    }

    pub(crate) fn requested(&self, ended: Ended, bytes: usize) {
        self.requests[ended as usize].fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn retried(&self, samples: u64) {
        self.retried.fetch_add(samples, Relaxed);
    }

    pub(crate) fn sent(&self, samples: u64, newest_ms: i64) {
        self.sent.fetch_add(samples, Relaxed);
        self.highest_sent_ms.fetch_max(newest_ms, Relaxed);
        self.is_dropping.store(false, Relaxed);
    }

    pub(crate) fn refused(&self, samples: u64) {
        self.refused.fetch_add(samples, Relaxed);
    }

    pub(crate) fn speaks(&self, version: u64) {
        self.protocol.store(version, Relaxed);
    }

    /// Adds all families to an exporter's page.
    pub fn write(&self, out: &mut Exposition) {
        for shown in self.shown() {
            let suffix = if shown.kind == Kind::Counter { "_total" } else { "" };
            let name = format!("{}_{}{suffix}", self.prefix, shown.name);
            let mut family = out.family(&name, shown.help, shown.kind);
            for (label, value) in shown.samples {
                family.sample(label.as_slice(), value);
            }
        }
    }

    fn shown(&self) -> Vec<Shown> {
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        let one = |value: f64| vec![(None, value)];
        let by = |label: &'static str, names: &[&'static str], counters: &[AtomicU64]| {
            let named = names.iter().zip(counters);
            named.map(|(name, counter)| (Some((label, *name)), count(counter))).collect()
        };
        let counter = |name, help, samples| Shown { name, help, kind: Kind::Counter, samples };
        let gauge = |name, help, samples| Shown { name, help, kind: Kind::Gauge, samples };
        let seconds = |ms: &AtomicI64| ms.load(Relaxed) as f64 / 1000.0;
        vec![
            counter("samples", "Samples that the receiver took.", one(count(&self.sent))),
            counter(
                "samples_failed",
                "Samples that the receiver refused for good.",
                one(count(&self.refused)),
            ),
            counter("samples_retried", "Samples that were sent again.", one(count(&self.retried))),
            counter(
                "samples_dropped",
                "Samples that were never sent, by reason.",
                by("reason", &DROPPED, &self.dropped),
            ),
            gauge(
                "samples_pending",
                "Samples that wait to be sent.",
                one(self.pending().max(0) as f64),
            ),
            counter("bytes", "Bytes of bodies that were sent.", one(count(&self.bytes))),
            counter(
                "requests",
                "Requests that were sent, by outcome.",
                by("outcome", &ENDED, &self.requests),
            ),
            gauge(
                "queue_bytes",
                "Bytes that the queue takes on disk and in memory.",
                one(count(&self.queue_bytes)),
            ),
            gauge(
                "queue_max_bytes",
                "Bytes that the queue may take before the oldest samples are dropped.",
                one(self.queue_bytes_max as f64),
            ),
            counter(
                "corrupted_segments",
                "Files of the queue that could not be read to their end.",
                one(count(&self.corrupted_segments)),
            ),
            gauge(
                "queue_highest_timestamp_seconds",
                "Time of the newest sample that was taken into the queue.",
                one(seconds(&self.highest_ms)),
            ),
            gauge(
                "queue_highest_sent_timestamp_seconds",
                "Time of the newest sample that the receiver took.",
                one(seconds(&self.highest_sent_ms)),
            ),
            gauge(
                "protocol_version",
                "Version of remote write that is spoken with the receiver, 0 before the first answer.",
                one(count(&self.protocol)),
            ),
        ]
    }
}

/// For programs that show a registry.
#[derive(Debug)]
pub(crate) struct Registered(pub(crate) Arc<Stats>);

impl Stats {
    /// Shows all families with those of a registry.
    pub fn register(self: &Arc<Self>, registry: &mut prometheus_client::registry::Registry) {
        registry.register_collector(Box::new(Registered(Arc::clone(self))));
    }
}

impl Collector for Registered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for shown in self.0.shown() {
            let name = format!("{}_{}", self.0.prefix, shown.name);
            let metric = |value: f64| -> Box<dyn EncodeMetric> {
                match shown.kind {
                    Kind::Counter => Box::new(ConstCounter::new(value)),
                    _ => Box::new(ConstGauge::new(value)),
                }
            };
            let kind = metric(0.0).metric_type();
            let mut family = encoder.encode_descriptor(&name, shown.help, None, kind)?;
            if let [(None, value)] = shown.samples[..] {
                metric(value).encode(family)?;
                continue;
            }
            for (label, value) in &shown.samples {
                let labels = label.as_slice();
                metric(*value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pages_say_the_same() {
        let stats = Stats::new("demo", 1000);
        stats.pending_more(7);
        stats.dropped(3, Dropped::Corrupted);
        stats.requested(Ended::Later, 10);
        stats.sent(5, 1_500);
        let mut page = Exposition::new();
        stats.write(&mut page);
        let metrics = service::Metrics::new("demo");
        metrics.register(|registry| stats.register(registry));
        let ours = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with("watchpost_demo_remote_write"));
            let mut lines: Vec<String> =
                lines.map(|line| line.strip_suffix(".0").unwrap_or(line).to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(ours(&page.to_text()), ours(&metrics.text()));
        let lines = ours(&page.to_text());
        for line in [
            "watchpost_demo_remote_write_samples_total 5",
            "watchpost_demo_remote_write_samples_pending 7",
            "watchpost_demo_remote_write_samples_dropped_total{reason=\"corrupted\"} 3",
            "watchpost_demo_remote_write_requests_total{outcome=\"later\"} 1",
            "watchpost_demo_remote_write_queue_highest_sent_timestamp_seconds 1.5",
        ] {
            assert!(lines.iter().any(|known| known == line), "{line} in {lines:#?}");
        }
    }
}
