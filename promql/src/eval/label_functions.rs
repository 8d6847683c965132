//! `label_replace` and `label_join`: they look at labels only.

use regexp::Regexp;

use super::build;
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Series, Vector, relabel};
use crate::ast::{Call, Expr};
use crate::model::METRIC_NAME;

pub(super) fn replace<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let (target, template) = (string(call, 1), string(call, 2));
    let (source, pattern) = (string(call, 3), string(call, 4));
    let Ok(regexp) = Regexp::anchored(pattern) else {
        return Err(EvalError::execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        )));
    };
    if target.is_empty() {
        return Err(EvalError::execution(format!(
            "invalid destination label name in label_replace(): {target}"
        )));
    }
    let input = build::vector(ctx, call.args[0].inside_parens(), grid)?;
    relabel(ctx, input, |series| {
        let value = series.labels.get(source).as_bytes();
        match regexp.captures(value) {
            Some(captures) => {
                with(series, target, &String::from_utf8_lossy(&captures.expand(template)))
            }
            None => series.clone(),
        }
    })
}

pub(super) fn join<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let (target, separator) = (string(call, 1), string(call, 2));
    let sources: Vec<&str> = (3..call.args.len()).map(|place| string(call, place)).collect();
    if let Some(source) = sources.iter().find(|source| source.is_empty()) {
        return Err(EvalError::execution(format!(
            "invalid source label name in label_join(): {source}"
        )));
    }
    if target.is_empty() {
        return Err(EvalError::execution(format!(
            "invalid destination label name in label_join(): {target}"
        )));
    }
    let input = build::vector(ctx, call.args[0].inside_parens(), grid)?;
    relabel(ctx, input, |series| {
        let values: Vec<&str> = sources.iter().map(|source| series.labels.get(source)).collect();
        with(series, target, &values.join(separator))
    })
}

/// A name that is set on purpose is not dropped.
fn with(series: &Series, name: &str, value: &str) -> Series {
    let drop_name = series.drop_name && name != METRIC_NAME;
    Series { labels: series.labels.with(name, value), drop_name }
}

/// A string argument; the parser has checked that it is one.
pub(super) fn string(call: &Call, place: usize) -> &str {
    match call.args.get(place).map(Expr::inside_parens) {
        Some(Expr::String(string)) => &string.value,
        _ => "",
    }
}
