//! From expression to operators.

use super::aggregate;
use super::binary;
use super::column::Column;
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::math;
use super::operator::{Broadcast, Buffered, Series, Vector};
use super::scalar::{self, Scalars};
use super::select::{InstantSelect, Wanted};
use super::{absent, histogram_functions, info, label_functions, order, range};
use crate::ast::{Call, Expr, ValueType};
use crate::functions::Function;
use crate::model::{Labels, number};
use crate::plan;
use crate::source::Need;

/// A grid within the limits.
pub(super) fn checked_grid(ctx: &Context<'_>, grid: Grid) -> Result<Grid, EvalError> {
    let max = ctx.options.limits.steps_max;
    if grid.len > max {
        let message =
            format!("query or subquery has more than {max} evaluation times. Try a longer step");
        return Err(EvalError::BadRequest(message));
    }
    Ok(grid)
}

/// The operator of an expression that is an instant vector.
pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    expr: &Expr,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    vector_needing(ctx, expr, grid, Need::Values)
}

/// The same for an operation that looks only at some of what a selector finds.
pub(super) fn vector_needing<'a>(
    ctx: &Context<'a>,
    expr: &Expr,
    grid: &Grid,
    need: Need,
) -> Result<Vector<'a>, EvalError> {
    if grid.len > 1 && plan::is_constant(expr) {
        let input = vector_needing(ctx, expr, &Grid { len: 1, ..*grid }, need)?;
        return Ok(Box::new(Broadcast { input, grid: *grid, single: Column::default() }));
    }
    match expr {
        Expr::Selector(selector) => InstantSelect::open(ctx, selector, grid, Wanted::Value, need),
        Expr::Paren(paren) => vector_needing(ctx, &paren.expr, grid, need),
        Expr::Unary(unary) if unary.negative => {
            let input = vector(ctx, &unary.expr, grid)?;
            math::negate(ctx, input)
        }
        Expr::Unary(unary) => vector(ctx, &unary.expr, grid),
        Expr::Binary(binary) => binary::vector(ctx, binary, grid),
        Expr::Aggregate(aggregate) => aggregate::vector(ctx, aggregate, grid),
        Expr::Call(call) => call_vector(ctx, call, grid),
        Expr::Number(_) | Expr::String(_) | Expr::Range(_) | Expr::Subquery(_) => {
            Err(EvalError::execution("expression is not an instant vector"))
        }
    }
}

/// The values of an expression that is a scalar.
pub(super) fn scalar(ctx: &Context<'_>, expr: &Expr, grid: &Grid) -> Result<Scalars, EvalError> {
    match expr {
        Expr::Number(number) => Ok(Scalars::Constant(number.value)),
        Expr::Paren(paren) => scalar(ctx, &paren.expr, grid),
        Expr::Unary(unary) => {
            let scalars = scalar(ctx, &unary.expr, grid)?;
            Ok(if unary.negative { scalars.map(|value| -value) } else { scalars })
        }
        Expr::Binary(binary) => {
            let (left, right) =
                (scalar(ctx, &binary.left, grid)?, scalar(ctx, &binary.right, grid)?);
            Ok(left.zip(&right, |a, b| binary::scalars(binary.op, a, b)))
        }
        Expr::Call(call) => call_scalar(ctx, call, grid),
        _ => Err(EvalError::execution("expression is not a scalar")),
    }
}

fn call_scalar(ctx: &Context<'_>, call: &Call, grid: &Grid) -> Result<Scalars, EvalError> {
    let both = |f: fn(f64, f64) -> f64| {
        let (a, b) = (scalar(ctx, &call.args[0], grid)?, scalar(ctx, &call.args[1], grid)?);
        Ok(a.zip(&b, f))
    };
    match call.function {
        Function::Time => Ok(times(ctx, grid)?),
        Function::Pi => Ok(Scalars::Constant(std::f64::consts::PI)),
        Function::Start => Ok(Scalars::Constant(ctx.times.start() as f64 / 1_000.0)),
        Function::End => Ok(Scalars::Constant(ctx.times.end() as f64 / 1_000.0)),
        Function::Step => Ok(Scalars::Constant(ctx.times.step_seconds())),
        Function::Range => Ok(Scalars::Constant(ctx.times.range_seconds())),
        Function::MaxOf => both(number::max),
        Function::MinOf => both(number::min),
        Function::Scalar => scalar::of_vector(ctx, vector(ctx, &call.args[0], grid)?, grid),
        _ => Err(EvalError::execution("function does not return a scalar")),
    }
}

