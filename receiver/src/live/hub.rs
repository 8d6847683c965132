//! Where committed samples meet subscriptions.
//!
//! Writers call [`Hub::publish`], which only appends to a queue. One thread takes what is queued at once, waits a
//! tenth of a second before it takes more, and tells every channel. Nothing is polled: a sample is on its way to the
//! clients as soon as it is committed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{
    Metrics,
    channel::{Channel, Ready},
    engine::Window,
    protocol::Refusal,
    source::{Committed, Source},
    topic::Topic,
};

/// Updates of a channel are at least this far apart.
const COALESCE: Duration = Duration::from_millis(100);
/// How often channels look for new series and for having no watchers when nothing is published.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// Samples that may wait for the hub, about 50 MB. Beyond, subscriptions start afresh from the store.
const QUEUE_SAMPLES_MAX: usize = 2_000_000;
/// Different things that may be subscribed to at a time.
const CHANNELS_MAX: usize = 1_024;
/// Open connections: three quarters of what the web server accepts (`service::web`), so that pages that are left open
/// never take the places of those who write.
const CONNECTIONS_MAX: usize = 768;
/// Snapshots that are read from the store at a time; others wait their turn.
const LOADS_MAX: usize = 4;
/// Looking for new series may take at most this part of the hub's time.
const RESOLVE_SHARE: u32 = 10;
const RESOLVE_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Live updates. Cheap to clone; the last clone ends the hub's thread.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    source: Arc<dyn Source>,
    metrics: Metrics,
    epoch: String,
    started: Instant,
    queue: Arc<Queue>,
    /// Channels open or about to be: while there is none, nothing is queued.
    watched: AtomicUsize,
    channels: Mutex<HashMap<Topic, Arc<Channel>>>,
    next_channel: AtomicU64,
    next_connection: AtomicU64,
    connections: AtomicUsize,
    loads: Semaphore,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<Arc<Committed>>,
    n_samples: usize,
    since: Option<Instant>,
    overflowed: bool,
    closed: bool,
}

impl Hub {
    /// Starts the hub's thread.
    pub fn new(source: Arc<dyn Source>, metrics: Metrics) -> Self {
        let queue = Arc::new(Queue::default());
        let inner = Arc::new(Inner {
            source,
            metrics,
            epoch: format!("{:x}", now_ms()),
            started: Instant::now(),
            queue: Arc::clone(&queue),
            watched: AtomicUsize::new(0),
            channels: Mutex::default(),
            next_channel: AtomicU64::new(1),
            next_connection: AtomicU64::new(1),
            connections: AtomicUsize::new(0),
            loads: Semaphore::new(LOADS_MAX),
        });
        let weak = Arc::downgrade(&inner);
        std::thread::Builder::new()
            .name("live-hub".to_owned())
            .spawn(move || fan_out(&queue, &weak))
            .expect("a process that cannot start one thread cannot serve");
        Self(inner)
    }

    /// Whether anybody watches anything.
    pub fn is_watched(&self) -> bool {
        self.0.watched.load(Ordering::SeqCst) > 0
    }

    /// Whether anybody looks at one server: its page, or series that are selected by its `instance`.
    pub(crate) fn watches(&self, instance: &str) -> bool {
        self.is_watched()
            && self
                .channels()
                .iter()
                .any(|(topic, channel)| topic.is_about(instance) && channel.has_subscribers())
    }

    /// Tells subscribers what was committed. Never blocks; costs next to nothing when nobody watches.
    pub fn publish(&self, committed: Arc<Committed>) {
        if self.0.watched.load(Ordering::SeqCst) == 0 || committed.series.is_empty() {
            return;
        }
        let mut waiting = self.0.queue.lock();
        if waiting.n_samples + committed.series.len() > QUEUE_SAMPLES_MAX {
            waiting.batches.clear();
            waiting.n_samples = 0;
            waiting.overflowed = true;
        } else {
            waiting.n_samples += committed.series.len();
            waiting.batches.push(committed);
        }
        waiting.since.get_or_insert_with(Instant::now);
        drop(waiting);
        self.0.queue.wake.notify_one();
    }

    /// The snapshot of a topic as a newcomer would get it, without subscribing.
    pub async fn snapshot(&self, topic: Topic, window: Window) -> Result<Bytes, Refusal> {
        let inner = Arc::clone(&self.0);
        let open = move || Channel::open(0, 0, topic.into_engine(), &*inner.source, Instant::now());
        let channel =
            tokio::task::spawn_blocking(open).await.map_err(|_| Refusal::Unavailable)??;
        let _turn = self.0.loads.acquire().await.expect("never closed");
        Ok(channel.snapshot(self.source(), window, 0, now_ms()).await?.text.clone())
    }

    /// The channel of a topic, opened if nobody has it yet.
    pub(super) async fn channel(&self, topic: Topic) -> Result<Arc<Channel>, Refusal> {
        if let Some(channel) = self.channels().get(&topic) {
            return Ok(Arc::clone(channel));
        }
        // Counted before it selects: what is committed from here on is either published to it or read by it.
        self.0.watched.fetch_add(1, Ordering::SeqCst);
        let opened = self.open(topic).await;
        self.0.watched.fetch_sub(1, Ordering::SeqCst);
        opened
    }

