//! What waits for one client: replies in order, and for each channel the updates it has not taken yet.
//!
//! Two lanes. Replies are never dropped; too many of them end the connection. Updates of a channel are merged when
//! the client lags (the newest value of each series wins), so that a stalled client costs memory in proportion to
//! what it subscribed to, whatever is ingested meanwhile, and gets the present first when it wakes.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    Metrics,
    frame::{self, Frame, Point},
    protocol::{Close, Op, REPLIES_MAX},
};

/// Things that may wait in one channel before it starts afresh: a flush brings at most 32 updates, and merging stops
/// where series come and go.
const ITEMS_MAX: usize = 64;

/// The queue between the hub and the one task that writes to a client.
#[derive(Debug)]
pub(super) struct Outbox {
    lanes: Mutex<Lanes>,
    wake: Notify,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Lanes {
    replies: VecDeque<(Op, Bytes)>,
    channels: HashMap<u64, Lane>,
    /// Channels with something to send, in order of their turn.
    turns: VecDeque<u64>,
    close: Option<Close>,
    /// Channels that lost updates and need a snapshot.
    lost: Vec<u64>,
}

#[derive(Debug, Default)]
struct Lane {
    items: VecDeque<Item>,
    /// Replayed items may be many; they are bounded by the channel's ring and do not count.
    replayed: usize,
    width: u32,
    least_interval: Duration,
    next_turn: Option<Instant>,
    lost: bool,
}

#[derive(Debug)]
enum Item {
    /// Goes out as it is.
    Fixed(Op, Bytes),
    /// An update that nobody else merged into yet.
    Shared(Arc<Frame>),
    Merged {
        seq: u64,
        count: u64,
        points: BTreeMap<u32, Point>,
    },
}

/// What the writing task should do next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Send(Op, Bytes),
    /// Nothing is due before this time, unless [`Outbox::woken`] says otherwise.
    Wait(Option<Instant>),
    Close(Close),
}

