//! `max_over_time` and `min_over_time` of floats in one pass, however long the windows are.

use std::collections::VecDeque;

use super::Ranges;
use crate::eval::column::Column;
use crate::eval::grid::Grid;
use crate::functions::Function;

/// Whether [`fill`] can be used: floats only, nothing special.
pub(super) fn is_plain(function: Function, ranges: &Ranges<'_>) -> bool {
    matches!(function, Function::MaxOverTime | Function::MinOverTime)
        && ranges.extension.is_none()
        && ranges.samples.histograms.is_empty()
}

/// All windows of a series. What a later sample outdoes can never be the extreme of a window again, so only the others
/// are kept, the best of them first; each sample comes and goes once.
pub(super) fn fill(function: Function, ranges: &Ranges<'_>, grid: &Grid, column: &mut Column) {
    if function == Function::MaxOverTime {
        slide(ranges, grid, column, |value, other| value > other);
    } else {
        slide(ranges, grid, column, |value, other| value < other);
    }
}

fn slide(
    ranges: &Ranges<'_>,
    grid: &Grid,
    column: &mut Column,
    outdoes: impl Fn(f64, f64) -> bool,
) {
    let (timestamps, values) = (&*ranges.samples.timestamps, &*ranges.samples.values);
    // Of equal ones the first stays in front. NaN gives way to anything, and is kept only behind it: it is the extreme of
    // a window that has nothing else.
    let mut best: VecDeque<usize> = VecDeque::new();
    let mut to = 0;
    for place in 0..grid.len {
        let end = ranges.moment.time(grid.time(place));
        let start = end.saturating_sub(ranges.range_ms);
        while timestamps.get(to).is_some_and(|ts| *ts <= end) {
            let value = values[to];
            while best.back().is_some_and(|at| outdoes(value, values[*at]) || values[*at].is_nan())
            {
                best.pop_back();
            }
            best.push_back(to);
            to += 1;
        }
        while best.front().is_some_and(|at| timestamps[*at] <= start) {
            best.pop_front();
        }
        if let Some(at) = best.front() {
            column.set_float(place, values[*at]);
        }
    }
}
