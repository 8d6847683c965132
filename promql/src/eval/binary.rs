//! Binary operators.

mod pairing;
mod sets;
mod signature;
mod values;
mod vectors;

use super::build;
use super::column::{Cell, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Operator, Series, Vector, relabel};
use super::scalar::Scalars;
use crate::ast::{Binary, ValueType};
use crate::model::Value;

pub(super) use values::scalars;

pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    binary: &Binary,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    match (binary.left.value_type(), binary.right.value_type()) {
        (ValueType::Scalar, ValueType::Scalar) => {
            let (left, right) =
                (build::scalar(ctx, &binary.left, grid)?, build::scalar(ctx, &binary.right, grid)?);
            build::constant(ctx, &left.zip(&right, |a, b| scalars(binary.op, a, b)), grid)
        }
        (ValueType::Scalar, _) => {
            let scalars = build::scalar(ctx, &binary.left, grid)?;
            let input = build::vector(ctx, &binary.right, grid)?;
            with_scalar(ctx, binary, input, scalars, true)
        }
        (_, ValueType::Scalar) => {
            let scalars = build::scalar(ctx, &binary.right, grid)?;
            let input = build::vector(ctx, &binary.left, grid)?;
            with_scalar(ctx, binary, input, scalars, false)
        }
        _ if binary.op.is_set() => sets::vector(ctx, binary, grid),
        _ => vectors::vector(ctx, binary, grid),
    }
}

/// A vector and a scalar.
struct WithScalar<'a> {
    input: Vector<'a>,
    operation: values::Operation,
    scalars: Scalars,
    scalar_is_left: bool,
}

fn with_scalar<'a>(
    ctx: &Context<'_>,
    binary: &Binary,
    input: Vector<'a>,
    scalars: Scalars,
    scalar_is_left: bool,
) -> Result<Vector<'a>, EvalError> {
    let operation = values::Operation::new(binary);
    let unnames = operation.op.changes_meaning() || operation.returns_bool;
    let operator = WithScalar { input, operation, scalars, scalar_is_left };
    relabel(
        ctx,
        Box::new(operator),
        |series| if unnames { series.unnamed(ctx) } else { series.clone() },
    )
}

impl Operator for WithScalar<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn start(&mut self) {
        self.input.start();
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        let operation = self.operation;
        if let (false, Some(f)) = (column.has_histograms(), operation.float_arithmetic()) {
            for (place, value) in column.values.iter_mut().enumerate() {
                let scalar = self.scalars.get(place);
                *value = if self.scalar_is_left { f(scalar, *value) } else { f(*value, scalar) };
            }
            return Ok(());
        }
        for place in 0..column.len() {
            let Some(cell) = column.get(place) else { continue };
            let scalar = Cell::Float(self.scalars.get(place));
            let (left, right) = if self.scalar_is_left { (scalar, cell) } else { (cell, scalar) };
            let result = operation.apply(ctx, left, right);
            // A filter keeps the vector's value, on whichever side it stands.
            let value = match result {
                Some(values::Combined::Filtered(true)) => continue,
                Some(values::Combined::Filtered(false)) | None => None,
                Some(values::Combined::Value(value)) => Some(value),
            };
            column.unset(place);
            if let Some(value) = value {
                column.set(place, value);
            }
        }
        Ok(())
    }
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Kept by a filter, it is the left side's value.
fn kept(combined: values::Combined, left: Cell<'_>) -> Option<Value> {
    match combined {
        values::Combined::Value(value) => Some(value),
        values::Combined::Filtered(true) => Some(left.to_value()),
        values::Combined::Filtered(false) => None,
    }
}
