//! One client: what it asks for, what it is subscribed to.
//!
//! Knows nothing of sockets: text comes in by [`Session::handle`], text goes out by [`Session::next`].

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Hub,
    channel::Channel,
    engine::Window,
    frame,
    hub::{self, Admission},
    outbox::{Next, Outbox},
    protocol::{
        Close, GapReason, Op, Refusal, Request, Resume, SERIES_PER_CONNECTION_MAX,
        SUBSCRIPTIONS_MAX, Subscribe,
    },
    topic::Topic,
};

/// The slowest rate a client may ask for.
const LEAST_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Reconnecting clients are spread over this time when the server restarts.
const RETRY_SPREAD_MS: u64 = 5_000;
/// How often a subscription tries again when updates outran its snapshot.
const ATTEMPTS: usize = 3;

/// The state of one connection.
pub struct Session {
    hub: Hub,
    admission: Admission,
    outbox: Arc<Outbox>,
    subscriptions: HashMap<u64, Subscription>,
    /// Subscriptions being made: they count against the limit.
    pending: usize,
}

struct Subscription {
    channel: Arc<Channel>,
    window: Window,
    /// Series that count against the connection's limit.
    n_series: usize,
}

/// Work that reads from the store; [`Session::done`] takes what it returns.
pub type Work = std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A finished subscription or a finished repair of one.
pub struct Outcome(Result<Made, Refusal>, Option<i64>);

struct Made {
    channel: Arc<Channel>,
    window: Window,
    is_match: bool,
}

/// What the connection should do next.
#[derive(Debug, PartialEq)]
pub enum Action {
    Send(Bytes),
    Close(Close, Bytes),
    /// Nothing to send before this time, unless [`Session::woken`] completes.
    Wait(Option<Instant>),
}

impl Session {
    /// Greets the client; `None` when there are too many connections.
    pub fn open(hub: &Hub) -> Option<Self> {
        let admission = hub.admit()?;
        let outbox = Outbox::new(hub.metrics().clone());
        outbox.reply(Op::Hello, frame::hello(hub.epoch(), hub::now_ms()));
        Some(Self {
            hub: hub.clone(),
            admission,
            outbox,
            subscriptions: HashMap::new(),
            pending: 0,
        })
    }

    /// Takes one message. Work that it starts must be driven beside everything else.
    pub fn handle(&mut self, text: &str) -> Option<Work> {
        let Ok(request) = serde_json::from_str(text) else {
            self.outbox.close(Close::BadFrame);
            return None;
        };
        match request {
            Request::Ping { n } => self.outbox.reply(Op::Pong, frame::pong(n, hub::now_ms())),
            Request::Unsub { ch } => {
                if !self.end(ch) {
                    self.refuse(None, &Refusal::NoSuchChannel(ch));
                }
            }
            Request::Rate { ch, max_hz } => self.limit_rate(ch, max_hz),
            Request::Sub(request) => {
                let id = request.id;
                return match self.subscribe(request) {
                    Ok(work) => Some(work),
                    Err(refusal) => {
                        self.refuse(Some(id), &refusal);
                        None
                    }
                };
            }
        }
        None
    }

    fn limit_rate(&self, ch: u64, max_hz: f64) {
        if !self.subscriptions.contains_key(&ch) {
            self.refuse(None, &Refusal::NoSuchChannel(ch));
        } else if max_hz.is_nan() || max_hz <= 0.0 {
            self.refuse(None, &Refusal::BadArgument("max_hz must be above 0".to_owned()));
        } else {
            // Faster than channels are: no limit.
            let seconds = if max_hz >= 10.0 { 0.0 } else { 1.0 / max_hz };
            let interval = Duration::from_secs_f64(seconds.min(LEAST_INTERVAL_MAX.as_secs_f64()));
            self.outbox.limit_rate(ch, interval);
        }
    }

    fn subscribe(&mut self, request: Subscribe) -> Result<Work, Refusal> {
        if self.subscriptions.len() + self.pending >= SUBSCRIPTIONS_MAX {
            return Err(Refusal::TooMany { what: "subscriptions", limit: SUBSCRIPTIONS_MAX });
        }
        let topic = Topic::of(&request)?;
        let window = Window::of(&request)?;
        self.pending += 1;
        let n_series: usize = self.subscriptions.values().map(|sub| sub.n_series).sum();
        let joining = Joining {
            hub: self.hub.clone(),
            connection: self.admission.id,
            outbox: Arc::clone(&self.outbox),
            window,
        };
        let id = request.id;
        Ok(Box::pin(async move {
            let made = joining.join(topic, id, request.resume, n_series).await;
            Outcome(made, Some(id))
        }))
    }

    /// Takes the outcome of some work; it must follow at once, so that the session can undo it when it ends.
    pub fn done(&mut self, Outcome(made, id): Outcome) {
        if id.is_some() {
            self.pending -= 1;
        }
        match made {
            // Without its snapshot a subscription would stay silent: let the client come again.
            Err(_) if id.is_none() => self.outbox.close(Close::Busy),
            Err(refusal) => self.refuse(id, &refusal),
            Ok(Made { channel, window, is_match }) => {
                let n_series = if is_match { channel.n_inputs() } else { 0 };
                let ch = channel.id;
                let subscription = Subscription { channel, window, n_series };
                if id.is_some() && self.subscriptions.insert(ch, subscription).is_none() {
                    self.hub.metrics().subscriptions.inc();
                }
            }
        }
    }

