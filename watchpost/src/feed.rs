//! This machine's own exporter and probes, brought to the receiver where no Prometheus does it.
//!
//! Each target is scraped by a task of its own; what it returns becomes remote write as a Prometheus would have sent it
//! ([`proto::scrape`]), waits in a bounded queue, and goes through the receiver's one way in. While the database is away
//! the queue fills; when it is full the oldest scrapes are dropped and counted. At the end every series is marked as
//! ended, so that nothing looks alive that is not.

mod metrics;
mod queue;
mod sender;
mod source;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proto::{
    remote_write::{Message, v1::WriteRequest},
    scrape::Target,
    snappy,
};
use push::{
    registration::Intervals,
    scraper::{self, Scraped},
};
use service::Shutdown;
use tokio::task::JoinSet;
use tracing::warn;

use self::queue::Queue;
pub use self::{
    metrics::FeedMetrics,
    sender::{Sink, WriteFailure},
    source::Source,
};

/// How long the last scrapes may take to arrive when we stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// One thing to scrape.
pub struct Job {
    pub source: Source,
    /// The label `job`.
    pub job: String,
    /// The label `instance`.
    pub instance: String,
    pub interval: Duration,
}

/// Scrapes `jobs` and writes what they say to `sink` until `shutdown` fires and the rest has arrived.
pub async fn run<S: Sink>(jobs: Vec<Job>, sink: S, metrics: FeedMetrics, shutdown: Shutdown) {
    let queue = Arc::new(Queue::new(metrics.clone()));
    let mut scrapers = JoinSet::new();
    let line = Line { queue: Arc::clone(&queue), metrics: metrics.clone() };
    for Job { source, job, instance, interval } in jobs {
        let target = Target::new(&[("job", &job), ("instance", &instance)]);
        let every = Intervals::fixed(interval);
        scrapers.spawn(scraper::run(source, target, every, line.clone(), shutdown.clone()));
    }
    let sending = tokio::spawn(sender::run(Arc::clone(&queue), sink, metrics));
    while let Some(ended) = scrapers.join_next().await {
        if let Err(err) = ended {
            warn!("a scraper ended early: {err}");
        }
    }
    queue.close();
    if tokio::time::timeout(DRAIN_MAX, sending).await.is_err() {
        warn!("the last scrapes did not arrive within {} s", DRAIN_MAX.as_secs());
    }
}

/// Where all scrapers put what they found.
#[derive(Clone)]
struct Line {
    queue: Arc<Queue>,
    metrics: FeedMetrics,
}

impl scraper::Sink for Line {
    async fn push(&self, request: WriteRequest) {
        self.queue.push(encode(&request));
    }

    fn scraped(&self, how: Scraped) {
        self.metrics.scraped(how);
    }
}

/// A remote write 1.0 body.
fn encode(request: &WriteRequest) -> Bytes {
    snappy::compress(&request.encode_to_vec()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proto::{
        exposition::Exposition,
        remote_write::{is_stale, v1::WriteRequest},
    };

    use super::*;

    /// Remembers what it got, after refusing `away` times.
    #[derive(Clone, Default)]
    struct Memory {
        away: Arc<Mutex<u32>>,
        requests: Arc<Mutex<Vec<WriteRequest>>>,
    }

    impl Sink for Memory {
        async fn write(&self, block: Bytes) -> Result<(), WriteFailure> {
            let mut away = self.away.lock().unwrap();
            if *away > 0 {
                *away -= 1;
                return Err(WriteFailure::Later("the database is away".to_owned()));
            }
            let mut body = Vec::new();
            snappy::decompress(&block, 1 << 20, &mut body).unwrap();
            self.requests.lock().unwrap().push(WriteRequest::decode(body.as_slice()).unwrap());
            Ok(())
        }
    }

    fn values(requests: &[WriteRequest], name: &str) -> Vec<f64> {
        let series = requests.iter().flat_map(|request| &request.timeseries);
        series
            .filter(|s| s.labels.iter().any(|l| l.name == "__name__" && l.value == name))
            .map(|s| s.samples[0].value)
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn scrapes_arrive_in_order_and_end_with_markers() {
        let sink = Memory::default();
        *sink.away.lock().unwrap() = 3;
        let count = Arc::new(Mutex::new(0.0));
        let counted = Arc::clone(&count);
        let source = Source::test(move || {
            let mut exposition = Exposition::new();
            *counted.lock().unwrap() += 1.0;
            exposition.counter("scrapes_total", "Scrapes.", *counted.lock().unwrap());
            exposition
        });
        let job = Job {
            source,
            job: "node".to_owned(),
            instance: "here".to_owned(),
            interval: Duration::from_secs(1),
        };
        let shutdown = Shutdown::new();
        let running =
            tokio::spawn(run(vec![job], sink.clone(), FeedMetrics::default(), shutdown.clone()));
        while *count.lock().unwrap() < 5.0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        shutdown.fire();
        running.await.unwrap();
        let requests = sink.requests.lock().unwrap();
        let mut scrapes = values(&requests, "scrapes_total");
        assert!(is_stale(scrapes.pop().unwrap()));
        assert_eq!(scrapes, [1.0, 2.0, 3.0, 4.0, 5.0], "none is lost, none doubled");
        let mut up = values(&requests, "up");
        assert!(is_stale(up.pop().unwrap()));
        assert_eq!(up, [1.0; 5]);
        assert_eq!(requests[0].metadata[0].metric_family_name, "scrapes_total");
        assert!(requests[1].metadata.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_down() {
        let sink = Memory::default();
        let job = Job {
            source: Source::hanging(),
            job: "node".to_owned(),
            instance: "here".to_owned(),
            interval: Duration::from_secs(1),
        };
        let shutdown = Shutdown::new();
        let running =
            tokio::spawn(run(vec![job], sink.clone(), FeedMetrics::default(), shutdown.clone()));
        while sink.requests.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        shutdown.fire();
        running.await.unwrap();
        assert_eq!(values(&sink.requests.lock().unwrap(), "up")[..2], [0.0, 0.0]);
    }
}
