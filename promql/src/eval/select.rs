//! Instant selectors: at each time the newest sample that is not too old.

use std::sync::Arc;

use super::column::Column;
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Operator, Series, Vector};
use super::range::smoothed;
use crate::ast::{Extension, VectorSelector};
use crate::model::{Matcher, Samples, is_stale};
use crate::plan::Moment;
use crate::source::{Need, Select, SeriesSet};

/// What of a sample is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Value,
    /// Its time, in seconds.
    Timestamp,
    /// When it began to count, in seconds.
    StartTimestamp,
}

pub(super) struct InstantSelect<'a> {
    set: Box<dyn SeriesSet + 'a>,
    series: Vec<Series>,
    next: usize,
    samples: Samples,
    grid: Grid,
    moment: Moment,
    lookback_ms: i64,
    wanted: Wanted,
    notes_resets: bool,
}

impl<'a> InstantSelect<'a> {
    pub(super) fn open(
        ctx: &Context<'a>,
        selector: &VectorSelector,
        grid: &Grid,
        wanted: Wanted,
        need: Need,
    ) -> Result<Vector<'a>, EvalError> {
        let moment = Moment::new(&selector.shift, &ctx.times)?;
        if selector.extension == Some(Extension::Smoothed) && wanted == Wanted::Value {
            return smoothed::vector(ctx, selector, moment, grid);
        }
        Self::open_at(ctx, &selector.matchers, moment, grid, wanted, need)
    }

    /// The same where it is known when to look.
    pub(super) fn open_at(
        ctx: &Context<'a>,
        matchers: &[Matcher],
        moment: Moment,
        grid: &Grid,
        wanted: Wanted,
        need: Need,
    ) -> Result<Vector<'a>, EvalError> {
        let lookback_ms = ctx.options.lookback_ms;
        let set = ctx.select(&Select {
            matchers,
            after: moment.time(grid.start).saturating_sub(lookback_ms),
            until: moment.time(grid.last()),
            step_ms: grid.step,
            window_ms: lookback_ms,
            need,
        })?;
        let series = set.labels().iter().cloned().map(Series::new).collect();
        let samples = Samples::default();
        Ok(Box::new(Self {
            set,
            series,
            next: 0,
            samples,
            grid: *grid,
            moment,
            lookback_ms,
            wanted,
            notes_resets: ctx.notes_resets(),
        }))
    }

    /// Where both kinds have a sample, the newer one counts.
    fn fill(&self, column: &mut Column) {
        let samples = &self.samples;
        let (mut n_floats, mut n_histograms) = (0, 0);
        for place in 0..self.grid.len {
            let time = self.moment.time(self.grid.time(place));
            while samples.timestamps.get(n_floats).is_some_and(|ts| *ts <= time) {
                n_floats += 1;
            }
            while samples.histograms.get(n_histograms).is_some_and(|sample| sample.ts <= time) {
                n_histograms += 1;
            }
            let oldest = time.saturating_sub(self.lookback_ms);
            let float = n_floats.checked_sub(1).filter(|at| samples.timestamps[*at] > oldest);
            let histogram =
                n_histograms.checked_sub(1).filter(|at| samples.histograms[*at].ts > oldest);
            match (float, histogram) {
                (Some(at), Some(other))
                    if samples.timestamps[at] < samples.histograms[other].ts =>
                {
                    self.set_histogram(column, place, other);
                }
                (Some(at), _) => {
                    let (ts, value) = (samples.timestamps[at], samples.values[at]);
                    if !is_stale(value) {
                        column.set_float(place, self.of_float(ts, value, at));
                    }
                }
                (None, Some(at)) => self.set_histogram(column, place, at),
                (None, None) => {}
            }
        }
    }

    fn of_float(&self, ts: i64, value: f64, at: usize) -> f64 {
        match self.wanted {
            Wanted::Value => value,
            Wanted::Timestamp => ts as f64 / 1_000.0,
            Wanted::StartTimestamp => {
                self.samples.start_timestamps.get(at).copied().unwrap_or(0) as f64 / 1_000.0
            }
        }
    }

    fn set_histogram(&self, column: &mut Column, place: usize, at: usize) {
        let sample = &self.samples.histograms[at];
        if sample.value.is_stale() {
            return;
        }
        match self.wanted {
            Wanted::Value => column.set_histogram(place, Arc::clone(&sample.value)),
            Wanted::Timestamp => column.set_float(place, sample.ts as f64 / 1_000.0),
            Wanted::StartTimestamp => column.set_float(place, sample.start_ts as f64 / 1_000.0),
        }
    }
}

impl Operator for InstantSelect<'_> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn start(&mut self) {
        self.set.start();
    }

    fn keep_only(&mut self, places: &[usize]) -> bool {
        let kept = self.set.keep_only(places);
        if kept {
            self.series = places.iter().map(|place| self.series[*place].clone()).collect();
        }
        kept
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        ctx.check_interrupt()?;
        self.set.read(self.next, &mut self.samples)?;
        self.next += 1;
        ctx.count_samples(self.samples.len())?;
        if self.notes_resets {
            self.samples.note_resets();
        }
        column.reset(self.grid.len);
        self.fill(column);
        Ok(())
    }
}
