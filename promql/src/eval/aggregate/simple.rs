//! `min`, `max`, `count`, `group`, `stddev`, `stdvar`.

use super::super::column::Column;
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::operator::{Buffered, Vector};
use super::{Aggregation, Groups};
use crate::ast::AggregateOp;

/// What one group has seen at one time.
#[derive(Clone, Copy, Default)]
struct Seen {
    count: f64,
    /// The extreme, or the mean.
    value: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

pub(super) fn vector<'a>(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    mut input: Vector<'_>,
) -> Result<Vector<'a>, EvalError> {
    let groups = Groups::new(aggregation, input.series());
    let len = aggregation.grid.len;
    ctx.hold_columns(groups.series.len().saturating_mul(3), &aggregation.grid)?;
    let mut seen = vec![vec![Seen::default(); len]; groups.series.len()];
    let takes_histograms = matches!(aggregation.op, AggregateOp::Count | AggregateOp::Group);
    let mut column = Column::default();
    for group in &groups.of {
        input.next(ctx, &mut column)?;
        let seen = &mut seen[*group];
        for at in column.present.places() {
            add(aggregation.op, &mut seen[at], column.values[at]);
        }
        for (seen, histogram) in seen.iter_mut().zip(&column.histograms) {
            if histogram.is_none() {
                continue;
            }
            if takes_histograms {
                seen.count += 1.0;
            } else {
                aggregation.note_ignored_histogram(ctx);
            }
        }
    }
    let mut parts = Vec::with_capacity(groups.series.len());
    for (seen, series) in seen.iter().zip(groups.series) {
        let mut result = Column::new(len);
        for (at, seen) in seen.iter().enumerate().filter(|(_, seen)| seen.count > 0.0) {
            result.set_float(at, finish(aggregation.op, seen));
        }
        parts.push((series, result));
    }
    Ok(Box::new(Buffered::new(parts)))
}

fn add(op: AggregateOp, seen: &mut Seen, value: f64) {
    let is_first = seen.count == 0.0;
    seen.count += 1.0;
    match op {
        // NaN gives way to anything else.
        AggregateOp::Min if is_first || value < seen.value || seen.value.is_nan() => {
            seen.value = value;
        }
        AggregateOp::Max if is_first || value > seen.value || seen.value.is_nan() => {
            seen.value = value;
        }
        AggregateOp::StdDev | AggregateOp::StdVar => {
            // Welford's method.
            if is_first {
                seen.value = value;
                seen.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            } else {
                let distance = value - seen.value;
                seen.value += distance / seen.count;
                seen.squares += distance * (value - seen.value);
            }
        }
        _ => {}
    }
}

fn finish(op: AggregateOp, seen: &Seen) -> f64 {
    match op {
        AggregateOp::Count => seen.count,
        AggregateOp::Group => 1.0,
        AggregateOp::StdVar => seen.squares / seen.count,
        AggregateOp::StdDev => (seen.squares / seen.count).sqrt(),
        _ => seen.value,
    }
}
