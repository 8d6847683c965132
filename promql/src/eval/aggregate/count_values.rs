//! `count_values`: the only aggregation whose groups depend on samples.

use hashbrown::HashMap;

use super::super::column::{Cell, Column};
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::operator::{Buffered, Series, Vector};
use super::Aggregation;
use crate::model::number::Plain;
use crate::model::text::Quoted;

pub(super) fn vector<'a>(
    ctx: &Context<'_>,
    mut aggregation: Aggregation,
    mut input: Vector<'_>,
    label: &str,
) -> Result<Vector<'a>, EvalError> {
    if label.is_empty() {
        return Err(EvalError::execution(format!("invalid label name {}", Quoted(label))));
    }
    if !aggregation.without {
        aggregation.grouping.push(label.to_owned());
    }
    let len = aggregation.grid.len;
    let series: Vec<Series> = input.series().to_vec();
    let mut places = HashMap::new();
    let mut parts: Vec<(Series, Column)> = Vec::new();
    let mut column = Column::default();
    for member in &series {
        input.next(ctx, &mut column)?;
        for at in 0..len {
            let value = match column.get(at) {
                Some(Cell::Float(value)) => Plain(value).to_string(),
                Some(Cell::Histogram(histogram)) => histogram.to_string(),
                None => continue,
            };
            let labels = aggregation.group_labels(&member.labels.with(label, &value));
            let part = match places.get(&labels) {
                Some(part) => *part,
                None => {
                    ctx.hold_columns(1, &aggregation.grid)?;
                    parts.push((Series::new(labels.clone()), Column::new(len)));
                    places.insert(labels, parts.len() - 1);
                    parts.len() - 1
                }
            };
            let counts = &mut parts[part].1;
            counts.set_float(at, counts.values[at] + 1.0);
        }
    }
    Ok(Box::new(Buffered::new(parts)))
}
