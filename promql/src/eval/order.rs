//! `sort` and its relatives. They order instant queries; range queries are always ordered by labels.

use std::cmp::Ordering;

use super::build;
use super::column::{Cell, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::label_functions::string;
use super::operator::{Buffered, Series, Vector, collect};
use super::quantile::nan_first;
use crate::ast::Call;
use crate::functions::Function;
use crate::model::Annotation;

pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let function = call.function;
    if ctx.times.is_range() {
        ctx.annotate(call.span, Annotation::SortInRangeQuery);
    }
    let input = build::vector(ctx, call.args[0].inside_parens(), grid)?;
    let by_value = matches!(function, Function::Sort | Function::SortDesc);
    let descending = matches!(function, Function::SortDesc | Function::SortByLabelDesc);
    let mut parts = collect(ctx, input)?;
    if by_value {
        parts.iter_mut().for_each(|(_, column)| column.drop_histograms());
    }
    if grid.len == 1 {
        if by_value {
            parts.sort_by(|a, b| compare_values(&a.1, &b.1, descending));
        } else {
            let names: Vec<&str> = (1..call.args.len()).map(|place| string(call, place)).collect();
            parts.sort_by(|a, b| {
                let order = compare_labels(&a.0, &b.0, &names);
                if descending { order.reverse() } else { order }
            });
        }
    }
    Ok(Box::new(Buffered::new(parts)))
}

/// NaN comes last in both directions.
fn compare_values(a: &Column, b: &Column, descending: bool) -> Ordering {
    let value = |column: &Column| match column.get(0) {
        Some(Cell::Float(value)) => value,
        _ => f64::NAN,
    };
    let (a, b) = (value(a), value(b));
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => nan_first(b, a),
        (false, false) => nan_first(a, b),
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    }
}

/// By the named labels in natural order, then by all labels.
fn compare_labels(a: &Series, b: &Series, names: &[&str]) -> Ordering {
    for name in names {
        let order = natural(a.labels.get(name), b.labels.get(name));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.labels.cmp(&b.labels)
}

/// Runs of digits compare as numbers, everything else as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (a_part, a_rest) = split_run(a);
        let (b_part, b_rest) = split_run(b);
        if a_part.is_empty() || b_part.is_empty() {
            return a_part.len().min(1).cmp(&b_part.len().min(1));
        }
        let digits = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
        let order = if digits(a_part) && digits(b_part) {
            // Without leading zeros the longer number is the greater one.
            let (a_number, b_number) =
                (a_part.trim_start_matches('0'), b_part.trim_start_matches('0'));
            a_number
                .len()
                .cmp(&b_number.len())
                .then(a_number.cmp(b_number))
                .then(a_part.cmp(b_part))
        } else {
            a_part.cmp(b_part)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
}

/// Splits off the leading run of digits or of other characters.
fn split_run(text: &str) -> (&str, &str) {
    let Some(first) = text.chars().next() else { return ("", "") };
    let digits = first.is_ascii_digit();
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order() {
        let mut names = ["node10", "node9", "node", "node1a", "node01", "node1", ""];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "node", "node01", "node1", "node1a", "node9", "node10"]);
    }
}
