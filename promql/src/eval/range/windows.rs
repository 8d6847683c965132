//! Range vectors: where their samples come from, and windows sliding over them.

use std::sync::Arc;

use crate::ast::{Expr, Extension, RangeSelector, Subquery};
use crate::eval::build;
use crate::eval::column::{Cell, Column};
use crate::eval::context::Context;
use crate::eval::error::EvalError;
use crate::eval::grid::Grid;
use crate::eval::operator::{Buffered, Series, Vector};
use crate::model::histogram::CounterReset;
use crate::model::{Histogram, HistogramSample, Samples};
use crate::plan::{self, Moment};
use crate::source::{Need, Select, SeriesSet};

/// The samples of one series that a function sees at one evaluation time. The window is open on the left: samples
/// at `start` are outside. (With `anchored` and `smoothed` there are also some from beyond its ends.)
#[derive(Clone, Copy, Debug)]
pub(in crate::eval) struct Window<'a> {
    pub(in crate::eval) timestamps: &'a [i64],
    pub(in crate::eval) values: &'a [f64],
    /// Empty where none is known.
    pub(in crate::eval) start_timestamps: &'a [i64],
    pub(in crate::eval) histograms: &'a [HistogramSample],
    pub(in crate::eval) start: i64,
    pub(in crate::eval) end: i64,
    /// When the expression is evaluated, which `offset` and `@` may have set apart from `end`.
    pub(in crate::eval) evaluated: i64,
}

impl Window<'_> {
    pub(in crate::eval) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }

    pub(in crate::eval) fn has_both(&self) -> bool {
        !self.values.is_empty() && !self.histograms.is_empty()
    }

    /// Its length in seconds: what rates are divided by.
    pub(in crate::eval) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1_000.0
    }
}

/// Where ranges come from.
enum Input<'a> {
    Selector { set: Box<dyn SeriesSet + 'a>, notes_resets: bool },
    Subquery { vector: Vector<'a>, grid: Grid, column: Column },
}

/// A range vector: series and, one after the other, their samples.
pub(in crate::eval) struct Ranges<'a> {
    input: Input<'a>,
    pub(in crate::eval) series: Vec<Series>,
    next: usize,
    pub(in crate::eval) samples: Samples,
    pub(in crate::eval) moment: Moment,
    pub(in crate::eval) range_ms: i64,
    pub(in crate::eval) extension: Option<Extension>,
}

impl<'a> Ranges<'a> {
    pub(in crate::eval) fn open(
        ctx: &Context<'a>,
        expr: &Expr,
        grid: &Grid,
        need: Need,
    ) -> Result<Self, EvalError> {
        match expr.inside_parens() {
            Expr::Range(range) => Self::of_selector(ctx, range, grid, need),
            Expr::Subquery(subquery) => Self::of_subquery(ctx, subquery, grid),
            _ => Err(EvalError::execution("expression is not a range vector")),
        }
    }

    fn of_selector(
        ctx: &Context<'a>,
        range: &RangeSelector,
        grid: &Grid,
        need: Need,
    ) -> Result<Self, EvalError> {
        let selector = &range.selector;
        let moment = Moment::new(&selector.shift, &ctx.times)?;
        let range_ms = plan::range_ms(&range.range, &ctx.times)?;
        let (behind_ms, ahead_ms) = plan::reach_ms(selector.extension, ctx.options.lookback_ms);
        let window_ms = range_ms.saturating_add(behind_ms);
        let set = ctx.select(&Select {
            matchers: &selector.matchers,
            after: moment.time(grid.start).saturating_sub(window_ms),
            until: moment.time(grid.last()).saturating_add(ahead_ms),
            step_ms: grid.step,
            window_ms: window_ms.saturating_add(ahead_ms),
            need,
        })?;
        let series = set.labels().iter().cloned().map(Series::new).collect();
        let extension = selector.extension;
        Ok(Self {
            input: Input::Selector { set, notes_resets: ctx.notes_resets() },
            series,
            next: 0,
            samples: Samples::default(),
            moment,
            range_ms,
            extension,
        })
    }

