//! `irate` and `idelta`: the difference between the last two samples.

use std::sync::Arc;

use super::rate::start_resets;
use super::{Window, WindowCall};
use crate::functions::Function;
use crate::model::annotation::HistogramOperation;
use crate::model::histogram::CounterReset;
use crate::model::{Annotation, Histogram, Value};

#[derive(Clone, Copy)]
enum Sample<'a> {
    Float { ts: i64, start_ts: i64, value: f64 },
    Histogram { ts: i64, start_ts: i64, value: &'a Histogram },
}

impl Sample<'_> {
    fn ts(&self) -> i64 {
        match self {
            Self::Float { ts, .. } | Self::Histogram { ts, .. } => *ts,
        }
    }

    fn start_ts(&self) -> i64 {
        match self {
            Self::Float { start_ts, .. } | Self::Histogram { start_ts, .. } => *start_ts,
        }
    }
}

pub(super) fn value(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    let (before, last) = last_two(call, window)?;
    let is_counter = call.function == Function::Irate;
    let interval = (last.ts() - before.ts()) as f64 / 1_000.0;
    if interval == 0.0 {
        return None;
    }
    let by_start = start_resets(before.start_ts(), before.ts(), last.start_ts(), last.ts());
    match (before, last) {
        (Sample::Float { value: a, .. }, Sample::Float { value: b, .. }) => {
            let difference = if is_counter && (b < a || by_start) { b } else { b - a };
            Some(Value::Float(if is_counter { difference / interval } else { difference }))
        }
        (Sample::Histogram { value: a, .. }, Sample::Histogram { value: b, .. }) => {
            let both_gauges =
                a.counter_reset == CounterReset::Gauge && b.counter_reset == CounterReset::Gauge;
            let some_gauge =
                a.counter_reset == CounterReset::Gauge || b.counter_reset == CounterReset::Gauge;
            if is_counter && some_gauge {
                call.annotate(Annotation::NativeHistogramNotCounter { metric: call.metric() });
            }
            if !is_counter && !both_gauges {
                call.annotate(Annotation::NativeHistogramNotGauge { metric: call.metric() });
            }
            let mut difference = b.clone();
            if !is_counter || !(by_start || b.is_reset_after(a)) {
                let Ok(reconciled) = difference.sub(a) else {
                    call.annotate(Annotation::MixedExponentialCustomHistograms {
                        metric: call.metric(),
                    });
                    return None;
                };
                if reconciled.bounds {
                    let operation = HistogramOperation::Subtraction;
                    call.annotate(Annotation::MismatchedCustomBuckets { operation });
                }
            }
            difference.counter_reset = CounterReset::Gauge;
            if is_counter {
                difference.div(interval);
            }
            Some(Value::Histogram(Arc::new(difference)))
        }
        _ => {
            call.annotate(Annotation::MixedFloatsHistograms { metric: call.metric() });
            None
        }
    }
}

fn last_two<'a>(
    call: &WindowCall<'_, '_>,
    window: &Window<'a>,
) -> Option<(Sample<'a>, Sample<'a>)> {
    let n_floats = window.values.len();
    let floats = (n_floats.saturating_sub(2)..n_floats).map(|at| Sample::Float {
        ts: window.timestamps[at],
        start_ts: window.start_timestamps.get(at).copied().unwrap_or(0),
        value: window.values[at],
    });
    let uses_starts = call.ctx.options.start_timestamps;
    let n_histograms = window.histograms.len();
    let histograms = window.histograms[n_histograms.saturating_sub(2)..].iter().map(|sample| {
        Sample::Histogram {
            ts: sample.ts,
            start_ts: if uses_starts { sample.start_ts } else { 0 },
            value: &sample.value,
        }
    });
    let mut last: Vec<Sample<'a>> = floats.chain(histograms).collect();
    last.sort_by_key(Sample::ts);
    match last.as_slice() {
        [.., before, last] => Some((*before, *last)),
        _ => None,
    }
}
