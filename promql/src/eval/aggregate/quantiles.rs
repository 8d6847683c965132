//! `quantile`.

use super::super::column::Column;
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::operator::{Buffered, Vector};
use super::super::quantile::{is_outside, quantile};
use super::super::scalar::Scalars;
use super::{Aggregation, Groups};
use crate::model::Annotation;

pub(super) fn vector<'a>(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    mut input: Vector<'_>,
    parameter: &Scalars,
) -> Result<Vector<'a>, EvalError> {
    let groups = Groups::new(aggregation, input.series());
    let len = aggregation.grid.len;
    for at in 0..len {
        let q = parameter.get(at);
        if is_outside(q) {
            ctx.annotate(aggregation.parameter_span, Annotation::InvalidQuantile { quantile: q });
        }
    }
    let mut values: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); len]; groups.series.len()];
    ctx.hold_columns(groups.series.len().saturating_mul(3), &aggregation.grid)?;
    let mut column = Column::default();
    for group in &groups.of {
        input.next(ctx, &mut column)?;
        for at in column.present.places() {
            values[*group][at].push(column.values[at]);
        }
        ctx.hold(column.present.count() * 8)?;
        if column.histograms.iter().any(Option::is_some) {
            aggregation.note_ignored_histogram(ctx);
        }
    }
    let mut parts = Vec::with_capacity(groups.series.len());
    for (group, series) in values.iter_mut().zip(groups.series) {
        let mut result = Column::new(len);
        for (at, values) in group.iter_mut().enumerate().filter(|(_, values)| !values.is_empty()) {
            result.set_float(at, quantile(parameter.get(at), values));
        }
        parts.push((series, result));
    }
    Ok(Box::new(Buffered::new(parts)))
}
