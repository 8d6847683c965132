//! `rate`, `increase` and `delta`: the difference between a window's ends, extrapolated to its whole length.

use std::sync::Arc;

use super::histogram_rate;
use super::{Ranges, Window, WindowCall};
use crate::eval::column::Column;
use crate::eval::grid::Grid;
use crate::functions::Function;
use crate::model::{Annotation, Value};

/// A window's samples reduced to what extrapolation looks at.
struct Extent {
    /// First and last time of what `increase` covers, milliseconds.
    first: i64,
    last: i64,
    /// Average distance between samples, seconds; 0 for a single one.
    distance: f64,
    /// The series is known to begin at `first`, with zero.
    begins: bool,
}

impl Extent {
    fn sampled(&self) -> f64 {
        seconds(self.last - self.first)
    }

    /// What to multiply the increase within a window by.
    fn factor(&self, window: &Window<'_>, to_zero: f64) -> f64 {
        let to_start = if self.begins { 0.0 } else { seconds(self.first - window.start) };
        factor(self.sampled(), self.distance, to_start, seconds(window.end - self.last), to_zero)
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// By how much a difference between first and last sample is to be multiplied to cover the window; all in seconds.
///
/// Samples are assumed to stand for the time up to the window's ends if these are no farther than a sample would
/// usually be (110 % of the average distance); else the series is taken to begin or end half a distance beyond its
/// samples. A counter is not extrapolated to before the time at which it would have been zero.
#[inline]
fn factor(sampled: f64, distance: f64, to_start: f64, to_end: f64, to_zero: f64) -> f64 {
    let usual = distance * 1.1;
    let to_start = if to_start >= usual { distance / 2.0 } else { to_start };
    let to_start = if to_zero < to_start { to_zero } else { to_start };
    let to_end = if to_end >= usual { distance / 2.0 } else { to_end };
    (sampled + to_start + to_end) / sampled
}

/// For how long before its first sample a counter can have grown as it did since; unbounded for what is none.
#[inline]
fn to_zero(is_counter: bool, sampled: f64, first: f64, increase: f64) -> f64 {
    // Computed in any case, and without branches: so it can be for several at once.
    let to_zero = sampled * (first / increase);
    if is_counter & (increase > 0.0) & (first >= 0.0) { to_zero } else { f64::INFINITY }
}

/// Whether a reset lies between two samples by their start timestamps.
///
/// A start at the time of the sample before is how deltas look, and also how a counter of unknown start looks at its
/// second sample; the latter's first sample has no (valid) start.
pub(super) fn start_resets(before_start: i64, before: i64, start: i64, ts: i64) -> bool {
    if start == 0 || start >= ts || start < before {
        return false;
    }
    start > before || (before_start != 0 && before_start < before)
}

/// A start inside the samples before it that is not theirs: two writers, or a broken one.
pub(super) fn start_overlaps(before_start: i64, before: i64, start: i64) -> bool {
    start != 0 && start < before && start != before_start
}

/// Whether [`fill`] can be used: floats only, nothing special.
pub(super) fn is_plain(function: Function, ranges: &Ranges<'_>) -> bool {
    matches!(function, Function::Rate | Function::Increase | Function::Delta)
        && ranges.extension.is_none()
        && ranges.samples.histograms.is_empty()
        && ranges.samples.start_timestamps.is_empty()
}

/// Windows that are extrapolated together, several in each register.
const AT_ONCE: usize = 16;

/// What extrapolation looks at, of several windows side by side.
struct Together {
    n: usize,
    places: [usize; AT_ONCE],
    first: [f64; AT_ONCE],
    increase: [f64; AT_ONCE],
    /// Distances between samples: one less than there are.
    gaps: [f64; AT_ONCE],
    /// Milliseconds from first to last sample, and from these to the window's ends.
    sampled: [f64; AT_ONCE],
    to_start: [f64; AT_ONCE],
    to_end: [f64; AT_ONCE],
}

impl Together {
    fn new() -> Self {
        let none = [0.0; AT_ONCE];
        Self {
            n: 0,
            places: [0; AT_ONCE],
            first: none,
            increase: none,
            gaps: none,
            sampled: none,
            to_start: none,
            to_end: none,
        }
    }

    /// Puts the results of all windows into the column, and begins anew.
    fn extrapolate(&mut self, is_counter: bool, divisor: f64, column: &mut Column) {
        let mut results = [0.0; AT_ONCE];
        for (at, result) in results[..self.n].iter_mut().enumerate() {
            let (first, increase) = (self.first[at], self.increase[at]);
            let sampled = self.sampled[at] / 1_000.0;
            let distance = sampled / self.gaps[at];
            let (to_start, to_end) = (self.to_start[at] / 1_000.0, self.to_end[at] / 1_000.0);
            let to_zero = to_zero(is_counter, sampled, first, increase);
            *result = increase * (factor(sampled, distance, to_start, to_end, to_zero) / divisor);
        }
        for (place, result) in self.places[..self.n].iter().zip(results) {
            column.set_float(*place, result);
        }
        self.n = 0;
    }
}

/// All windows of a plain series in one pass: counter resets are found once, not once for each window.
pub(super) fn fill(function: Function, ranges: &Ranges<'_>, grid: &Grid, column: &mut Column) {
    let is_counter = function != Function::Delta;
    let divisor = if function == Function::Rate { ranges.range_ms as f64 / 1_000.0 } else { 1.0 };
    let (timestamps, values) = (&*ranges.samples.timestamps, &*ranges.samples.values);
    debug_assert_eq!(timestamps.len(), values.len());
    // Places of samples that are lower than the one before.
    let resets: Vec<usize> = if is_counter {
        (1..values.len()).filter(|at| values[*at] < values[at - 1]).collect()
    } else {
        Vec::new()
    };
    let (mut from, mut to, mut resets_from) = (0, 0, 0);
    let mut together = Together::new();
    for place in 0..grid.len {
        let end = ranges.moment.time(grid.time(place));
        let start = end.saturating_sub(ranges.range_ms);
        while timestamps.get(to).is_some_and(|ts| *ts <= end) {
            to += 1;
        }
        while from < to && timestamps[from] <= start {
            from += 1;
        }
        if to - from < 2 {
            continue;
        }
        let (first, last) = (values[from], values[to - 1]);
        let mut increase = last - first;
        while resets.get(resets_from).is_some_and(|at| *at <= from) {
            resets_from += 1;
        }
        for at in resets[resets_from..].iter().take_while(|at| **at < to) {
            increase += values[at - 1];
        }
        let (first_ts, last_ts) = (timestamps[from], timestamps[to - 1]);
        let at = together.n;
        together.places[at] = place;
        together.first[at] = first;
        together.increase[at] = increase;
        together.gaps[at] = (to - from - 1) as f64;
        together.sampled[at] = (last_ts - first_ts) as f64;
        together.to_start[at] = (first_ts - start) as f64;
        together.to_end[at] = (end - last_ts) as f64;
        together.n += 1;
        if together.n == AT_ONCE {
            together.extrapolate(is_counter, divisor, column);
        }
    }
    together.extrapolate(is_counter, divisor, column);
}

/// One window of any kind.
pub(super) fn extrapolated(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    if window.has_both() {
        call.annotate(Annotation::MixedFloatsHistograms { metric: call.metric() });
        return None;
    }
    let is_counter = call.function != Function::Delta;
    let divisor = if call.function == Function::Rate { window.seconds() } else { 1.0 };
    if window.histograms.is_empty() {
        let (increase, extent) = of_floats(call, window, is_counter)?;
        let first = window.values[0];
        let to_zero = to_zero(is_counter, extent.sampled(), first, increase);
        return Some(Value::Float(increase * (extent.factor(window, to_zero) / divisor)));
    }
    let samples = window.histograms;
    let uses_starts = is_counter && call.ctx.options.start_timestamps;
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let begins = uses_starts && begins_within(window.start, first.start_ts, first.ts);
    if samples.len() < 2 && !begins {
        return None;
    }
    let mut increase = histogram_rate::increase(call, samples, is_counter, begins)?;
    let extent = Extent {
        first: if begins { first.start_ts } else { first.ts },
        last: last.ts,
        distance: distance(first.ts, last.ts, samples.len()),
        begins,
    };
    let to_zero = to_zero(is_counter, extent.sampled(), first.value.count, increase.count);
    increase.mul(extent.factor(window, to_zero) / divisor);
    Some(Value::Histogram(Arc::new(increase)))
}

/// Average distance of samples in seconds.
fn distance(first: i64, last: i64, n_samples: usize) -> f64 {
    if n_samples < 2 { 0.0 } else { (last - first) as f64 / 1_000.0 / (n_samples - 1) as f64 }
}

/// Whether a series is known to have begun, with zero, within the window and before its first sample.
fn begins_within(window_start: i64, start_ts: i64, first: i64) -> bool {
    start_ts != 0 && start_ts > window_start && start_ts < first
}

fn of_floats(
    call: &WindowCall<'_, '_>,
    window: &Window<'_>,
    is_counter: bool,
) -> Option<(f64, Extent)> {
    let Window { timestamps, values, start_timestamps: starts, .. } = *window;
    let (first, last) = (*timestamps.first()?, *timestamps.last()?);
    let begins = is_counter
        && starts.first().is_some_and(|start| begins_within(window.start, *start, first));
    if values.len() < 2 && !begins {
        return None;
    }
    let mut increase = values[values.len() - 1] - values[0];
    if begins {
        increase += values[0];
    }
    for at in 1..values.len() {
        if !is_counter {
            break;
        }
        let by_start = !starts.is_empty()
            && start_resets(starts[at - 1], timestamps[at - 1], starts[at], timestamps[at]);
        if values[at] < values[at - 1] || by_start {
            increase += values[at - 1];
        }
        if !starts.is_empty() && start_overlaps(starts[at - 1], timestamps[at - 1], starts[at]) {
            call.annotate(Annotation::StartTimeOverlap { metric: call.metric() });
        }
    }
    let extent = Extent {
        first: if begins { starts[0] } else { first },
        last,
        distance: distance(first, last, values.len()),
        begins,
    };
    Some((increase, extent))
}
