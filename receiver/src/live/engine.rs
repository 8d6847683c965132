//! What a channel computes from samples: the interface of [`super::raw`], [`super::hosts`] and [`super::monitors`].

use std::sync::Arc;

use super::{
    derive::Grid,
    frame::{Column, Entry, Field, Point},
    protocol::Refusal,
    source::{Sample, Source},
};
use crate::model::SeriesId;

/// The present of one channel.
pub(super) trait Engine: Send {
    /// Brings the inputs in line with the series that exist now.
    ///
    /// A selection that grew too wide after it was accepted keeps what it has.
    fn resolve(&mut self, source: &dyn Source) -> Result<Changes, Refusal>;

    /// The series it wants to hear of, ascending.
    fn inputs(&self) -> &[SeriesId];

    /// A sample of `inputs()[input]`.
    fn accept(&mut self, input: usize, sample: Sample);

    /// What changed since the last call: each inner list becomes one update and is in order of index.
    fn drain(&mut self) -> Vec<Vec<Point>>;

    /// The columns of each entry; empty when an entry is one value.
    fn fields(&self) -> &'static [Field] {
        &[]
    }

    fn entries(&self) -> Vec<Arc<Entry>>;

    /// How many indices were handed out so far.
    fn width(&self) -> u32;

    /// Entries left out because a view has a bound.
    fn more(&self) -> usize {
        0
    }

    /// What to read for a snapshot.
    fn loader(&self, window: Window) -> Box<dyn Loader>;

    /// What the store knew about an input: its last samples, in order of time.
    fn prime(&mut self, id: SeriesId, samples: &[Sample]);

    /// The present values, for indices without history.
    fn current(&self) -> Vec<Point>;
}

/// Entries that came and went. An entry that is added again with the same index has new labels.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) added: Vec<Arc<Entry>>,
    pub(super) removed: Vec<u32>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Which past a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub(super) range_ms: i64,
    /// The least distance of points.
    pub(super) step_ms: i64,
    pub(super) points: u32,
}

/// How much of a series a loader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The whole window.
    Window,
    /// This long before now.
    Recent { ms: i64 },
}

/// Turns samples of the past into columns, one series at a time so that few are in memory together.
pub(super) trait Loader: Send {
    /// Called once: what to read.
    fn wants(&self) -> Vec<(SeriesId, Reach)>;

    /// Called once before the first sample.
    fn begin(&mut self, grid: Grid);

    /// The samples of `wants()[want]`, in order of time.
    fn take(&mut self, want: usize, samples: &[Sample]);

    /// The columns it has, by index.
    fn finish(self: Box<Self>) -> Vec<(u32, Column)>;
}