    /// Snapshots for subscriptions that lost updates.
    pub fn repairs(&mut self) -> Vec<Work> {
        let mut repairs: Vec<Work> = Vec::new();
        for ch in self.outbox.take_lost() {
            let Some(subscription) = self.subscriptions.get(&ch) else { continue };
            let channel = Arc::clone(&subscription.channel);
            let joining = Joining {
                hub: self.hub.clone(),
                connection: self.admission.id,
                outbox: Arc::clone(&self.outbox),
                window: subscription.window,
            };
            repairs.push(Box::pin(async move {
                let lost_to = channel.seq();
                let gap = frame::gap(ch, None, lost_to, GapReason::Slow);
                let first = vec![(Op::Gap, gap)];
                let repaired = joining.give_snapshot(&channel, first, lost_to).await;
                let window = joining.window;
                Outcome(repaired.map(|()| Made { channel, window, is_match: false }), None)
            }));
        }
        repairs
    }

    /// The next thing to do for the connection.
    pub fn next(&self, now: Instant) -> Action {
        match self.outbox.next(now) {
            Next::Send(op, text) => {
                self.hub.metrics().sent(op);
                Action::Send(text)
            }
            Next::Wait(until) => Action::Wait(until),
            Next::Close(close) => {
                self.hub.metrics().sent(Op::Bye);
                self.hub.metrics().closed(close);
                let spread = self.admission.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                Action::Close(close, frame::bye(close, spread % RETRY_SPREAD_MS))
            }
        }
    }

    /// Completes when [`Session::next`] or [`Session::repairs`] may have something new. Cancel-safe.
    pub async fn woken(&self) {
        self.outbox.woken().await;
    }

    /// Ends the session at the next [`Session::next`].
    pub fn close(&self, close: Close) {
        self.outbox.close(close);
    }

    /// Counts an end that the transport noticed, when nothing can be written any more.
    pub fn evicted(&self, close: Close) {
        self.hub.metrics().closed(close);
    }

    /// Tells the client that the server lives.
    pub fn heartbeat(&self) {
        self.outbox.reply(Op::Heartbeat, frame::heartbeat(hub::now_ms()));
    }

    fn refuse(&self, id: Option<i64>, refusal: &Refusal) {
        self.outbox.reply(Op::Err, frame::refused(id, refusal));
    }

    fn end(&mut self, ch: u64) -> bool {
        let Some(subscription) = self.subscriptions.remove(&ch) else { return false };
        subscription.channel.detach(self.admission.id, Instant::now());
        self.outbox.shut(ch);
        self.hub.metrics().subscriptions.dec();
        true
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let all: Vec<_> = self.subscriptions.keys().copied().collect();
        for ch in all {
            self.end(ch);
        }
    }
}

/// A connection on its way into a channel.
struct Joining {
    hub: Hub,
    connection: u64,
    outbox: Arc<Outbox>,
    window: Window,
}

impl Joining {
    async fn join(
        &self,
        topic: Topic,
        id: i64,
        resume: Option<Resume>,
        n_series: usize,
    ) -> Result<Made, Refusal> {
        let is_match = topic.is_match();
        let window = self.window;
        for _ in 0..ATTEMPTS {
            let channel = self.hub.channel(topic.clone()).await?;
            if is_match && n_series + channel.n_inputs() > SERIES_PER_CONNECTION_MAX {
                let limit = SERIES_PER_CONNECTION_MAX;
                return Err(Refusal::TooMany { what: "series", limit });
            }
            let mut first = vec![(Op::Ok, frame::ok(id, channel.id, false))];
            if let Some(Resume { epoch, seq }) = &resume {
                let same_epoch = epoch == self.hub.epoch();
                let resumed = vec![(Op::Ok, frame::ok(id, channel.id, true))];
                if same_epoch && channel.attach(self.connection, &self.outbox, resumed, *seq) {
                    return Ok(Made { channel, window, is_match });
                }
                let why = if same_epoch { GapReason::Expired } else { GapReason::Restart };
                let from = same_epoch.then(|| seq.saturating_add(1));
                first.push((Op::Gap, frame::gap(channel.id, from, channel.seq(), why)));
            }
            match self.give_snapshot(&channel, first, 0).await {
                Ok(()) => return Ok(Made { channel, window, is_match }),
                // Retired meanwhile, or updates outran the snapshot.
                Err(Refusal::Busy) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::Busy)
    }

    async fn give_snapshot(
        &self,
        channel: &Channel,
        mut first: Vec<(Op, Bytes)>,
        since: u64,
    ) -> Result<(), Refusal> {
        let ready = self.hub.load(channel, self.window, since).await?;
        first.push((Op::Snap, ready.text.clone()));
        if channel.attach(self.connection, &self.outbox, first, ready.seq) {
            Ok(())
        } else {
            Err(Refusal::Busy)
        }
    }
}
