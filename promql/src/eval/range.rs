//! Functions over range vectors: windows over the samples of one series, slid along in one pass.

mod changes;
mod extended;
mod histogram_rate;
mod last_two;
mod over_time;
mod rate;
mod smooth;
pub(super) mod smoothed;
mod trend;

use std::sync::Arc;

use super::build;
use super::column::{Cell, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Operator, Series, Vector, merge};
use super::scalar::Scalars;
use crate::ast::{Call, Expr, Extension, RangeSelector, Span, Subquery, ValueType};
use crate::functions::Function;
use crate::model::histogram::CounterReset;
use crate::model::{Annotation, Histogram, HistogramSample, Labels, METRIC_NAME, Samples, Value};
use crate::plan::{self, Moment};
use crate::source::{Need, Select, SeriesSet};

/// The samples of one series that a function sees at one evaluation time. The window is open on the left: samples
/// at `start` are outside. (With `anchored` and `smoothed` there are also some from beyond its ends.)
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    pub(super) timestamps: &'a [i64],
    pub(super) values: &'a [f64],
    /// Empty where none is known.
    pub(super) start_timestamps: &'a [i64],
    pub(super) histograms: &'a [HistogramSample],
    pub(super) start: i64,
    pub(super) end: i64,
    /// When the expression is evaluated, which `offset` and `@` may have set apart from `end`.
    pub(super) evaluated: i64,
}

impl Window<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }

    pub(super) fn has_both(&self) -> bool {
        !self.values.is_empty() && !self.histograms.is_empty()
    }

    /// Its length in seconds: what rates are divided by.
    pub(super) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1_000.0
    }
}

/// What a function over a window knows besides the window.
pub(super) struct WindowCall<'c, 'a> {
    pub(super) ctx: &'c Context<'a>,
    pub(super) function: Function,
    pub(super) extension: Option<Extension>,
    /// The metric's name, for annotations.
    pub(super) metric: &'c str,
    /// The range argument, and the first argument of all.
    pub(super) span: Span,
    pub(super) first_span: Span,
    /// The values of scalar arguments at this time.
    pub(super) parameters: [f64; 2],
}

impl WindowCall<'_, '_> {
    pub(super) fn annotate(&self, annotation: Annotation) {
        self.ctx.annotate(self.span, annotation);
    }

    pub(super) fn metric(&self) -> String {
        self.metric.to_owned()
    }
}

/// Where ranges come from.
enum Input<'a> {
    Selector { set: Box<dyn SeriesSet + 'a>, notes_resets: bool },
    Subquery { vector: Vector<'a>, grid: Grid, column: Column },
}

/// A range vector: series and, one after the other, their samples.
pub(super) struct Ranges<'a> {
    input: Input<'a>,
    pub(super) series: Vec<Series>,
    next: usize,
    pub(super) samples: Samples,
    pub(super) moment: Moment,
    pub(super) range_ms: i64,
    pub(super) extension: Option<Extension>,
}

impl<'a> Ranges<'a> {
    pub(super) fn open(
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

    /// Reads the samples of the next series, without stale markers.
    pub(super) fn read_next(&mut self, ctx: &Context<'_>) -> Result<(), EvalError> {
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
    pub(super) fn windows(
        &self,
        ctx: &Context<'_>,
        grid: &Grid,
        mut each: impl FnMut(usize, &Window<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let samples = &self.samples;
        let (behind_ms, ahead_ms) = plan::reach_ms(self.extension, ctx.options.lookback_ms);
        let (mut from, mut to) = (0, 0);
        let (mut histograms_from, mut histograms_to) = (0, 0);
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
            each(place, &window)?;
        }
        Ok(())
    }
}

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

/// A range vector as the result of a query: everything in the window of the one evaluation time.
pub(super) fn raw(
    ctx: &Context<'_>,
    expr: &Expr,
    grid: &Grid,
) -> Result<Vec<(Series, Samples)>, EvalError> {
    let mut ranges = Ranges::open(ctx, expr, grid, Need::Values)?;
    let mut found = Vec::new();
    for place in 0..ranges.series.len() {
        ranges.read_next(ctx)?;
        let mut samples = Samples::default();
        let extension = ranges.extension;
        ranges.windows(ctx, grid, |_, window| {
            samples = match extension {
                Some(extension) => extended::raw(window, extension),
                None => Samples {
                    timestamps: window.timestamps.to_vec(),
                    values: window.values.to_vec(),
                    start_timestamps: Vec::new(),
                    histograms: window.histograms.to_vec(),
                },
            };
            Ok(())
        })?;
        ctx.hold(samples.len() * 16)?;
        if !samples.is_empty() {
            found.push((ranges.series[place].clone(), samples));
        }
    }
    Ok(found)
}

/// A function over a range vector.
struct RangeCall<'a> {
    ranges: Ranges<'a>,
    series: Vec<Series>,
    next: usize,
    function: Function,
    span: Span,
    first_span: Span,
    parameters: Vec<Scalars>,
    grid: Grid,
}

pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let function = call.function;
    let mut parameters = Vec::new();
    let mut ranges = None;
    let mut span = call.span;
    for (arg, wanted) in call.args.iter().zip(function.signature().args) {
        let arg = arg.inside_parens();
        if *wanted == ValueType::Matrix {
            ranges = Some(Ranges::open(ctx, arg, grid, need(function))?);
            span = arg.span();
        } else {
            parameters.push(build::scalar(ctx, arg, grid)?);
        }
    }
    let ranges = ranges.expect("the caller has seen a range among the arguments");
    check_extension(function, ranges.extension)?;
    let keeps_name = matches!(function, Function::LastOverTime | Function::FirstOverTime);
    let series = ranges
        .series
        .iter()
        .map(|series| if keeps_name { series.clone() } else { series.unnamed(ctx) })
        .collect();
    let first_span = call.args[0].inside_parens().span();
    let operator =
        RangeCall { ranges, series, next: 0, function, span, first_span, parameters, grid: *grid };
    merge(ctx, Box::new(operator))
}

