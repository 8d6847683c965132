//! What is not in blocks yet, in memory: the batches themselves, as they were committed.
//!
//! A batch is small, sorted and has a directory, so it is its own memory format: appending to the head costs nothing
//! per sample, and a restart reads the bytes back without decoding them.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use super::{
    batch::Batch,
    catalogue::Position,
    codec::{CodecError, group},
    delete::{self, Deletion, Hidden, Origin},
    histogram::NativeHistogram,
};
use crate::model::{PackId, Sample, SeriesId};

/// A committed batch in memory.
#[derive(Debug)]
pub struct Run {
    pub writer: i32,
    pub seq: i64,
    pub t_min: i64,
    pub t_max: i64,
    pub batch: Batch,
}

impl Run {
    /// Which of these deletions apply to the batch.
    pub fn hidden(&self, deletions: &[Arc<Deletion>]) -> Hidden {
        Hidden::of(deletions, Origin::Written { writer: self.writer, seq: self.seq })
    }
}

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Head(Arc<RwLock<State>>);

#[derive(Debug, Default)]
struct State {
    runs: Vec<Arc<Run>>,
    /// The size of all batches held, in bytes.
    n_bytes: usize,
    /// The newest committed sample of each series, by its position in the catalogue.
    latest: Vec<Sample>,
    /// The time of the newest histogram of each series that has any.
    latest_histograms: HashMap<Position, i64>,
    /// What is to be left out, here and in what this process reads and writes.
    deletions: delete::Known,
}

/// Stands in `latest` for "nothing yet".
const NONE: Sample = Sample { ts: i64::MIN, value: 0.0 };

impl Head {
    /// Adds a committed batch, with the newest sample that it holds of each series.
    pub fn push(&self, run: Run, newest: impl Iterator<Item = (Position, Sample)>) {
        self.push_all(run, newest, std::iter::empty());
    }

    /// The same with the time of the newest histogram of each series.
    pub fn push_all(
        &self,
        run: Run,
        newest: impl Iterator<Item = (Position, Sample)>,
        newest_histograms: impl Iterator<Item = (Position, i64)>,
    ) {
        let mut state = self.0.write().expect("no holder panics");
        for (position, ts) in newest_histograms {
            let latest = state.latest_histograms.entry(position).or_insert(ts);
            *latest = ts.max(*latest);
        }
        for (position, sample) in newest {
            let at = position.0 as usize;
            if state.latest.len() <= at {
                // Grows with the catalogue, a little ahead so that one new series does not copy everything.
                let len = (at + 1).max(state.latest.len() + state.latest.len() / 8);
                state.latest.resize(len, NONE);
            }
            if sample.ts >= state.latest[at].ts {
                state.latest[at] = sample;
            }
        }
        state.n_bytes += run.batch.n_bytes();
        state.runs.push(Arc::new(run));
    }

    /// Drops what is in blocks now: the batches of `writer` up to `seq`.
    pub fn forget(&self, writer: i32, seq: i64) {
        let mut state = self.0.write().expect("no holder panics");
        state.runs.retain(|run| run.writer != writer || run.seq > seq);
        state.n_bytes = state.runs.iter().map(|run| run.batch.n_bytes()).sum();
    }

