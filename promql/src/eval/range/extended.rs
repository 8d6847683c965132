//! `rate`, `increase` and `delta` over ranges whose ends are anchored or smoothed: nothing is extrapolated.

use std::sync::Arc;

use super::histogram_rate::is_reset;
use super::smooth::{Edge, between_floats, between_histograms};
use super::{Window, WindowCall};
use crate::ast::Extension;
use crate::functions::Function;
use crate::model::annotation::HistogramOperation;
use crate::model::histogram::CounterReset;
use crate::model::{Annotation, Histogram, HistogramSample, Samples, Value};

/// Where a range begins and ends among samples that reach beyond it.
struct Ends {
    left: Edge,
    right: Edge,
}

fn ends(times: &[i64], window: &Window<'_>, extension: Extension) -> Option<Ends> {
    let (start, end) = (window.start, window.end);
    let last = times.len().checked_sub(1)?;
    // How many samples lie at or before the start, and before the end.
    let n_before = times.partition_point(|ts| *ts <= start);
    if n_before > last {
        return None;
    }
    let at_end = times.partition_point(|ts| *ts < end);
    if extension == Extension::Anchored {
        return Some(Ends {
            left: Edge::Sample(n_before.saturating_sub(1)),
            right: Edge::Sample(last),
        });
    }
    let left = match n_before.checked_sub(1) {
        None => Edge::Sample(0),
        Some(at) if times[at] == start => Edge::Sample(at),
        Some(at) => Edge::Between { before: at, time: start },
    };
    let right = match times.get(at_end) {
        None => Edge::Sample(last),
        Some(ts) if *ts == end => Edge::Sample(at_end),
        // Everything lies behind the range.
        Some(_) => Edge::Between { before: at_end.checked_sub(1)?, time: end },
    };
    Some(Ends { left, right })
}

impl Ends {
    /// The pairs of neighbouring samples between which a counter may have been reset within the range. From an
    /// interpolated left end on, the counter is already behind any reset of that stretch.
    fn steps(&self) -> std::ops::Range<usize> {
        let from = match self.left {
            Edge::Sample(at) => at,
            Edge::Between { before, .. } => before + 1,
        };
        let to = match self.right {
            Edge::Sample(at) => at,
            Edge::Between { before, .. } => before + 1,
        };
        from..to.max(from)
    }
}

pub(super) fn rate(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    if window.has_both() {
        call.annotate(Annotation::MixedFloatsHistograms { metric: call.metric() });
        return None;
    }
    let extension = call.extension?;
    let is_counter = call.function != Function::Delta;
    let divisor = if call.function == Function::Rate { window.seconds() } else { 1.0 };
    if window.histograms.is_empty() {
        let ends = ends(window.timestamps, window, extension)?;
        let value = |edge| between_floats(window.timestamps, window.values, edge, is_counter);
        let mut increase = value(ends.right) - value(ends.left);
        if is_counter {
            let resets = ends.steps().filter(|at| window.values[at + 1] < window.values[*at]);
            increase += resets.map(|at| window.values[at]).sum::<f64>();
        }
        return Some(Value::Float(increase / divisor));
    }
    let times: Vec<i64> = window.histograms.iter().map(|sample| sample.ts).collect();
    let ends = ends(&times, window, extension)?;
    let mut increase = of_histograms(call, window.histograms, &ends, is_counter)?;
    increase.div(divisor);
    Some(Value::Histogram(Arc::new(increase)))
}

fn of_histograms(
    call: &WindowCall<'_, '_>,
    samples: &[HistogramSample],
    ends: &Ends,
    is_counter: bool,
) -> Option<Histogram> {
    let incompatible = || {
        call.annotate(Annotation::MixedExponentialCustomHistograms { metric: call.metric() });
        None
    };
    let first = ends.left.first();
    let last = ends.right.last();
    let used = &samples[first..=last];
    let is_gauge = |sample: &HistogramSample| sample.value.counter_reset == CounterReset::Gauge;
    if used.iter().any(|sample| sample.value.is_custom() != used[0].value.is_custom()) {
        return incompatible();
    }
    if is_counter && used.iter().any(is_gauge) {
        call.annotate(Annotation::NativeHistogramNotCounter { metric: call.metric() });
    }
    let gauge_ends = is_gauge(&used[0]) && is_gauge(&used[used.len() - 1]);
    if !(is_counter || gauge_ends) {
        call.annotate(Annotation::NativeHistogramNotGauge { metric: call.metric() });
    }
    let reset = |at: usize| is_counter && is_reset(call, &samples[at], &samples[at + 1]);
    let value = |edge| between_histograms(samples, edge, &reset);
    let (Ok(left), Ok(mut increase)) = (value(ends.left), value(ends.right)) else {
        return incompatible();
    };
    increase.counter_reset = CounterReset::Gauge;
    let note = |bounds: bool, operation| {
        if bounds {
            call.annotate(Annotation::MismatchedCustomBuckets { operation });
        }
    };
    match increase.sub(&left) {
        Ok(reconciled) => note(reconciled.bounds, HistogramOperation::Subtraction),
        Err(_) => return incompatible(),
    }
    for at in ends.steps().filter(|at| reset(*at)) {
        match increase.add(&samples[at].value) {
            Ok(reconciled) => note(reconciled.bounds, HistogramOperation::Addition),
            Err(_) => return incompatible(),
        }
    }
    increase.counter_reset = CounterReset::Gauge;
    Some(increase)
}

/// An extended range as the result of a query: the samples inside, and values at both ends.
pub(super) fn raw(window: &Window<'_>, extension: Extension) -> Samples {
    let mut samples = Samples::default();
    if let Some(ends) = ends(window.timestamps, window, extension) {
        let value = |edge| between_floats(window.timestamps, window.values, edge, false);
        samples.push(window.start, value(ends.left));
        for (ts, value) in window.timestamps.iter().zip(window.values) {
            if *ts > window.start && *ts < window.end {
                samples.push(*ts, *value);
            }
        }
        samples.push(window.end, value(ends.right));
    }
    let inside = |sample: &&HistogramSample| sample.ts > window.start && sample.ts <= window.end;
    samples.histograms = window.histograms.iter().filter(inside).cloned().collect();
    samples
}
