//! Functions that map each float on its own, and the calendar.

use std::sync::Arc;

use super::build;
use super::column::Column;
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Buffered, Operator, Series, Vector, relabel};
use super::scalar::Scalars;
use crate::ast::Call;
use crate::functions::Function;
use crate::model::time::Civil;
use crate::model::{Histogram, Labels, number};

/// Maps the floats of a column; histograms have no part in these functions and go away.
struct Map<'a, F> {
    input: Vector<'a>,
    map: F,
}

impl<F: Fn(usize, f64) -> f64> Operator for Map<'_, F> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        column.drop_histograms();
        for (place, value) in column.values.iter_mut().enumerate() {
            *value = (self.map)(place, *value);
        }
        Ok(())
    }
}

fn map<'a>(
    ctx: &Context<'_>,
    input: Vector<'a>,
    map: impl Fn(usize, f64) -> f64 + 'a,
) -> Result<Vector<'a>, EvalError> {
    relabel(ctx, Box::new(Map { input, map }), |series| series.unnamed(ctx))
}

/// Unary minus, which histograms know too.
struct Negate<'a>(Vector<'a>);

impl Operator for Negate<'_> {
    fn series(&self) -> &[Series] {
        self.0.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.0.next(ctx, column)?;
        for value in &mut column.values {
            *value = -*value;
        }
        for histogram in column.histograms.iter_mut().flatten() {
            let mut negative = Histogram::clone(histogram);
            negative.mul(-1.0);
            *histogram = Arc::new(negative);
        }
        Ok(())
    }
}

pub(super) fn negate<'a>(ctx: &Context<'_>, input: Vector<'a>) -> Result<Vector<'a>, EvalError> {
    relabel(ctx, Box::new(Negate(input)), |series| series.unnamed(ctx))
}

/// `timestamp` of anything but a selector: when it was evaluated.
struct EvaluationTimes<'a> {
    input: Vector<'a>,
    grid: Grid,
}

impl Operator for EvaluationTimes<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        let occupied = column.occupied();
        column.reset(self.grid.len);
        for place in occupied.places() {
            column.set_float(place, self.grid.time(place) as f64 / 1_000.0);
        }
        Ok(())
    }
}

pub(super) fn evaluation_times<'a>(
    ctx: &Context<'_>,
    input: Vector<'a>,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    relabel(ctx, Box::new(EvaluationTimes { input, grid: *grid }), |series| series.unnamed(ctx))
}

pub(super) fn call<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    use Function as F;
    if let Some(part) = calendar(call.function) {
        let of = move |seconds: f64| part(Civil::from_unix(seconds_of(seconds)));
        return match call.args.first() {
            Some(arg) => {
                map(ctx, build::vector(ctx, arg.inside_parens(), grid)?, move |_, value| of(value))
            }
            None => {
                let mut column = Column::new(grid.len);
                for place in 0..grid.len {
                    column.set_float(
                        place,
                        part(Civil::from_unix(grid.time(place).div_euclid(1_000))),
                    );
                }
                Ok(Box::new(Buffered::new(vec![(Series::new(Labels::default()), column)])))
            }
        };
    }
    let input = build::vector(ctx, call.args[0].inside_parens(), grid)?;
    let scalar = |place: usize| match call.args.get(place) {
        Some(arg) => build::scalar(ctx, arg.inside_parens(), grid),
        None => Ok(Scalars::Constant(1.0)),
    };
    match call.function {
        F::Clamp => clamp(ctx, input, scalar(1)?, scalar(2)?),
        F::ClampMin => clamp(ctx, input, scalar(1)?, Scalars::Constant(f64::INFINITY)),
        F::ClampMax => clamp(ctx, input, Scalars::Constant(f64::NEG_INFINITY), scalar(1)?),
        F::Round => {
            // Multiplying by the inverse is less surprising for steps such as 0.1. Ties go up.
            let inverse = scalar(1)?.map(|step| 1.0 / step);
            map(ctx, input, move |place, value| {
                let inverse = inverse.get(place);
                (value * inverse + 0.5).floor() / inverse
            })
        }
        function => match simple(function) {
            Some(f) => map(ctx, input, move |_, value| f(value)),
            None => Err(EvalError::execution(format!(
                "function {} cannot be called here",
                function.name()
            ))),
        },
    }
}

/// Where the bounds cross, nothing is left.
fn clamp<'a>(
    ctx: &Context<'_>,
    input: Vector<'a>,
    low: Scalars,
    high: Scalars,
) -> Result<Vector<'a>, EvalError> {
    let (kept_low, kept_high) = (low.clone(), high.clone());
    let clamped = map(ctx, input, move |place, value| {
        number::max(low.get(place), number::min(high.get(place), value))
    })?;
    Ok(Box::new(Crossing { input: clamped, low: kept_low, high: kept_high }))
}

struct Crossing<'a> {
    input: Vector<'a>,
    low: Scalars,
    high: Scalars,
}

impl Operator for Crossing<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        for place in 0..column.len() {
            if self.high.get(place) < self.low.get(place) {
                column.unset(place);
            }
        }
        Ok(())
    }
}

/// What does not fit becomes the end of time: Go converts it to the lowest number, and its calendar wraps around there.
fn seconds_of(value: f64) -> i64 {
    let fits = value < i64::MAX as f64 && value > i64::MIN as f64;
    if fits { value as i64 } else { i64::MAX }
}

fn calendar(function: Function) -> Option<fn(Civil) -> f64> {
    use Function as F;
    Some(match function {
        F::Minute => |civil| f64::from(civil.minute),
        F::Hour => |civil| f64::from(civil.hour),
        F::DayOfWeek => |civil| f64::from(civil.day_of_week),
        F::DayOfMonth => |civil| f64::from(civil.day),
        F::DayOfYear => |civil| f64::from(civil.day_of_year),
        F::DaysInMonth => |civil| f64::from(civil.days_in_month()),
        F::Month => |civil| f64::from(civil.month),
        F::Year => |civil| civil.year as f64,
        _ => return None,
    })
}

fn simple(function: Function) -> Option<fn(f64) -> f64> {
    use Function as F;
    Some(match function {
        F::Abs => f64::abs,
        F::Ceil => f64::ceil,
        F::Floor => f64::floor,
        F::Exp => f64::exp,
        F::Sqrt => f64::sqrt,
        F::Ln => f64::ln,
        F::Log2 => f64::log2,
        F::Log10 => f64::log10,
        F::Sin => f64::sin,
        F::Cos => f64::cos,
        F::Tan => f64::tan,
        F::Asin => f64::asin,
        F::Acos => f64::acos,
        F::Atan => f64::atan,
        F::Sinh => f64::sinh,
        F::Cosh => f64::cosh,
        F::Tanh => f64::tanh,
        F::Asinh => f64::asinh,
        F::Acosh => f64::acosh,
        F::Atanh => f64::atanh,
        F::Deg => |value| value * 180.0 / std::f64::consts::PI,
        F::Rad => |value| value * std::f64::consts::PI / 180.0,
        F::Sgn => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}