fn need(function: Function) -> Need {
    match function {
        Function::CountOverTime | Function::PresentOverTime => Need::Presence,
        _ => Need::Values,
    }
}

fn check_extension(function: Function, extension: Option<Extension>) -> Result<(), EvalError> {
    use Function as F;
    let (allowed, names) = match extension {
        None => return Ok(()),
        Some(Extension::Anchored) => (
            [F::Changes, F::Delta, F::Increase, F::Rate, F::Resets].as_slice(),
            "changes, delta, increase, rate, resets",
        ),
        Some(Extension::Smoothed) => {
            ([F::Delta, F::Increase, F::Rate].as_slice(), "delta, increase, rate")
        }
    };
    if allowed.contains(&function) {
        return Ok(());
    }
    let modifier = extension.map_or("", Extension::name);
    let message = format!(
        "{modifier} modifier can only be used with: {names} - not with {}",
        function.name()
    );
    Err(EvalError::BadRequest(message))
}

impl Operator for RangeCall<'_> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.ranges.read_next(ctx)?;
        column.reset(self.grid.len);
        let labels = &self.ranges.series[self.next].labels;
        self.next += 1;
        let metric = labels.get(METRIC_NAME);
        let mut call = WindowCall {
            ctx,
            function: self.function,
            extension: self.ranges.extension,
            metric,
            span: self.span,
            first_span: self.first_span,
            parameters: [f64::NAN; 2],
        };
        if rate::is_plain(self.function, &self.ranges) {
            rate::fill(self.function, &self.ranges, &self.grid, column);
        } else {
            self.ranges.windows(ctx, &self.grid, |place, window| {
                if window.is_empty() {
                    return Ok(());
                }
                for (value, scalars) in call.parameters.iter_mut().zip(&self.parameters) {
                    *value = scalars.get(place);
                }
                if let Some(value) = apply(&call, window)? {
                    column.set(place, value);
                }
                Ok(())
            })?;
        }
        if matches!(self.function, Function::Rate | Function::Increase)
            && !column.present.is_empty()
        {
            self.note_non_counter(ctx, labels);
        }
        Ok(())
    }
}

impl RangeCall<'_> {
    fn note_non_counter(&self, ctx: &Context<'_>, labels: &Labels) {
        let metric = labels.metric_name();
        let named_as_counter =
            ["_total", "_sum", "_count", "_bucket"].iter().any(|end| metric.ends_with(end));
        if !metric.is_empty() && !named_as_counter {
            ctx.annotate(self.span, Annotation::PossibleNonCounter { metric: metric.to_owned() });
        }
    }
}

/// The value of a function over a window that is not empty.
fn apply(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Result<Option<Value>, EvalError> {
    use Function as F;
    match call.function {
        F::Rate | F::Increase | F::Delta if call.extension.is_some() => {
            Ok(extended::rate(call, window))
        }
        F::Rate | F::Increase | F::Delta => Ok(rate::extrapolated(call, window)),
        F::Irate | F::Idelta => Ok(last_two::value(call, window)),
        F::Changes => Ok(changes::changes(call, window)),
        F::Resets => Ok(changes::resets(call, window)),
        F::Deriv => Ok(trend::deriv(call, window)),
        F::PredictLinear => Ok(trend::predict_linear(call, window)),
        F::DoubleExponentialSmoothing => trend::double_exponential_smoothing(call, window),
        _ => Ok(over_time::value(call, window)),
    }
}