    async fn open(&self, topic: Topic) -> Result<Arc<Channel>, Refusal> {
        let now = Instant::now();
        if self.channels().len() >= CHANNELS_MAX {
            self.0.retire_idle(now, Duration::ZERO);
        }
        let inner = Arc::clone(&self.0);
        let make_engine = topic.clone().into_engine();
        let id = inner.next_channel.fetch_add(1, Ordering::Relaxed);
        // No channel makes 16 updates a millisecond, so a number of one is never a number of a later one.
        let first_seq = (now.duration_since(inner.started).as_millis() as u64 + 1) * 16;
        let open = move || Channel::open(id, first_seq, make_engine, &*inner.source, now);
        let opened =
            tokio::task::spawn_blocking(open).await.map_err(|_| Refusal::Unavailable)??;
        let mut channels = self.channels();
        if let Some(channel) = channels.get(&topic) {
            return Ok(Arc::clone(channel));
        }
        if channels.len() >= CHANNELS_MAX {
            return Err(Refusal::Busy);
        }
        let channel = Arc::new(opened);
        channels.insert(topic, Arc::clone(&channel));
        self.0.watched.fetch_add(1, Ordering::SeqCst);
        self.0.metrics.channels.inc();
        Ok(channel)
    }

    /// A snapshot of a channel; at most [`LOADS_MAX`] are read at a time.
    pub(super) async fn load(
        &self,
        channel: &Channel,
        window: Window,
        since: u64,
    ) -> Result<Arc<Ready>, Refusal> {
        let _turn = self.0.loads.acquire().await.expect("never closed");
        channel.snapshot(self.source(), window, since, now_ms()).await
    }

    /// A number for a new connection, unless there are too many.
    pub(super) fn admit(&self) -> Option<Admission> {
        let inner = Arc::clone(&self.0);
        let before = inner.connections.fetch_add(1, Ordering::SeqCst);
        inner.metrics.connections.inc();
        let admission =
            Admission { id: inner.next_connection.fetch_add(1, Ordering::Relaxed), inner };
        (before < CONNECTIONS_MAX).then_some(admission)
    }

    /// Changes with every start of the process: numbers of another epoch mean nothing.
    pub(super) fn epoch(&self) -> &str {
        &self.0.epoch
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn source(&self) -> &dyn Source {
        &*self.0.source
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<Topic, Arc<Channel>>> {
        self.0.channels.lock().expect("no holder panics")
    }
}

/// The place of one connection; leaving gives it back.
pub(super) struct Admission {
    pub(super) id: u64,
    inner: Arc<Inner>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.inner.connections.fetch_sub(1, Ordering::SeqCst);
        self.inner.metrics.connections.dec();
    }
}

impl Inner {
    fn retire_idle(&self, now: Instant, spare: Duration) {
        self.channels.lock().expect("no holder panics").retain(|_, channel| {
            let retired = channel.retire_if_idle(now, spare);
            if retired {
                self.watched.fetch_sub(1, Ordering::SeqCst);
                self.metrics.channels.dec();
            }
            !retired
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wake.notify_one();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder panics")
    }

    /// Waits until something is published, for at most a tick.
    fn take(&self) -> Waiting {
        let idle = |waiting: &mut Waiting| waiting.since.is_none() && !waiting.closed;
        let (mut waiting, _) =
            self.wake.wait_timeout_while(self.lock(), IDLE_TICK, idle).expect("no holder panics");
        let closed = waiting.closed;
        let taken = std::mem::take(&mut *waiting);
        waiting.closed = closed;
        Waiting { closed, ..taken }
    }

    /// Lets more be published before the next [`Queue::take`].
    fn pause(&self, length: Duration) {
        let open = |waiting: &mut Waiting| !waiting.closed;
        let waited = self.wake.wait_timeout_while(self.lock(), length, open);
        drop(waited.expect("no holder panics"));
    }
}

/// The hub's thread.
fn fan_out(queue: &Queue, hub: &Weak<Inner>) {
    let mut generation = 0;
    let mut next_resolve = Instant::now();
    let mut next_sweep = Instant::now();
    loop {
        let taken = queue.take();
        let Some(inner) = hub.upgrade().filter(|_| !taken.closed) else { return };
        let began = Instant::now();
        let channels: Vec<_> =
            inner.channels.lock().expect("no holder panics").values().cloned().collect();
        if taken.overflowed {
            inner.metrics.overflows.inc();
            tracing::warn!("live updates fell behind the writers; subscriptions start afresh");
            for channel in &channels {
                channel.start_afresh(&*inner.source);
            }
        }
        let resolves = began >= next_resolve && inner.source.series_generation() != generation;
        if resolves {
            generation = inner.source.series_generation();
        }
        for channel in &channels {
            channel.feed(&*inner.source, generation, &taken.batches, began);
        }
        if resolves {
            next_resolve = began + (began.elapsed() * RESOLVE_SHARE).min(RESOLVE_PAUSE_MAX);
        }
        if let Some(since) = taken.since {
            inner.metrics.fanout_seconds.observe(since.elapsed().as_secs_f64());
        }
        if began >= next_sweep {
            next_sweep = began + IDLE_TICK;
            inner.retire_idle(began, Channel::LINGERS);
        }
        drop((inner, channels, taken));
        queue.pause(COALESCE.saturating_sub(began.elapsed()));
    }
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
