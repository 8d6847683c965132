//! One thing that is subscribed to, shared by everybody who subscribes to it.
//!
//! A channel numbers what happens in it. Newcomers get a snapshot that says up to which number it tells, then the
//! updates after that number from the ring, then what comes: no hole and no order to get wrong. The same ring serves
//! clients that were cut off for less than a minute.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    engine::{Engine, Window},
    frame::{Column, Frame, Snapshot},
    history,
    outbox::Outbox,
    protocol::{Op, Refusal},
    source::{Committed, Source},
};
use crate::model::SeriesId;

/// How long updates are kept for clients that come back, and an unwatched channel for the next watcher.
const RING_KEEPS: Duration = Duration::from_secs(60);
/// Updates and bytes a ring may hold, however fast they come.
const RING_FRAMES_MAX: usize = 1_024;
const RING_BYTES_MAX: usize = 2 << 20;
/// How long a snapshot serves newcomers; younger than the ring, so that they miss nothing.
const SNAPSHOT_SERVES: Duration = Duration::from_secs(10);
/// Windows (range, step, points) of one channel whose snapshots are kept.
const WINDOWS_MAX: usize = 8;
/// Indices a channel hands out before it starts afresh: series that come and go must not grow it for ever.
const WIDTH_MAX: u32 = 200_000;
/// The most time a snapshot may take to read.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Channel {
    pub(super) id: u64,
    make_engine: Box<dyn Fn() -> Box<dyn Engine> + Send + Sync>,
    state: Mutex<State>,
    ready: Mutex<HashMap<Window, Arc<Ready>>>,
    /// Held while a snapshot is read: whoever waits finds it ready.
    loading: tokio::sync::Mutex<()>,
}

struct State {
    engine: Box<dyn Engine>,
    /// Number of the last thing that happened.
    seq: u64,
    ring: VecDeque<Arc<Frame>>,
    ring_bytes: usize,
    /// Number of the last thing that is not in the ring any more.
    forgotten: u64,
    subscribers: Vec<Subscriber>,
    idle_since: Instant,
    /// Of the series, when the inputs were last resolved.
    generation: u64,
    retired: bool,
}

struct Subscriber {
    connection: u64,
    outbox: Arc<Outbox>,
}

/// A snapshot as it is sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) seq: u64,
    pub(super) text: Bytes,
    made: Instant,
}

impl Channel {
    /// Whether anybody takes its updates now.
    pub(super) fn has_subscribers(&self) -> bool {
        !self.state().subscribers.is_empty()
    }

    /// Selects its series: this computes, it belongs on a blocking thread.
    pub(super) fn open(
        id: u64,
        first_seq: u64,
        make_engine: Box<dyn Fn() -> Box<dyn Engine> + Send + Sync>,
        source: &dyn Source,
        now: Instant,
    ) -> Result<Self, Refusal> {
        let mut engine = make_engine();
        let generation = source.series_generation();
        engine.resolve(source)?;
        engine.drain();
        let state = State {
            engine,
            seq: first_seq,
            ring: VecDeque::new(),
            ring_bytes: 0,
            forgotten: first_seq,
            subscribers: Vec::new(),
            idle_since: now,
            generation,
            retired: false,
        };
        let ready = Mutex::default();
        Ok(Self {
            id,
            make_engine,
            state: Mutex::new(state),
            ready,
            loading: tokio::sync::Mutex::default(),
        })
    }

    /// How many series it reads.
    pub(super) fn n_inputs(&self) -> usize {
        self.state().engine.inputs().len()
    }

    /// Notices new series and tells subscribers what was committed.
    pub(super) fn feed(
        &self,
        source: &dyn Source,
        generation: u64,
        batches: &[Arc<Committed>],
        now: Instant,
    ) {
        let mut state = self.state();
        let state = &mut *state;
        let mut frames = Vec::new();
        if generation != state.generation {
            state.generation = generation;
            // Too wide by now: it stays with the series it has.
            if let Ok(changes) = state.engine.resolve(source)
                && !changes.is_empty()
            {
                state.seq += 1;
                let (added, removed) = (&changes.added, &changes.removed);
                frames.push(Frame::series(self.id, state.seq, now, added, removed));
            }
        }
        for batch in batches {
            state.accept(batch);
        }
        for points in state.engine.drain() {
            state.seq += 1;
            frames.push(Frame::data(self.id, state.seq, now, points, state.engine.width()));
        }
        if !frames.is_empty() {
            state.tell(self.id, frames);
        }
        state.trim(now);
        if state.engine.width() > WIDTH_MAX {
            self.restart(state, source);
        }
    }

