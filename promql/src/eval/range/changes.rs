//! `changes` and `resets`: how often a series takes another value, how often it falls.

use super::histogram_rate::is_reset;
use super::rate::start_resets;
use super::{Window, WindowCall};
use crate::ast::Extension;
use crate::model::{HistogramSample, Value};

/// How often a value differs from the one before. NaN after NaN is no change; a float after a histogram is one.
pub(super) fn changes(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    let window = anchored(call, window)?;
    count(&window, |step| match step {
        Step::Floats { before, after } => {
            let (a, b) = (window.values[before], window.values[after]);
            a != b && !(a.is_nan() && b.is_nan())
        }
        Step::Histograms { before, after } => !before.value.observes_same(&after.value),
        Step::Mixed => true,
    })
}

/// How often a counter begins anew.
pub(super) fn resets(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    let window = anchored(call, window)?;
    let (times, starts) = (window.timestamps, window.start_timestamps);
    count(&window, |step| match step {
        Step::Floats { before, after } => {
            let by_start = !starts.is_empty()
                && start_resets(starts[before], times[before], starts[after], times[after]);
            window.values[after] < window.values[before] || by_start
        }
        Step::Histograms { before, after } => is_reset(call, before, after),
        Step::Mixed => true,
    })
}

/// Two samples that follow each other.
enum Step<'a> {
    Floats { before: usize, after: usize },
    Histograms { before: &'a HistogramSample, after: &'a HistogramSample },
    Mixed,
}

#[derive(Clone, Copy)]
enum Place {
    Float(usize),
    Histogram(usize),
}

fn count<'a>(window: &Window<'a>, counts: impl Fn(Step<'a>) -> bool) -> Option<Value> {
    let mut total = 0u32;
    let mut previous = None;
    let (mut float, mut histogram) = (0, 0);
    loop {
        let place = match (window.timestamps.get(float), window.histograms.get(histogram)) {
            (Some(ts), Some(sample)) if *ts < sample.ts => Place::Float(float),
            (Some(_), None) => Place::Float(float),
            (_, Some(_)) => Place::Histogram(histogram),
            (None, None) => break,
        };
        match place {
            Place::Float(_) => float += 1,
            Place::Histogram(_) => histogram += 1,
        }
        let step = match (previous, place) {
            (None, _) => None,
            (Some(Place::Float(before)), Place::Float(after)) => {
                Some(Step::Floats { before, after })
            }
            (Some(Place::Histogram(before)), Place::Histogram(after)) => {
                let (before, after) = (&window.histograms[before], &window.histograms[after]);
                Some(Step::Histograms { before, after })
            }
            _ => Some(Step::Mixed),
        };
        total += u32::from(step.is_some_and(&counts));
        previous = Some(place);
    }
    Some(Value::Float(f64::from(total)))
}

/// An anchored range also looks at the newest sample at or before its start, but needs one inside.
fn anchored<'a>(call: &WindowCall<'_, '_>, window: &Window<'a>) -> Option<Window<'a>> {
    if call.extension != Some(Extension::Anchored) {
        return Some(*window);
    }
    let n_floats = window.timestamps.partition_point(|ts| *ts <= window.start);
    let n_histograms = window.histograms.partition_point(|sample| sample.ts <= window.start);
    // Only the newest of all, float or histogram, is the anchor.
    let anchor_float = n_floats.checked_sub(1).map(|at| window.timestamps[at]);
    let anchor_histogram = n_histograms.checked_sub(1).map(|at| window.histograms[at].ts);
    let float_is_anchor = anchor_float > anchor_histogram;
    let floats = n_floats - usize::from(anchor_float.is_some() && float_is_anchor);
    let histograms = n_histograms - usize::from(anchor_histogram.is_some() && !float_is_anchor);
    let last_float = window.timestamps.last().copied();
    let last_histogram = window.histograms.last().map(|sample| sample.ts);
    if last_float.max(last_histogram)? <= window.start {
        return None;
    }
    Some(Window {
        timestamps: &window.timestamps[floats..],
        values: &window.values[floats..],
        start_timestamps: window.start_timestamps.get(floats..).unwrap_or_default(),
        histograms: &window.histograms[histograms..],
        ..*window
    })
}
