//! `topk` and `bottomk`.

use std::cmp::Ordering;

use super::super::column::{Cell, Column};
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::operator::{Buffered, Series, Vector};
use super::super::quantile::nan_first;
use super::super::scalar::Scalars;
use super::{Aggregation, Groups};
use crate::ast::AggregateOp;

/// A candidate: its value and the place of its series.
type Candidate = (f64, usize);

pub(super) fn vector<'a>(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    mut input: Vector<'_>,
    parameter: &Scalars,
) -> Result<Vector<'a>, EvalError> {
    let groups = Groups::new(aggregation, input.series());
    let series: Vec<Series> = input.series().to_vec();
    let len = aggregation.grid.len;
    let top = aggregation.op == AggregateOp::TopK;
    // Best first; NaN is worst, and of equals the one that came first stays.
    let rank = |a: &Candidate, b: &Candidate| -> Ordering {
        let by_value = match (a.0.is_nan(), b.0.is_nan()) {
            (false, false) if top => nan_first(b.0, a.0),
            (false, false) => nan_first(a.0, b.0),
            (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
        };
        by_value.then(a.1.cmp(&b.1))
    };
    let wanted = |at: usize| (parameter.get(at).max(0.0) as usize).min(series.len());
    // Sorted lists of at most k candidates, for every group and time.
    let mut best: Vec<Vec<Vec<Candidate>>> = vec![vec![Vec::new(); len]; groups.series.len()];
    let mut column = Column::default();
    for (place, group) in groups.of.iter().enumerate() {
        input.next(ctx, &mut column)?;
        let mut n_added = 0;
        for (at, list) in best[*group].iter_mut().enumerate() {
            let value = match column.get(at) {
                Some(Cell::Float(value)) => value,
                Some(Cell::Histogram(_)) => {
                    aggregation.note_ignored_histogram(ctx);
                    continue;
                }
                None => continue,
            };
            let k = wanted(at);
            let candidate = (value, place);
            if list.len() >= k
                && list.last().is_none_or(|worst| rank(&candidate, worst) != Ordering::Less)
            {
                continue;
            }
            let position = list.partition_point(|other| rank(other, &candidate) == Ordering::Less);
            list.insert(position, candidate);
            n_added += usize::from(list.len() <= k);
            list.truncate(k);
        }
        ctx.hold(n_added * size_of::<Candidate>())?;
    }
    // In the order of rank at the first time, so that instant queries come out ranked, group by group.
    let mut places: Vec<Option<usize>> = vec![None; series.len()];
    let mut parts: Vec<(Series, Column)> = Vec::new();
    for group in &best {
        for (at, list) in group.iter().enumerate() {
            for (value, place) in list {
                let part = match places[*place] {
                    Some(part) => part,
                    None => {
                        ctx.hold_columns(1, &aggregation.grid)?;
                        parts.push((series[*place].clone(), Column::new(len)));
                        *places[*place].insert(parts.len() - 1)
                    }
                };
                parts[part].1.set_float(at, *value);
            }
        }
    }
    Ok(Box::new(Buffered::new(parts)))
}
