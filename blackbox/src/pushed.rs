//! Probes that are made by the clock, on their way to a receiver.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Instant, UNIX_EPOCH},
};

use proto::{
    remote_write::v1::WriteRequest,
    scrape::{self, Target as Series},
};
use push::{Config, Outbox, Sender, schedule, scraper::METADATA_EVERY};
use service::Shutdown;
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::scheduler::{Probed, Scheduler, Target};

/// Outcomes that wait for the queue, which takes thousands in a second; while the disk hangs, more are lost.
const WAITING_MAX: usize = 10_000;

/// Probes and sends until `shutdown` fires and the end of all series is on its way.
pub(crate) async fn run(
    scheduler: Scheduler,
    config: &Config,
    (outbox, sender): (Outbox, Sender),
    shutdown: Shutdown,
) {
    let closing = Shutdown::new();
    let sending = tokio::spawn(sender.run(closing.clone()));
    let (probed, waiting) = mpsc::channel(WAITING_MAX);
    let queueing = tokio::spawn(queue(waiting, Targets::new(config), outbox));
    let mut is_behind = false;
    scheduler
        .run(shutdown, move |outcome| match probed.try_send(outcome) {
            Ok(()) => is_behind = false,
            Err(_) if is_behind => {}
            Err(_) => {
                is_behind = true;
                warn!("the queue takes nothing: outcomes of probes are lost");
            }
        })
        .await;
    for (what, task) in [("queueing", queueing), ("sending", sending)] {
        if let Err(err) = task.await {
            error!("{what} probes ended early: {err}");
        }
        // After the first of both: nothing more comes.
        closing.fire();
    }
}

async fn queue(mut waiting: mpsc::Receiver<Probed>, mut targets: Targets, outbox: Outbox) {
    while let Some(probed) = waiting.recv().await {
        outbox.push(targets.request(&probed)).await;
    }
    for request in targets.ended(schedule::now_ms()) {
        outbox.push(request).await;
    }
}

/// What is known of the series of each target.
struct Targets {
    labels: Vec<(String, String)>,
    /// By the address of the target, which lives as long as the plan.
    series: HashMap<usize, Series>,
    /// When the metrics of a module were last described.
    told: HashMap<String, Instant>,
}

impl Targets {
    fn new(config: &Config) -> Self {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            labels: config.label_pairs().into_iter().map(pair).collect(),
            series: HashMap::new(),
            told: HashMap::new(),
        }
    }

    /// As a Prometheus that asked `/probe` would send it: `instance` is the target.
    fn request(&mut self, probed: &Probed) -> WriteRequest {
        let since = probed.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let labels = &self.labels;
        let series = self
            .series
            .entry(Arc::as_ptr(&probed.target) as usize)
            .or_insert_with(|| Series::new(&pairs(labels, &probed.target)));
        let metrics = &probed.outcome.metrics;
        let mut request = series.scraped(metrics, at_ms, probed.outcome.duration);
        let module = &probed.target.module;
        if self.told.get(module).is_none_or(|told| told.elapsed() >= METADATA_EVERY) {
            request.metadata = scrape::metadata(metrics);
            self.told.insert(module.clone(), Instant::now());
        }
        request
    }

    fn ended(&mut self, at_ms: i64) -> Vec<WriteRequest> {
        self.series.values_mut().map(|series| series.ended(at_ms)).collect()
    }
}

/// The program's labels, but for those that the target has itself.
fn pairs<'a>(labels: &'a [(String, String)], target: &'a Target) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![("instance", target.target.as_str())];
    pairs.extend(target.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    for (name, value) in labels {
        if pairs.iter().all(|(known, _)| known != name) {
            pairs.push((name, value));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proto::exposition::Exposition;

    use super::*;
    use crate::{Outcome, Params};

    fn probed(target: &Arc<Target>, at_ms: u64) -> Probed {
        let mut metrics = Exposition::new();
        metrics.gauge("probe_success", "Whether it did.", 1.0);
        let outcome = Outcome {
            metrics,
            duration: Duration::from_millis(250),
            failure: None,
            log: String::new(),
            phases: Vec::new(),
        };
        let time = UNIX_EPOCH + Duration::from_millis(at_ms);
        Probed { target: Arc::clone(target), time, delay: Duration::ZERO, outcome }
    }

    #[test]
    fn probes_look_as_if_a_prometheus_had_asked() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let labels = vec![pair("job", "blackbox"), pair("instance", "prober:9115")];
        let mut targets = Targets { labels, series: HashMap::new(), told: HashMap::new() };
        let target = Arc::new(Target {
            target: "https://example.com".to_owned(),
            module: "http_2xx".to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(1),
            labels: BTreeMap::from([("job".to_owned(), "web".to_owned())]),
            params: Params::default(),
            public_only: false,
            retries: 0,
        });
        let first = targets.request(&probed(&target, 5_000));
        let success = &first.timeseries[0];
        let labels: Vec<(&str, &str)> =
            success.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
        assert_eq!(
            labels,
            [("__name__", "probe_success"), ("instance", "https://example.com"), ("job", "web")]
        );
        assert_eq!((success.samples[0].value, success.samples[0].timestamp), (1.0, 5_000));
        assert_eq!(first.metadata[0].metric_family_name, "probe_success");
        assert!(targets.request(&probed(&target, 35_000)).metadata.is_empty());
        let ended = targets.ended(40_000);
        assert_eq!((ended.len(), ended[0].timeseries.len()), (1, 6));
    }
}
