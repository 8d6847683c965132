//! Senders: each repeats a request until it is acknowledged, or loses patience, and writes down which.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use proto::{remote_write, snappy};
use tokio::task::JoinHandle;

use crate::{
    PATIENCE,
    book::{Book, Series},
    random::Random,
};

const SENDERS: u32 = 6;
/// Of each sender.
const SERIES: u32 = 60;
/// How old a late sample may be.
const LATE_MS: u64 = 3 * 86_400_000;
/// Between two requests.
const REST: Duration = Duration::from_millis(15);
/// Less than a receiver may take, so that there are answers that nobody waits for any more.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

pub(crate) fn http() -> reqwest::Client {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build().unwrap()
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU64,
    failures: AtomicU64,
    slowest_ms: AtomicU64,
    /// Times are never used twice for new samples.
    newest: AtomicI64,
}

pub(crate) struct Senders {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the senders saw.
pub(crate) struct Figures(Arc<Shared>);

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        write!(
            f,
            "{} requests acknowledged, the slowest after {} ms, {} attempts failed",
            of(&self.0.requests),
            of(&self.0.slowest_ms),
            of(&self.0.failures)
        )
    }
}

impl Senders {
    pub(crate) fn start(book: &Arc<Book>, receivers: Vec<String>, random: &mut Random) -> Self {
        let shared = Arc::new(Shared::default());
        let tasks = (0..SENDERS)
            .map(|number| {
                let sender = Sender {
                    number,
                    book: Arc::clone(book),
                    receivers: receivers.clone(),
                    shared: Arc::clone(&shared),
                    random: random.fork(),
                    http: http(),
                    receiver: number as usize % receivers.len(),
                    recent: Vec::new(),
                };
                tokio::spawn(sender.run())
            })
            .collect();
        Self { shared, tasks }
    }

    /// Waits until the last request of each is acknowledged.
    pub(crate) async fn stop(self) -> Figures {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        Figures(self.shared)
    }
}

struct Sender {
    number: u32,
    book: Arc<Book>,
    receivers: Vec<String>,
    shared: Arc<Shared>,
    random: Random,
    http: reqwest::Client,
    /// The receiver that took the last request.
    receiver: usize,
    /// Samples of earlier requests, to be sent once more.
    recent: Vec<(Series, i64)>,
}

impl Sender {
    async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let samples = self.compose();
            self.book.sending(&samples);
            let body = snappy::compress(&encode(&samples));
            if self.deliver(body).await {
                self.book.acknowledged(&samples);
            }
            self.recent.extend(samples.iter().take(5));
            if self.recent.len() > 100 {
                self.recent.drain(..50);
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// New samples, sometimes late ones and repeated ones; of each series in order, as remote write wants it.
    fn compose(&mut self) -> Vec<(Series, i64)> {
        let mut samples = Vec::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let now = self.shared.newest.fetch_max(now, Ordering::Relaxed).max(now);
        for _ in 0..self.random.between(1, 40) {
            let series = self.series();
            samples.push((series, now));
            if self.random.one_in(5) {
                samples.push((series, now - self.random.below(LATE_MS) as i64));
            }
        }
        if self.random.one_in(6) {
            samples.extend(self.recent.iter().take(20));
        }
        samples.sort_unstable();
        samples.dedup();
        samples
    }

    /// Mostly the same ones; now and then one that nobody knows yet.
    fn series(&mut self) -> Series {
        let n = if self.random.one_in(500) { 10_000 } else { SERIES };
        Series(self.number + SENDERS * self.random.below(u64::from(n)) as u32)
    }

    /// Whether it was acknowledged in the end.
    async fn deliver(&mut self, body: Vec<u8>) -> bool {
        let started = Instant::now();
        loop {
            let receiver = &self.receivers[self.receiver];
            let answer = self
                .http
                .post(format!("http://{receiver}/api/v1/write"))
                .header("Content-Type", remote_write::V1_CONTENT_TYPE)
                .header("Content-Encoding", "snappy")
                .body(body.clone())
                .send()
                .await;
            match answer {
                Ok(answer) if answer.status().is_success() => {
                    let took = started.elapsed().as_millis() as u64;
                    self.shared.slowest_ms.fetch_max(took, Ordering::Relaxed);
                    self.shared.requests.fetch_add(1, Ordering::Relaxed);
                    if self.random.one_in(50) {
                        self.receiver = (self.receiver + 1) % self.receivers.len();
                    }
                    return true;
                }
                Ok(answer) if answer.status().is_client_error() => {
                    panic!("refused for good: {}", answer.text().await.unwrap_or_default());
                }
                Ok(_) | Err(_) => {}
            }
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
            self.receiver = self.random.below(self.receivers.len() as u64) as usize;
            if self.shared.stop.load(Ordering::Relaxed) {
                assert!(started.elapsed() < PATIENCE, "all is well, and yet nobody takes this");
            } else if self.random.one_in(20) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(self.random.between(20, 200))).await;
        }
    }
}

/// A `prometheus.WriteRequest` with every value in it: generated code leaves out what equals the default, and −0 does.
fn encode(samples: &[(Series, i64)]) -> Vec<u8> {
    let mut request = Vec::new();
    for of_series in samples.chunk_by(|a, b| a.0 == b.0) {
        let series = of_series[0].0;
        let mut message = Vec::new();
        for (name, value) in [("__name__", series.metric()), ("series", series.label())] {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut message, 1, &label);
        }
        for (series, ts) in of_series {
            let mut sample = vec![0x09];
            sample.extend_from_slice(&series.bits(*ts).to_le_bytes());
            sample.push(0x10);
            varint(&mut sample, ts.cast_unsigned());
            field(&mut message, 2, &sample);
        }
        field(&mut request, 1, &message);
    }
    request
}

fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}