    /// Forgets all updates and gives every subscriber a fresh snapshot.
    pub(super) fn start_afresh(&self, source: &dyn Source) {
        self.restart(&mut self.state(), source);
    }

    fn restart(&self, state: &mut State, source: &dyn Source) {
        let mut engine = (self.make_engine)();
        state.generation = source.series_generation();
        if engine.resolve(source).is_ok() {
            engine.drain();
            state.engine = engine;
        }
        state.seq += 1;
        state.forgotten = state.seq;
        state.ring.clear();
        state.ring_bytes = 0;
        self.ready.lock().expect("no holder panics").clear();
        for subscriber in &state.subscribers {
            subscriber.outbox.lose_updates(self.id);
        }
    }

    /// Everything a newcomer needs, made once for all who come within ten seconds.
    ///
    /// It tells of `since` at least: whoever could not follow the updates before it should not get them again.
    pub(super) async fn snapshot(
        &self,
        source: &dyn Source,
        window: Window,
        since: u64,
        now_ms: i64,
    ) -> Result<Arc<Ready>, Refusal> {
        if let Some(ready) = self.ready(window, since) {
            return Ok(ready);
        }
        let _loading = self.loading.lock().await;
        if let Some(ready) = self.ready(window, since) {
            return Ok(ready);
        }
        let ready = Arc::new(self.load(source, window, now_ms).await?);
        let mut kept = self.ready.lock().expect("no holder panics");
        kept.retain(|_, other| other.made.elapsed() < SNAPSHOT_SERVES);
        if kept.len() < WINDOWS_MAX || kept.contains_key(&window) {
            kept.insert(window, Arc::clone(&ready));
        }
        Ok(ready)
    }

    fn ready(&self, window: Window, since: u64) -> Option<Arc<Ready>> {
        let ready = Arc::clone(self.ready.lock().expect("no holder panics").get(&window)?);
        let is_young = ready.seq >= since && ready.made.elapsed() < SNAPSHOT_SERVES;
        (is_young && self.state().covers(ready.seq)).then_some(ready)
    }