impl Outbox {
    pub(super) fn new(metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { lanes: Mutex::default(), wake: Notify::new(), metrics })
    }

    /// Queues an answer. A client that does not take them is closed.
    pub(super) fn reply(&self, op: Op, text: Bytes) {
        let mut lanes = self.lanes();
        if lanes.replies.len() >= REPLIES_MAX {
            lanes.close = Some(Close::Slow);
        } else {
            self.metrics.send_queue_bytes.inc_by(text.len().cast_signed() as i64);
            lanes.replies.push_back((op, text));
        }
        drop(lanes);
        self.wake.notify_one();
    }

    /// Ends the connection once the writer gets to it; waiting messages are dropped.
    pub(super) fn close(&self, close: Close) {
        self.lanes().close.get_or_insert(close);
        self.wake.notify_one();
    }

    /// Starts (or starts afresh) a channel: `fixed` first, then `replay` unmerged, then what [`Outbox::push`] brings.
    pub(super) fn open(
        &self,
        ch: u64,
        fixed: Vec<(Op, Bytes)>,
        replay: impl IntoIterator<Item = Arc<Frame>>,
        width: u32,
    ) {
        let mut lanes = self.lanes();
        let lane = lanes.channels.entry(ch).or_default();
        self.forget(lane);
        lane.lost = false;
        lane.width = width;
        lane.next_turn = None;
        for (op, text) in fixed {
            self.put(lane, Item::Fixed(op, text));
        }
        for frame in replay {
            let op = if frame.points.is_some() { Op::Data } else { Op::Series };
            self.put(lane, Item::Fixed(op, frame.text.clone()));
        }
        lane.replayed = lane.items.len();
        lanes.give_turn(ch);
        drop(lanes);
        self.wake.notify_one();
    }

    /// Drops a channel and what waits in it.
    pub(super) fn shut(&self, ch: u64) {
        let mut lanes = self.lanes();
        if let Some(mut lane) = lanes.channels.remove(&ch) {
            self.forget(&mut lane);
        }
        lanes.turns.retain(|turn| *turn != ch);
    }

    /// Sends updates of a channel at most this often; zero is at once.
    pub(super) fn limit_rate(&self, ch: u64, least_interval: Duration) {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.channels.get_mut(&ch) {
            lane.least_interval = least_interval;
            if least_interval.is_zero() {
                lane.next_turn = None;
            }
        }
        drop(lanes);
        self.wake.notify_one();
    }

    /// Queues the updates of one flush. What an earlier flush left waiting is merged with all of them; updates of one
    /// flush are not merged with each other, so that a client that keeps up gets every sample.
    /// `width` as in [`frame::data`].
    pub(super) fn push(&self, ch: u64, frames: &[Arc<Frame>], width: u32) {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.channels.get_mut(&ch) else { return };
        if lane.lost {
            return;
        }
        lane.width = width;
        let mut lags = lane.items.back().is_some_and(Item::takes_more);
        for frame in frames {
            let last = lane.items.back_mut().filter(|last| lags && last.takes_more());
            if let (Some(points), Some(last)) = (&frame.points, last) {
                let before = last.bytes();
                last.merge(frame.seq, points);
                let grown = last.bytes() - before;
                self.metrics.send_queue_bytes.inc_by(grown);
                self.metrics.conflated.inc();
            } else {
                // Series came or went: merging starts anew behind it, as one update.
                self.put(lane, Item::Shared(Arc::clone(frame)));
                lags &= frame.points.is_none();
            }
        }
        if lane.items.len() - lane.replayed > ITEMS_MAX {
            self.lose(&mut lanes, ch);
        }
        lanes.give_turn(ch);
        drop(lanes);
        self.wake.notify_one();
    }

    /// Drops what waits in a channel: a snapshot must follow.
    pub(super) fn lose_updates(&self, ch: u64) {
        self.lose(&mut self.lanes(), ch);
        self.wake.notify_one();
    }

    /// Channels whose updates were lost since the last call.
    pub(super) fn take_lost(&self) -> Vec<u64> {
        std::mem::take(&mut self.lanes().lost)
    }

    /// Completes when there may be something new to do. Cancel-safe; a call in between is not missed.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes the next message. Replies go first, then the channels in turn.
    pub(super) fn next(&self, now: Instant) -> Next {
        let mut lanes = self.lanes();
        if let Some(close) = lanes.close {
            return Next::Close(close);
        }
        if let Some((op, text)) = lanes.replies.pop_front() {
            self.metrics.send_queue_bytes.dec_by(text.len().cast_signed() as i64);
            return Next::Send(op, text);
        }
        let mut soonest: Option<Instant> = None;
        for _ in 0..lanes.turns.len() {
            let Some(ch) = lanes.turns.pop_front() else { break };
            let Some(lane) = lanes.channels.get_mut(&ch) else { continue };
            let first_is_fixed = matches!(lane.items.front(), Some(Item::Fixed(..)));
            if let Some(due) = lane.next_turn.filter(|due| *due > now && !first_is_fixed) {
                soonest = Some(soonest.map_or(due, |other| other.min(due)));
                lanes.turns.push_back(ch);
                continue;
            }
            let Some(item) = lane.items.pop_front() else { continue };
            self.metrics.send_queue_bytes.dec_by(item.bytes());
            if !matches!(item, Item::Fixed(..)) && !lane.least_interval.is_zero() {
                lane.next_turn = Some(now + lane.least_interval);
            }
            lane.replayed = lane.replayed.saturating_sub(1);
            let width = lane.width;
            if !lane.items.is_empty() {
                lanes.turns.push_back(ch);
            }
            let (op, text) = item.encode(ch, width);
            return Next::Send(op, text);
        }
        Next::Wait(soonest)
    }

    fn lose(&self, lanes: &mut Lanes, ch: u64) {
        let Some(lane) = lanes.channels.get_mut(&ch) else { return };
        self.forget(lane);
        if !lane.lost {
            lane.lost = true;
            lanes.lost.push(ch);
        }
    }

    fn put(&self, lane: &mut Lane, item: Item) {
        self.metrics.send_queue_bytes.inc_by(item.bytes());
        lane.items.push_back(item);
    }

    fn forget(&self, lane: &mut Lane) {
        let bytes: i64 = lane.items.drain(..).map(|item| item.bytes()).sum();
        self.metrics.send_queue_bytes.dec_by(bytes);
        lane.replayed = 0;
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("no holder panics")
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let lanes = std::mem::take(&mut *self.lanes());
        let replies: usize = lanes.replies.iter().map(|(_, text)| text.len()).sum();
        self.metrics.send_queue_bytes.dec_by(replies.cast_signed() as i64);
        for (_, mut lane) in lanes.channels {
            self.forget(&mut lane);
        }
    }
}

impl Lanes {
    fn give_turn(&mut self, ch: u64) {
        if !self.turns.contains(&ch) {
            self.turns.push_back(ch);
        }
    }
}

impl Item {
    /// Whether a later update may be merged into it.
    fn takes_more(&self) -> bool {
        match self {
            Self::Fixed(..) => false,
            Self::Shared(frame) => frame.points.is_some(),
            Self::Merged { .. } => true,
        }
    }

    /// What it weighs in the metric of queued bytes.
    fn bytes(&self) -> i64 {
        let bytes = match self {
            Self::Fixed(_, text) => text.len(),
            Self::Shared(frame) => frame.text.len(),
            Self::Merged { points, .. } => points.len() * size_of::<(u32, Point)>(),
        };
        bytes.cast_signed() as i64
    }

    /// Adds a later update: the newest value of each index wins.
    fn merge(&mut self, seq: u64, later: &[Point]) {
        if let Self::Shared(frame) = self {
            let earlier = frame.points.iter().flatten().map(|point| (point.i, *point)).collect();
            *self = Self::Merged { seq: frame.seq, count: 1, points: earlier };
        }
        let Self::Merged { seq: last_seq, count, points } = self else { return };
        *last_seq = seq;
        *count += 1;
        for point in later {
            let newest = points.entry(point.i).or_insert(*point);
            if newest.t <= point.t {
                *newest = *point;
            }
        }
    }

    fn encode(self, ch: u64, width: u32) -> (Op, Bytes) {
        match self {
            Self::Fixed(op, text) => (op, text),
            Self::Shared(frame) => {
                let op = if frame.points.is_some() { Op::Data } else { Op::Series };
                (op, frame.text.clone())
            }
            Self::Merged { seq, count, points } => {
                let points: Vec<_> = points.into_values().collect();
                (Op::Data, frame::data(ch, seq, &points, width, count))
            }
        }
    }
}
