//! `and`, `or`, `unless`.

use super::super::build;
use super::super::column::{Bitmap, Column};
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::grid::Grid;
use super::super::operator::{Operator, Series, Vector, merge};
use super::signature::Signatures;
use crate::ast::{Binary, BinaryOp, Matching};
use crate::source::Need;

pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    binary: &Binary,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let matching = binary.matching.clone().unwrap_or_default();
    let mut left = build::vector(ctx, &binary.left, grid)?;
    if binary.op == BinaryOp::Or {
        let right = build::vector(ctx, &binary.right, grid)?;
        return either(ctx, left, right, &matching, grid);
    }
    // Of the right side only presence counts.
    let mut right = build::vector_needing(ctx, &binary.right, grid, Need::Presence)?;
    let keep = binary.op == BinaryOp::And;
    leave_out_unmatched(&mut left, &mut right, &matching, keep);
    let mut signatures = Signatures::default();
    let of_right = signatures.number_all(right.series(), &matching);
    let mut present = vec![Bitmap::new(grid.len); signatures.len()];
    ctx.hold(signatures.len().saturating_mul(grid.len / 8))?;
    let mut numbers = of_right.iter();
    build::drain(ctx, right, |column| {
        if let Some(number) = numbers.next() {
            present[*number].add_all(&column.occupied());
        }
    })?;
    let of_left = signatures.number_all(left.series(), &matching);
    present.resize(signatures.len(), Bitmap::new(grid.len));
    Ok(Box::new(Masked { input: left, numbers: of_left, present, keep, next: 0 }))
}

/// Spares reading what the other side has nothing to say about; of the left side only where that means that it goes.
fn leave_out_unmatched(
    left: &mut Vector<'_>,
    right: &mut Vector<'_>,
    matching: &Matching,
    keep: bool,
) {
    let mut signatures = Signatures::default();
    let of_left = signatures.number_all(left.series(), matching);
    let n_left = signatures.len();
    let of_right = signatures.number_all(right.series(), matching);
    let mut is_right = vec![false; signatures.len()];
    of_right.iter().for_each(|number| is_right[*number] = true);
    let matched = |numbers: &[usize], is_matched: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..numbers.len()).filter(|place| is_matched(numbers[*place])).collect()
    };
    // Numbers of signatures that the left side has are below those of others.
    let of_both = matched(&of_right, &|number| number < n_left);
    if of_both.len() < of_right.len() {
        right.keep_only(&of_both);
    }
    let of_both = matched(&of_left, &|number| is_right[number]);
    if keep && of_both.len() < of_left.len() {
        left.keep_only(&of_both);
    }
}

/// Keeps the times at which the other side has (or has not) an element of the same signature.
struct Masked<'a> {
    input: Vector<'a>,
    numbers: Vec<usize>,
    present: Vec<Bitmap>,
    keep: bool,
    next: usize,
}

impl Operator for Masked<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        column.mask(&self.present[self.numbers[self.next]], self.keep);
        self.next += 1;
        Ok(())
    }
}

/// The left side, and behind it what the right side has beyond.
struct Either<'a> {
    left: Vector<'a>,
    right: Vector<'a>,
    series: Vec<Series>,
    numbers: Vec<usize>,
    /// Where the left side has an element, by signature.
    present: Vec<Bitmap>,
    next: usize,
}

fn either<'a>(
    ctx: &Context<'_>,
    left: Vector<'a>,
    right: Vector<'a>,
    matching: &Matching,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let series: Vec<Series> = left.series().iter().chain(right.series()).cloned().collect();
    let mut signatures = Signatures::default();
    let numbers = signatures.number_all(&series, matching);
    ctx.hold(signatures.len().saturating_mul(grid.len / 8))?;
    let present = vec![Bitmap::new(grid.len); signatures.len()];
    merge(ctx, Box::new(Either { left, right, series, numbers, present, next: 0 }))
}

impl Operator for Either<'_> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        let present = &mut self.present[self.numbers[self.next]];
        if self.next < self.left.series().len() {
            self.left.next(ctx, column)?;
            present.add_all(&column.occupied());
        } else {
            self.right.next(ctx, column)?;
            column.mask(present, false);
        }
        self.next += 1;
        Ok(())
    }
}
