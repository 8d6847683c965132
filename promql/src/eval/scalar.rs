//! Scalars: one float at each evaluation time.

use super::column::{Cell, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::Vector;

/// The values of a scalar expression.
#[derive(Clone, Debug)]
pub(crate) enum Scalars {
    Constant(f64),
    Steps(Vec<f64>),
}

impl Scalars {
    #[inline]
    pub(crate) fn get(&self, place: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(values) => values[place],
        }
    }

    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(f(value)),
            Self::Steps(values) => Self::Steps(values.into_iter().map(f).collect()),
        }
    }

    pub(crate) fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => Self::Constant(f(*a, *b)),
            (Self::Steps(a), _) => Self::Steps(
                a.iter().enumerate().map(|(place, a)| f(*a, other.get(place))).collect(),
            ),
            (Self::Constant(a), Self::Steps(b)) => {
                Self::Steps(b.iter().map(|b| f(*a, *b)).collect())
            }
        }
    }

    /// Whether some value satisfies a condition.
    pub(crate) fn any(&self, f: impl Fn(f64) -> bool) -> bool {
        match self {
            Self::Constant(value) => f(*value),
            Self::Steps(values) => values.iter().copied().any(f),
        }
    }
}

/// `scalar(v)`: the value of a vector's only float, NaN where there is none or more than one.
pub(crate) fn of_vector(
    ctx: &Context<'_>,
    mut vector: Vector<'_>,
    grid: &Grid,
) -> Result<Scalars, EvalError> {
    ctx.hold_columns(2, grid)?;
    let mut values = vec![f64::NAN; grid.len];
    let mut n_found = vec![0u8; grid.len];
    let mut column = Column::default();
    for _ in 0..vector.series().len() {
        vector.next(ctx, &mut column)?;
        for place in 0..grid.len {
            if let Some(Cell::Float(value)) = column.get(place) {
                values[place] = if n_found[place] == 0 { value } else { f64::NAN };
                n_found[place] = 1;
            }
        }
    }
    Ok(Scalars::Steps(values))
}
