//! `absent` and `absent_over_time`: 1 where there is nothing.

use super::build;
use super::column::{Bitmap, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Buffered, Series, Vector};
use super::range::Ranges;
use crate::ast::{Call, Expr};
use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::source::Need;

pub(super) fn instant<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let arg = call.args[0].inside_parens();
    let mut seen = Bitmap::new(grid.len);
    let vector = build::vector_needing(ctx, arg, grid, Need::Presence)?;
    build::drain(ctx, vector, |column| seen.add_all(&column.occupied()))?;
    Ok(ones_outside(&seen, arg, grid))
}

pub(super) fn over_time<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let arg = call.args[0].inside_parens();
    let mut seen = Bitmap::new(grid.len);
    let mut ranges = Ranges::open(ctx, arg, grid, Need::Presence)?;
    for _ in 0..ranges.series.len() {
        ranges.read_next(ctx)?;
        ranges.windows(ctx, grid, |place, window| {
            if !window.is_empty() {
                seen.set(place);
            }
            Ok(())
        })?;
    }
    Ok(ones_outside(&seen, arg, grid))
}

fn ones_outside<'a>(seen: &Bitmap, arg: &Expr, grid: &Grid) -> Vector<'a> {
    let mut column = Column::new(grid.len);
    for place in (0..grid.len).filter(|place| !seen.get(*place)) {
        column.set_float(place, 1.0);
    }
    let series = Series::new(labels_of(arg));
    let parts = if column.is_empty() { Vec::new() } else { vec![(series, column)] };
    Box::new(Buffered::new(parts))
}

/// The labels that a selector pins: those with exactly one condition, and that an equality. A label that is mentioned
/// again goes away, even with the same value.
fn labels_of(arg: &Expr) -> Labels {
    let matchers: &[Matcher] = match arg {
        Expr::Selector(selector) => &selector.matchers,
        Expr::Range(range) => &range.selector.matchers,
        _ => &[],
    };
    let mut labels = Labels::default();
    let mut set: Vec<&str> = Vec::new();
    for matcher in matchers
        .iter()
        .filter(|matcher| matcher.name() != METRIC_NAME && !matcher.name().is_empty())
    {
        if matcher.op() == MatchOp::Equal && !set.contains(&matcher.name()) {
            labels = labels.with(matcher.name(), matcher.value());
            set.push(matcher.name());
        } else {
            labels = labels.with(matcher.name(), "");
        }
    }
    labels
}
