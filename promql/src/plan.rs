//! When selectors look at which samples: offsets, `@`, ranges and subqueries worked out in milliseconds.

use crate::ast::{At, DurationExpr, DurationOp, Expr, Extension, Shift};
use crate::eval::{EvalError, Grid, Times};
use crate::model::duration::DURATION_MS_MAX;

/// How the time at which something is looked at follows from the evaluation time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Pinned by `@`.
    at: Option<i64>,
    offset_ms: i64,
}

impl Moment {
    pub(crate) fn new(shift: &Shift, times: &Times) -> Result<Self, EvalError> {
        let at = shift.at.map(|at| match at {
            At::Time(ts) => ts,
            At::Start => times.start(),
            At::End => times.end(),
        });
        let offset_ms = match &shift.offset {
            Some(offset) => milliseconds(offset, times)?,
            None => 0,
        };
        Ok(Self { at, offset_ms })
    }

    #[inline]
    pub(crate) fn time(&self, evaluated: i64) -> i64 {
        self.at.unwrap_or(evaluated).saturating_sub(self.offset_ms)
    }

    /// The moment of a selector inside a subquery whose own moment is `outer`.
    pub(crate) fn within(self, outer: &Self) -> Self {
        match self.at {
            Some(_) => self,
            None => {
                Self { at: outer.at, offset_ms: outer.offset_ms.saturating_add(self.offset_ms) }
            }
        }
    }

    /// The times at which the inside of a subquery is evaluated: multiples of its step within the ranges.
    pub(crate) fn subquery_grid(&self, outer: &Grid, range_ms: i64, step_ms: i64) -> Grid {
        let after = self.time(outer.start).saturating_sub(range_ms);
        let end = self.time(outer.last());
        // Division toward zero, then one step further where that has not gone beyond `after`.
        let mut start = (after / step_ms).saturating_mul(step_ms);
        if start <= after {
            start = start.saturating_add(step_ms);
        }
        Grid::range(start, end, step_ms)
    }
}

/// A range in brackets: positive.
pub(crate) fn range_ms(range: &DurationExpr, times: &Times) -> Result<i64, EvalError> {
    let ms = milliseconds(range, times)?;
    if ms > 0 {
        Ok(ms)
    } else {
        Err(EvalError::BadRequest("duration must be greater than 0".to_owned()))
    }
}

fn milliseconds(duration: &DurationExpr, times: &Times) -> Result<i64, EvalError> {
    let ms = (seconds(duration, times)? * 1_000.0).round();
    if ms.is_nan() || ms.abs() > DURATION_MS_MAX as f64 {
        return Err(EvalError::BadRequest("duration out of range".to_owned()));
    }
    Ok(ms as i64)
}

fn seconds(duration: &DurationExpr, times: &Times) -> Result<f64, EvalError> {
    Ok(match duration {
        DurationExpr::Literal { seconds, .. } => *seconds,
        DurationExpr::Step => times.step_seconds(),
        DurationExpr::Range => times.range_seconds(),
        DurationExpr::Negative(inner) => -seconds(inner, times)?,
        DurationExpr::Paren(inner) => seconds(inner, times)?,
        DurationExpr::Binary(op, left, right) => {
            let (left, right) = (seconds(left, times)?, seconds(right, times)?);
            match op {
                DurationOp::Add => left + right,
                DurationOp::Sub => left - right,
                DurationOp::Mul => left * right,
                DurationOp::Pow => left.powf(right),
                DurationOp::Min => left.min(right),
                DurationOp::Max => left.max(right),
                DurationOp::Div | DurationOp::Mod if right == 0.0 => {
                    let what = if *op == DurationOp::Div { "division" } else { "modulo" };
                    return Err(EvalError::BadRequest(format!("{what} by zero")));
                }
                DurationOp::Div => left / right,
                DurationOp::Mod => left % right,
            }
        }
    })
}

/// How far beyond a window samples are needed to find the values at its ends.
pub(crate) fn reach_ms(extension: Option<Extension>, lookback_ms: i64) -> (i64, i64) {
    match extension {
        None => (0, 0),
        Some(Extension::Anchored) => (lookback_ms, 0),
        Some(Extension::Smoothed) => (lookback_ms, lookback_ms),
    }
}

/// Whether an expression has the same value at all evaluation times, so that once is enough.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::String(_) => true,
        Expr::Selector(selector) => selector.shift.at.is_some(),
        Expr::Range(range) => range.selector.shift.at.is_some(),
        Expr::Subquery(subquery) => subquery.shift.at.is_some(),
        Expr::Unary(unary) => is_constant(&unary.expr),
        Expr::Paren(paren) => is_constant(&paren.expr),
        Expr::Binary(binary) => is_constant(&binary.left) && is_constant(&binary.right),
        Expr::Aggregate(aggregate) => {
            is_constant(&aggregate.expr) && aggregate.parameter.as_ref().is_none_or(is_constant)
        }
        Expr::Call(call) => {
            // Date functions without an argument stand for the evaluation time; they are among these.
            !call.function.depends_on_time() && call.args.iter().all(is_constant)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Features, parse};

    #[test]
    fn subqueries_are_aligned() {
        let moment = Moment { at: None, offset_ms: 0 };
        let outer = Grid::instant(1_000);
        let grid = moment.subquery_grid(&outer, 300, 100);
        // (700, 1000], multiples of 100.
        assert_eq!((grid.start, grid.last()), (800, 1_000));
        let grid = moment.subquery_grid(&outer, 350, 100);
        assert_eq!((grid.start, grid.last()), (700, 1_000));
        // Before the epoch division rounds up, as Go's does.
        let grid = moment.subquery_grid(&Grid::instant(0), 250, 100);
        assert_eq!((grid.start, grid.last()), (-200, 0));
    }

    #[test]
    fn durations_are_worked_out() {
        let times = Times::Range { start: 0, end: 60_000, step: 15_000 };
        for (query, expected) in [
            ("a[5m]", Some(300_000)),
            ("a[step()*2]", Some(30_000)),
            ("a[range()-10s]", Some(50_000)),
            ("a[min_of(step(), 1s)]", Some(1_000)),
            ("a[2m*(10+5)]", Some(1_800_000)),
            ("a[-5m+35m]", Some(1_800_000)),
            ("a[2^3^0]", Some(2_000)),
            ("a[1m-1m]", None),
            ("a[1/(1-1)]", None),
        ] {
            let Expr::Range(range) = parse(query, Features::ALL).unwrap() else {
                panic!("{query}")
            };
            assert_eq!(range_ms(&range.range, &times).ok(), expected, "{query}");
        }
    }
}