    fn of_subquery(
        ctx: &Context<'a>,
        subquery: &Subquery,
        outer: &Grid,
    ) -> Result<Self, EvalError> {
        let moment = Moment::new(&subquery.shift, &ctx.times)?;
        let range_ms = plan::range_ms(&subquery.range, &ctx.times)?;
        let step_ms = match &subquery.step {
            Some(step) => plan::range_ms(step, &ctx.times)?,
            None => ctx.options.subquery_step_ms,
        };
        let grid = build::checked_grid(ctx, moment.subquery_grid(outer, range_ms, step_ms))?;
        if grid.start > moment.time(outer.last()) {
            // No multiple of the step lies in the range: nothing is evaluated, so nothing can fail either.
            let vector: Vector<'_> = Box::new(Buffered::new(Vec::new()));
            return Ok(Self {
                input: Input::Subquery { vector, grid, column: Column::default() },
                series: Vec::new(),
                next: 0,
                samples: Samples::default(),
                moment,
                range_ms,
                extension: None,
            });
        }
        // One series of it is in memory at a time, as a column and as samples.
        ctx.hold(grid.len.saturating_mul(BYTES_PER_STEP))?;
        let vector = ctx.noting_resets(false, || build::vector(ctx, &subquery.expr, &grid))?;
        let series = vector.series().to_vec();
        let input = Input::Subquery { vector, grid, column: Column::default() };
        Ok(Self {
            input,
            series,
            next: 0,
            samples: Samples::default(),
            moment,
            range_ms,
            extension: None,
        })
    }

    /// All of it will be read.
    pub(in crate::eval) fn start(&mut self) {
        match &mut self.input {
            Input::Selector { set, .. } => set.start(),
            Input::Subquery { vector, .. } => vector.start(),
        }
    }

    /// Reads the samples of the next series, without stale markers.
    pub(in crate::eval) fn read_next(&mut self, ctx: &Context<'_>) -> Result<(), EvalError> {
        match &mut self.input {
            Input::Selector { set, notes_resets } => {
                ctx.check_interrupt()?;
                set.read(self.next, &mut self.samples)?;
                ctx.count_samples(self.samples.len())?;
                self.samples.remove_stale();
                if *notes_resets {
                    self.samples.note_resets();
                }
            }
            Input::Subquery { vector, grid, column } => {
                vector.next(ctx, column)?;
                self.samples.clear();
                for place in 0..grid.len {
                    match column.get(place) {
                        Some(Cell::Float(value)) => self.samples.push(grid.time(place), value),
                        Some(Cell::Histogram(histogram)) => {
                            let value = without_hint(histogram);
                            let sample =
                                HistogramSample { ts: grid.time(place), value, start_ts: 0 };
                            self.samples.histograms.push(sample);
                        }
                        None => {}
                    }
                }
            }
        }
        self.next += 1;
        if !ctx.options.start_timestamps {
            self.samples.start_timestamps.clear();
        }
        Ok(())
    }

    /// Calls `each` with the window at every evaluation time, also with empty ones.
    pub(in crate::eval) fn windows(
        &self,
        ctx: &Context<'_>,
        grid: &Grid,
        mut each: impl FnMut(usize, &Window<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let samples = &self.samples;
        let (behind_ms, ahead_ms) = plan::reach_ms(self.extension, ctx.options.lookback_ms);
        let (mut from, mut to) = (0, 0);
        let (mut histograms_from, mut histograms_to) = (0, 0);
        let mut n_seen = 0;
        for place in 0..grid.len {
            let evaluated = grid.time(place);
            let end = self.moment.time(evaluated);
            let start = end.saturating_sub(self.range_ms);
            let (after, until) = (start.saturating_sub(behind_ms), end.saturating_add(ahead_ms));
            while samples.timestamps.get(to).is_some_and(|ts| *ts <= until) {
                to += 1;
            }
            while from < to && samples.timestamps[from] <= after {
                from += 1;
            }
            while samples.histograms.get(histograms_to).is_some_and(|sample| sample.ts <= until) {
                histograms_to += 1;
            }
            while histograms_from < histograms_to && samples.histograms[histograms_from].ts <= after
            {
                histograms_from += 1;
            }
            let window = Window {
                timestamps: &samples.timestamps[from..to],
                values: &samples.values[from..to],
                start_timestamps: samples.start_timestamps.get(from..to).unwrap_or_default(),
                histograms: &samples.histograms[histograms_from..histograms_to],
                start,
                end,
                evaluated,
            };
            // Long windows that overlap are much work, even for one series.
            n_seen += 1 + (to - from) + (histograms_to - histograms_from);
            if n_seen > SAMPLES_PER_CHECK {
                ctx.check_interrupt()?;
                n_seen = 0;
            }
            each(place, &window)?;
        }
        Ok(())
    }
}

/// A value in a column, and a time and a value as a sample.
const BYTES_PER_STEP: usize = 24;

/// Samples that functions look at between two questions whether to go on: about a millisecond.
const SAMPLES_PER_CHECK: usize = 1 << 18;

/// A subquery leaves samples out and repeats others, so that what a histogram says of the one before it no longer
/// holds.
fn without_hint(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    match histogram.counter_reset {
        CounterReset::Gauge | CounterReset::Unknown => Arc::clone(histogram),
        CounterReset::Reset | CounterReset::NotReset => Arc::new(Histogram {
            counter_reset: CounterReset::Unknown,
            ..Histogram::clone(histogram)
        }),
    }
}
