//! The `…_over_time` functions.

use std::sync::Arc;

use super::{Window, WindowCall};
use crate::eval::quantile::{is_outside, quantile};
use crate::functions::Function;
use crate::model::annotation::HistogramOperation;
use crate::model::histogram::{HistogramMean, HistogramSum};
use crate::model::number::{KahanMean, KahanSum};
use crate::model::{Annotation, Histogram, Value};

pub(super) fn value(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    use Function as F;
    match call.function {
        F::CountOverTime => {
            Some(Value::Float((window.values.len() + window.histograms.len()) as f64))
        }
        F::PresentOverTime => Some(Value::Float(1.0)),
        F::FirstOverTime => ends(window).0,
        F::LastOverTime => ends(window).1,
        F::TsOfFirstOverTime => Some(Value::Float(times(window)?.0 as f64 / 1_000.0)),
        F::TsOfLastOverTime => Some(Value::Float(times(window)?.1 as f64 / 1_000.0)),
        F::SumOverTime | F::AvgOverTime => sum_or_avg(call, window),
        _ => of_floats(call, window).map(Value::Float),
    }
}

/// First and last time in a window.
fn times(window: &Window<'_>) -> Option<(i64, i64)> {
    let floats = window.timestamps.first().copied().zip(window.timestamps.last().copied());
    let first_and_last = window.histograms.first().zip(window.histograms.last());
    let histograms = first_and_last.map(|(first, last)| (first.ts, last.ts));
    match (floats, histograms) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// First and last value in a window.
fn ends(window: &Window<'_>) -> (Option<Value>, Option<Value>) {
    let float = |value: Option<&f64>| value.map(|value| Value::Float(*value));
    let (first_float, last_float) = (float(window.values.first()), float(window.values.last()));
    let (Some(first), Some(last)) = (window.histograms.first(), window.histograms.last()) else {
        return (first_float, last_float);
    };
    let histogram = |histogram: &Arc<Histogram>| Some(Value::Histogram(Arc::clone(histogram)));
    let float_first = window.timestamps.first().is_some_and(|ts| *ts < first.ts);
    let float_last = window.timestamps.last().is_some_and(|ts| *ts > last.ts);
    (
        if float_first { first_float } else { histogram(&first.value) },
        if float_last { last_float } else { histogram(&last.value) },
    )
}

fn sum_or_avg(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    if window.has_both() {
        call.annotate(Annotation::MixedFloatsHistograms { metric: call.metric() });
        return None;
    }
    let is_sum = call.function == Function::SumOverTime;
    let Some((first, rest)) = window.values.split_first() else {
        return if is_sum { histogram_sum(call, window) } else { histogram_avg(call, window) };
    };
    if is_sum {
        let mut sum = KahanSum::new(*first);
        rest.iter().for_each(|value| sum.add(*value));
        return Some(Value::Float(sum.value()));
    }
    let mut mean = KahanMean::new(*first);
    rest.iter().for_each(|value| mean.add(*value));
    Some(Value::Float(mean.value()))
}

fn histogram_sum(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    let (first, rest) = window.histograms.split_first()?;
    let mut sum = HistogramSum::new(&first.value);
    for sample in rest {
        note(call, sum.add(&sample.value))?;
    }
    note_collision(call, sum.counter_resets_collide());
    Some(Value::Histogram(Arc::new(sum.value())))
}

fn histogram_avg(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    let (first, rest) = window.histograms.split_first()?;
    let mut mean = HistogramMean::new(&first.value);
    for sample in rest {
        note(call, mean.add(&sample.value))?;
    }
    note_collision(call, mean.counter_resets_collide());
    Some(Value::Histogram(Arc::new(mean.value())))
}

type Added = Result<crate::model::histogram::Reconciled, crate::model::histogram::Incompatible>;

/// Annotates what an addition has met; nothing comes of an impossible one.
fn note(call: &WindowCall<'_, '_>, added: Added) -> Option<()> {
    match added {
        Ok(reconciled) => {
            if reconciled.bounds {
                let operation = HistogramOperation::Aggregation;
                call.annotate(Annotation::MismatchedCustomBuckets { operation });
            }
            Some(())
        }
        Err(_) => {
            call.annotate(Annotation::MixedExponentialCustomHistograms { metric: call.metric() });
            None
        }
    }
}

fn note_collision(call: &WindowCall<'_, '_>, collide: bool) {
    if collide {
        call.annotate(Annotation::CounterResetCollision {
            operation: HistogramOperation::Aggregation,
        });
    }
}

/// Functions that know floats only.
fn of_floats(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<f64> {
    use Function as F;
    let values = window.values;
    let (first, rest) = values.split_first()?;
    if call.function == F::QuantileOverTime && is_outside(call.parameters[0]) {
        call.ctx.annotate(
            call.first_span,
            Annotation::InvalidQuantile { quantile: call.parameters[0] },
        );
    }
    if !window.histograms.is_empty() {
        let annotation = Annotation::HistogramIgnoredInMixedRange { metric: call.metric() };
        // Quantiles point at their first argument, as in Prometheus.
        call.ctx.annotate(call.first_span, annotation);
    }
    let extreme = |better: fn(f64, f64) -> bool| {
        rest.iter().fold(
            *first,
            |best, value| if better(*value, best) || best.is_nan() { *value } else { best },
        )
    };
    let time_of_extreme = |better: fn(f64, f64) -> bool| {
        let mut best = (*first, window.timestamps[0]);
        for (value, ts) in values.iter().zip(window.timestamps) {
            if better(*value, best.0) || best.0.is_nan() {
                best = (*value, *ts);
            }
        }
        best.1 as f64 / 1_000.0
    };
    match call.function {
        F::MaxOverTime => Some(extreme(|value, best| value > best)),
        F::MinOverTime => Some(extreme(|value, best| value < best)),
        // Of equal ones the last.
        F::TsOfMaxOverTime => Some(time_of_extreme(|value, best| value >= best)),
        F::TsOfMinOverTime => Some(time_of_extreme(|value, best| value <= best)),
        F::StdvarOverTime => Some(variance(values)),
        F::StddevOverTime => Some(variance(values).sqrt()),
        F::QuantileOverTime => Some(quantile(call.parameters[0], &mut values.to_vec())),
        F::MadOverTime => Some(median_deviation(values)),
        _ => None,
    }
}

/// Population variance, by Welford's method with compensated sums.
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (KahanSum::default(), KahanSum::default());
    let mut count = 0.0;
    for value in values {
        count += 1.0;
        let distance = value - mean.value();
        mean.add(distance / count);
        squares.add(distance * (value - mean.value()));
    }
    squares.value() / count
}

/// The median of the distances from the median. NaN if there is one among the values.
fn median_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, &mut values.to_vec());
    let mut distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    quantile(0.5, &mut distances)
}
