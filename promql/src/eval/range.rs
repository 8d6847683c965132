//! Functions over range vectors: windows over the samples of one series, slid along in one pass.

mod changes;
mod extended;
mod extremes;
mod histogram_rate;
mod last_two;
mod over_time;
mod rate;
mod smooth;
pub(super) mod smoothed;
mod trend;
mod windows;

pub(super) use windows::{Ranges, Window};

use super::build;
use super::column::Column;
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Operator, Series, Vector, merge};
use super::scalar::Scalars;
use crate::ast::{Call, Expr, Extension, Span, ValueType};
use crate::functions::Function;
use crate::model::{Annotation, Labels, METRIC_NAME, Samples, Value};
use crate::source::Need;

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

    fn start(&mut self) {
        self.ranges.start();
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
        } else if extremes::is_plain(self.function, &self.ranges) {
            extremes::fill(self.function, &self.ranges, &self.grid, column);
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