    async fn load(
        &self,
        source: &dyn Source,
        window: Window,
        now_ms: i64,
    ) -> Result<Ready, Refusal> {
        let (loader, entries, fields, more, seq) = {
            let state = self.state();
            let engine = &state.engine;
            (engine.loader(window), engine.entries(), engine.fields(), engine.more(), state.seq)
        };
        let made = Instant::now();
        let reading = history::load(source, loader, window, now_ms);
        let loaded = match tokio::time::timeout(LOAD_TIMEOUT, reading).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(err)) => {
                tracing::warn!(channel = self.id, "read a live snapshot: {err:#}");
                return Err(Refusal::Unavailable);
            }
            Err(_) => {
                tracing::warn!(
                    channel = self.id,
                    "read a live snapshot: no answer in {LOAD_TIMEOUT:?}"
                );
                return Err(Refusal::Unavailable);
            }
        };
        let current = {
            let mut state = self.state();
            for (id, samples) in &loaded.tails {
                state.engine.prime(*id, samples);
            }
            state.engine.current()
        };
        let mut columns: HashMap<u32, Column> = loaded.columns.into_iter().collect();
        for point in current {
            columns.entry(point.i).or_insert_with(|| Column { times: None, values: vec![point.v] });
        }
        let values_of_entry = fields.len().max(1) as u32;
        let columns: Vec<_> = entries
            .iter()
            .flat_map(|entry| entry.i..entry.i + values_of_entry)
            .map(|i| columns.remove(&i).unwrap_or_default())
            .collect();
        let snapshot = Snapshot {
            ch: self.id,
            seq,
            t0: loaded.grid.t0,
            step_ms: loaded.grid.step_ms,
            fields,
            entries: &entries,
            columns: &columns,
            more,
        };
        Ok(Ready { seq, text: snapshot.encode(), made })
    }

    /// Gives a connection `first`, then every update after `seq`, then what comes.
    ///
    /// `false`, and nothing is sent, when those updates are not kept any more.
    pub(super) fn attach(
        &self,
        connection: u64,
        outbox: &Arc<Outbox>,
        first: Vec<(Op, Bytes)>,
        seq: u64,
    ) -> bool {
        let mut state = self.state();
        if state.retired || !state.covers(seq) {
            return false;
        }
        let missed: Vec<_> = state.ring.iter().filter(|frame| frame.seq > seq).cloned().collect();
        outbox.open(self.id, first, missed, state.engine.width());
        if !state.subscribers.iter().any(|subscriber| subscriber.connection == connection) {
            state.subscribers.push(Subscriber { connection, outbox: Arc::clone(outbox) });
        }
        true
    }

    pub(super) fn detach(&self, connection: u64, now: Instant) {
        let mut state = self.state();
        state.subscribers.retain(|subscriber| subscriber.connection != connection);
        if state.subscribers.is_empty() {
            state.idle_since = now;
        }
    }

    /// Number of the last thing that happened.
    pub(super) fn seq(&self) -> u64 {
        self.state().seq
    }

    /// Ends the channel if nobody has watched it for `spare`; nobody can attach to it any more.
    pub(super) fn retire_if_idle(&self, now: Instant, spare: Duration) -> bool {
        let mut state = self.state();
        let idle = state.subscribers.is_empty()
            && now.saturating_duration_since(state.idle_since) >= spare;
        state.retired |= idle;
        idle
    }

    /// How long an unwatched channel is kept.
    pub(super) const LINGERS: Duration = RING_KEEPS;

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl State {
    fn covers(&self, seq: u64) -> bool {
        (self.forgotten..=self.seq).contains(&seq)
    }

    fn accept(&mut self, batch: &Committed) {
        // Both are sorted by series: walk the shorter, leap through the longer.
        let mut input = 0;
        let mut at = 0;
        let n_samples = batch.series.len().min(batch.timestamps.len()).min(batch.values.len());
        while at < n_samples {
            let inputs = self.engine.inputs();
            let Some(wanted) = inputs.get(input).copied() else { break };
            let series = batch.series[at];
            if series < wanted {
                at += leap(&batch.series[at..n_samples], wanted);
            } else if series > wanted {
                input += leap(&inputs[input..], series);
            } else {
                self.engine.accept(input, (batch.timestamps[at], batch.values[at]));
                at += 1;
            }
        }
    }

    fn tell(&mut self, ch: u64, frames: Vec<Arc<Frame>>) {
        let width = self.engine.width();
        for subscriber in &self.subscribers {
            subscriber.outbox.push(ch, &frames, width);
        }
        self.ring_bytes += frames.iter().map(|frame| frame.text.len()).sum::<usize>();
        self.ring.extend(frames);
    }

    fn trim(&mut self, now: Instant) {
        while let Some(oldest) = self.ring.front() {
            let fits = self.ring.len() <= RING_FRAMES_MAX && self.ring_bytes <= RING_BYTES_MAX;
            if fits && now.saturating_duration_since(oldest.made) < RING_KEEPS {
                break;
            }
            self.forgotten = oldest.seq;
            self.ring_bytes -= oldest.text.len();
            self.ring.pop_front();
        }
    }
}

/// How many of `sorted` come before `wanted`, found in time that grows with the logarithm of the answer.
fn leap(sorted: &[SeriesId], wanted: SeriesId) -> usize {
    let mut bound = 1;
    while bound < sorted.len() && sorted[bound] < wanted {
        bound *= 2;
    }
    let from = bound / 2;
    let to = (bound + 1).min(sorted.len());
    from + sorted[from..to].partition_point(|id| *id < wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaps_land_where_a_walk_does() {
        let ids: Vec<_> = [1, 2, 2, 5, 9, 9, 9, 12, 40].map(SeriesId).to_vec();
        for from in 0..ids.len() {
            for wanted in 0..45 {
                let rest = &ids[from..];
                let walked = rest.iter().take_while(|id| id.0 < wanted).count();
                assert_eq!(leap(rest, SeriesId(wanted)), walked, "{from} {wanted}");
            }
        }
        assert_eq!(leap(&[], SeriesId(1)), 0);
    }
}
