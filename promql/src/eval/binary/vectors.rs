//! Arithmetic and comparisons between two vectors.

use super::super::build;
use super::super::column::Column;
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::grid::Grid;
use super::super::operator::{Buffered, Operator, Series, Vector, collect, merge};
use super::pairing::{self, Plan};
use super::values::Operation;
use crate::ast::{Binary, Cardinality};

pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    binary: &Binary,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let left = build::vector(ctx, &binary.left, grid)?;
    let right = build::vector(ctx, &binary.right, grid)?;
    let matching = binary.matching.clone().unwrap_or_default();
    let operation = Operation::new(binary);
    let many_is_left = matching.cardinality != Cardinality::OneToMany;
    let (many, one) = if many_is_left { (left, right) } else { (right, left) };
    let plan = Plan::new(ctx, many.series(), one.series(), matching, operation);
    match plan.simple() {
        Some(places) => {
            let series = places.iter().flatten().map(|(_, series)| series.clone()).collect();
            let mut places: Vec<Option<usize>> =
                places.into_iter().map(|place| place.map(|(one, _)| one)).collect();
            let (mut many, mut one) = (many, one);
            leave_out_unmatched(&mut many, &mut one, &mut places);
            let one = collect(ctx, one)?;
            if places.iter().all(Option::is_none) {
                build::drain(ctx, many, |_| {})?;
                return Ok(Box::new(Buffered::new(Vec::new())));
            }
            let simple = Simple {
                many,
                one,
                places,
                series,
                operation,
                many_is_left,
                next: 0,
                column: Column::default(),
            };
            merge(ctx, Box::new(simple))
        }
        None => {
            let one = collect(ctx, one)?;
            merge(ctx, pairing::evaluate(ctx, plan, many, &one, grid)?)
        }
    }
}

/// Spares reading what nobody matches, such as all hosts but the one that the other side is about. `places` has the partner
/// of each series of the "many" side.
fn leave_out_unmatched(
    many: &mut Vector<'_>,
    one: &mut Vector<'_>,
    places: &mut Vec<Option<usize>>,
) {
    let mut matched: Vec<usize> = places.iter().flatten().copied().collect();
    matched.sort_unstable();
    matched.dedup();
    if matched.len() < one.series().len() && one.keep_only(&matched) {
        for place in places.iter_mut().flatten() {
            *place = matched.partition_point(|kept| *kept < *place);
        }
    }
    let with_partner: Vec<usize> =
        (0..places.len()).filter(|place| places[*place].is_some()).collect();
    if with_partner.len() < places.len() && many.keep_only(&with_partner) {
        places.retain(Option::is_some);
    }
}

/// Every element has at most one partner, known from labels: columns are combined as they come.
struct Simple<'a> {
    many: Vector<'a>,
    one: Vec<(Series, Column)>,
    /// The partner of each series of the "many" side.
    places: Vec<Option<usize>>,
    series: Vec<Series>,
    operation: Operation,
    many_is_left: bool,
    next: usize,
    column: Column,
}

impl Operator for Simple<'_> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        loop {
            let place = self.places[self.next];
            self.next += 1;
            self.many.next(ctx, &mut self.column)?;
            let Some(one) = place else { continue };
            let one = &self.one[one].1;
            let (left, right) =
                if self.many_is_left { (&self.column, one) } else { (one, &self.column) };
            self.operation.columns(ctx, left, right, column);
            if self.places[self.next..].iter().all(Option::is_none) {
                // What nobody matches is evaluated all the same: it may fail, or have something to say.
                for _ in self.next..self.places.len() {
                    self.many.next(ctx, &mut self.column)?;
                }
                self.next = self.places.len();
            }
            return Ok(());
        }
    }
}