/// The evaluation times in seconds.
pub(super) fn times(ctx: &Context<'_>, grid: &Grid) -> Result<Scalars, EvalError> {
    ctx.hold_columns(1, grid)?;
    Ok(Scalars::Steps((0..grid.len).map(|place| grid.time(place) as f64 / 1_000.0).collect()))
}

fn call_vector<'a>(ctx: &Context<'a>, call: &Call, grid: &Grid) -> Result<Vector<'a>, EvalError> {
    use Function as F;
    let function = call.function;
    if function.signature().args.contains(&ValueType::Matrix) {
        return if function == F::AbsentOverTime {
            absent::over_time(ctx, call, grid)
        } else {
            range::vector(ctx, call, grid)
        };
    }
    let arg = |place: usize| call.args[place].inside_parens();
    match function {
        F::Vector => {
            let scalars = scalar(ctx, arg(0), grid)?;
            constant(ctx, &scalars, grid)
        }
        F::Timestamp | F::StartTimestamp => timestamps(ctx, call, grid),
        F::Absent => absent::instant(ctx, call, grid),
        F::Sort | F::SortDesc | F::SortByLabel | F::SortByLabelDesc => {
            order::vector(ctx, call, grid)
        }
        F::LabelReplace => label_functions::replace(ctx, call, grid),
        F::LabelJoin => label_functions::join(ctx, call, grid),
        F::Info => info::vector(ctx, call, grid),
        F::HistogramQuantile | F::HistogramQuantiles | F::HistogramFraction => {
            ctx.noting_resets(false, || histogram_functions::over_buckets(ctx, call, grid))
        }
        F::HistogramAvg
        | F::HistogramCount
        | F::HistogramStddev
        | F::HistogramStdvar
        | F::HistogramSum => {
            let notes = matches!(function, F::HistogramAvg | F::HistogramCount | F::HistogramSum);
            let input = ctx.noting_resets(notes, || vector(ctx, arg(0), grid))?;
            histogram_functions::of_native(ctx, function, input)
        }
        _ => math::call(ctx, call, grid),
    }
}

/// A scalar as a vector with one element without labels.
pub(super) fn constant<'a>(
    ctx: &Context<'_>,
    scalars: &Scalars,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    ctx.hold_columns(1, grid)?;
    let mut column = Column::new(grid.len);
    for place in 0..grid.len {
        column.set_float(place, scalars.get(place));
    }
    Ok(Box::new(Buffered::new(vec![(Series::new(Labels::default()), column)])))
}

/// Of a selector, when its samples were taken (or began to count); of anything else, when it was evaluated.
fn timestamps<'a>(ctx: &Context<'a>, call: &Call, grid: &Grid) -> Result<Vector<'a>, EvalError> {
    let wanted = if call.function == Function::Timestamp {
        Wanted::Timestamp
    } else {
        Wanted::StartTimestamp
    };
    match call.args[0].inside_parens() {
        Expr::Selector(selector) => {
            let input = InstantSelect::open(ctx, selector, grid, wanted, Need::Presence)?;
            super::operator::relabel(ctx, input, |series| series.unnamed(ctx))
        }
        _ if wanted == Wanted::StartTimestamp => Ok(Box::new(Buffered::new(Vec::new()))),
        other => {
            let input = vector(ctx, other, grid)?;
            math::evaluation_times(ctx, input, grid)
        }
    }
}

/// Drains an operator whose columns nobody wants, so that annotations and errors arise all the same.
pub(super) fn drain(
    ctx: &Context<'_>,
    mut vector: Vector<'_>,
    mut each: impl FnMut(&Column),
) -> Result<(), EvalError> {
    let mut column = Column::default();
    for _ in 0..vector.series().len() {
        vector.next(ctx, &mut column)?;
        each(&column);
    }
    Ok(())
}
