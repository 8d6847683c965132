//! Where series come from: the only thing the engine knows of storage.

pub mod memory;

use std::fmt;

use crate::model::{Labels, Matcher, Samples};

/// Series and samples. Labels are asked for first and samples later, series by series, so that a query knows its
/// result's shape and cost before it reads anything big.
pub trait Source {
    /// Finds the series that satisfy all matchers and may have samples in the time range.
    fn select<'s>(&'s self, request: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError>;
}

/// The series that one selector has found.
pub trait SeriesSet {
    /// The label sets, in their order, each once.
    fn labels(&self) -> &[Labels];

    /// Leaves only the series at these places, which ascend, as if the others had not been found. To be called before
    /// anything is read. `false`: that cannot be done, and nothing has changed.
    fn keep_only(&mut self, _places: &[usize]) -> bool {
        false
    }

    /// All series will be read, and soon: what can be fetched ahead may be. Only a hint.
    fn start(&mut self) {}

    /// Replaces `samples` with those of the series at a place in [`Self::labels`]: in order of time, each time once,
    /// at least all within the selected range (more do no harm), stale markers by their bits.
    ///
    /// Called for rising places, at most once for each, so that what comes next can be fetched ahead.
    fn read(&mut self, place: usize, samples: &mut Samples) -> Result<(), SourceError>;
}

/// What a selector needs. Times are in milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    pub matchers: &'a [Matcher],
    /// Samples at or before this time are not needed.
    pub after: i64,
    /// Samples behind this time are not needed.
    pub until: i64,
    /// Distance between evaluation times; with `window_ms` below it, the gaps between windows are not needed either.
    pub step_ms: i64,
    /// How far each evaluation looks back.
    pub window_ms: i64,
    pub need: Need,
}

/// Which part of the samples a query looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Values,
    /// Only times and whether a sample is a stale marker: values may be anything else.
    Presence,
}

/// Storage failed.
#[derive(Debug)]
pub struct SourceError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