    /// The batches held now, oldest first.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        self.0.read().expect("no holder panics").runs.clone()
    }

    /// The earliest and the latest time in the batches held.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let state = self.0.read().expect("no holder panics");
        let t_min = state.runs.iter().map(|run| run.t_min).min()?;
        Some((t_min, state.runs.iter().map(|run| run.t_max).max()?))
    }

    /// The deletions that this process knows of.
    pub fn deletions(&self) -> delete::Known {
        self.0.read().expect("no holder panics").deletions.clone()
    }

    /// Takes note of deletions. Those that are done are kept as long as a batch is held that they apply to. The newest
    /// sample of a series is forgotten if it is hidden now; `positions` says where the series of a deletion stand.
    pub fn delete(&self, mut known: delete::Known, positions: impl Fn(&Deletion) -> Vec<Position>) {
        let mut state = self.0.write().expect("no holder panics");
        let before = Arc::clone(&state.deletions.pending);
        let is_in = |list: &[Arc<Deletion>], id: i64| list.iter().any(|one| one.id == id);
        let still_needed = |deletion: &&Arc<Deletion>| {
            let reaches = |run: &Arc<Run>| {
                deletion.reaches(Origin::Written { writer: run.writer, seq: run.seq })
            };
            !is_in(&known.pending, deletion.id) && state.runs.iter().any(reaches)
        };
        let needed: Vec<Arc<Deletion>> = before.iter().filter(still_needed).cloned().collect();
        let mut pending = (*known.pending).clone();
        pending.extend(needed);
        for deletion in pending.iter().filter(|new| !is_in(&before, new.id)) {
            for position in positions(deletion) {
                let is_gone = |ts: i64| (deletion.from..=deletion.to).contains(&ts);
                if let Some(latest) = state.latest.get_mut(position.0 as usize)
                    && is_gone(latest.ts)
                {
                    *latest = NONE;
                }
                if state.latest_histograms.get(&position).is_some_and(|ts| is_gone(*ts)) {
                    state.latest_histograms.remove(&position);
                }
            }
        }
        known.pending = Arc::new(pending);
        state.deletions = known;
    }

    /// The size of all batches held, in bytes.
    pub fn n_bytes(&self) -> usize {
        self.0.read().expect("no holder panics").n_bytes
    }

    pub fn latest(&self, position: Position) -> Option<Sample> {
        let state = self.0.read().expect("no holder panics");
        state.latest.get(position.0 as usize).copied().filter(|sample| sample.ts != NONE.ts)
    }

    /// Hands out the newest samples of many series under one lock.
    pub fn latest_all(&self) -> Latest<'_> {
        Latest(self.0.read().expect("no holder panics"))
    }

    /// The time of the newest committed histogram of a series; `i64::MIN` where there is none.
    pub fn latest_histogram(&self, position: Position) -> i64 {
        let state = self.0.read().expect("no holder panics");
        state.latest_histograms.get(&position).copied().unwrap_or(i64::MIN)
    }

    /// The histogram that the head holds of a series at exactly this time.
    pub fn histogram_at(
        &self,
        pack: PackId,
        series: SeriesId,
        ts: i64,
    ) -> Result<Option<Arc<NativeHistogram>>, CodecError> {
        let mut scratch = group::Scratch::default();
        let deletions = self.deletions().pending;
        // Newest first: what is sent twice was most often sent just now.
        for run in self.runs().into_iter().rev() {
            if !(run.t_min..=run.t_max).contains(&ts) {
                continue;
            }
            let mut found = None;
            run.batch.read_with_histograms(
                pack,
                &mut scratch,
                |id| id == series,
                |_, _, _| {},
                |_, sample| found = found.take().or((sample.ts == ts).then_some(sample.histogram)),
            )?;
            if found.is_some() && !run.hidden(&deletions).hides(series, ts) {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The value that the head holds of a series at exactly this time.
    pub fn at(&self, pack: PackId, series: SeriesId, ts: i64) -> Result<Option<f64>, CodecError> {
        let mut scratch = group::Scratch::default();
        let deletions = self.deletions().pending;
        for run in self.runs() {
            if !(run.t_min..=run.t_max).contains(&ts) {
                continue;
            }
            let mut found = None;
            run.batch.read(
                pack,
                &mut scratch,
                |id| id == series,
                |_, times, values| found = times.binary_search(&ts).ok().map(|at| values[at]),
            )?;
            if found.is_some() && !run.hidden(&deletions).hides(series, ts) {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// The newest samples, under a lock.
#[derive(Debug)]
pub struct Latest<'a>(std::sync::RwLockReadGuard<'a, State>);

impl Latest<'_> {
    /// The time of the newest committed sample; `i64::MIN` where there is none.
    #[inline]
    pub fn get(&self, position: Position) -> Sample {
        self.0.latest.get(position.0 as usize).copied().unwrap_or(NONE)
    }

    /// The time of the newest committed histogram; `i64::MIN` where there is none.
    pub fn histogram_ts(&self, position: Position) -> i64 {
        self.0.latest_histograms.get(&position).copied().unwrap_or(i64::MIN)
    }
}
