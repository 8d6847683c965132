//! `info`: adds the labels of info metrics, such as `target_info`, to the series they describe.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::build;
use super::column::{Cell, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{Buffered, Series, Vector, collect, merge};
use super::select::{InstantSelect, Wanted};
use crate::ast::{Call, Expr};
use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::plan::Moment;
use crate::source::Need;

/// The labels by which an info metric and what it describes are told to belong together.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The info metric that is used where none is named.
const DEFAULT_INFO: &str = "target_info";

pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let base_expr = call.args[0].inside_parens();
    let base = collect(ctx, build::vector(ctx, base_expr, grid)?)?;
    let asked: &[Matcher] = match call.args.get(1).map(Expr::inside_parens) {
        Some(Expr::Selector(selector)) => &selector.matchers,
        _ => &[],
    };
    let (names, data): (Vec<Matcher>, Vec<Matcher>) =
        asked.iter().cloned().partition(|matcher| matcher.name() == METRIC_NAME);
    // Info metrics themselves are not described any further.
    let default = [Matcher::equal(METRIC_NAME, DEFAULT_INFO)];
    let ignored_names: &[Matcher] = if call.args.len() < 2 { &default } else { &names };
    // Names that are only excluded say nothing about what an info metric is.
    let names_infos = ignored_names
        .iter()
        .any(|matcher| matches!(matcher.op(), MatchOp::Equal | MatchOp::Regexp));
    let is_info = |labels: &Labels| {
        names_infos && ignored_names.iter().all(|matcher| matcher.matches(labels))
    };
    let described: Vec<&Labels> =
        base.iter().map(|(series, _)| &series.labels).filter(|labels| !is_info(labels)).collect();
    let infos = infos(ctx, base_expr, &described, &names, &data, grid)?;
    let needs_match = data.iter().any(|matcher| !matcher.matches_empty());
    let mut results: HashMap<Series, usize> = HashMap::new();
    let mut parts: Vec<(Series, Column)> = Vec::new();
    for (series, column) in &base {
        let ignored = is_info(&series.labels);
        let mut known: Vec<(Vec<usize>, Option<Labels>)> = Vec::new();
        for at in 0..grid.len {
            let Some(cell) = column.get(at) else { continue };
            let labels = if ignored {
                Some(series.labels.clone())
            } else {
                let present = present(&infos, &series.labels, at)?;
                match known.iter().find(|(places, _)| *places == present) {
                    Some((_, labels)) => labels.clone(),
                    None => {
                        let labels =
                            enriched(&series.labels, &infos, &present, &data, needs_match)?;
                        known.push((present, labels.clone()));
                        labels
                    }
                }
            };
            let Some(labels) = labels else { continue };
            let series = Series { labels, drop_name: series.drop_name };
            let part = match results.get(&series) {
                Some(part) => *part,
                None => {
                    ctx.hold_columns(1, grid)?;
                    parts.push((series.clone(), Column::new(grid.len)));
                    results.insert(series, parts.len() - 1);
                    parts.len() - 1
                }
            };
            if parts[part].1.get(at).is_some() {
                return Err(EvalError::execution(super::operator::SAME_LABELSET));
            }
            parts[part].1.set(at, cell.to_value());
        }
    }
    merge(ctx, Box::new(Buffered::new(parts)))
}

/// An info series and, at each time, when its sample was taken.
struct Info {
    labels: Labels,
    taken: Column,
}

/// Finds the info series for what is to be described.
fn infos(
    ctx: &Context<'_>,
    base: &Expr,
    described: &[&Labels],
    names: &[Matcher],
    data: &[Matcher],
    grid: &Grid,
) -> Result<Vec<Info>, EvalError> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for labels in described {
        for name in IDENTIFYING {
            let value = labels.get(name);
            if !value.is_empty() {
                values.entry(name).or_default().insert(value);
            }
        }
    }
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut matchers = Vec::new();
    for (name, values) in values {
        let pattern: Vec<String> = values.into_iter().map(quoted_pattern).collect();
        let matcher = Matcher::new(name, MatchOp::Regexp, &pattern.join("|"));
        matchers.push(matcher.map_err(|err| EvalError::execution(err.to_string()))?);
    }
    if names.is_empty() {
        matchers.push(Matcher::equal(METRIC_NAME, DEFAULT_INFO));
    } else if names
        .iter()
        .all(|matcher| matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegexp))
    {
        // Where names are only excluded, those remain that are named as info metrics.
        let matcher = Matcher::new(METRIC_NAME, MatchOp::Regexp, ".+_info");
        matchers.push(matcher.map_err(|err| EvalError::execution(err.to_string()))?);
    }
    matchers.extend(names.iter().chain(data).cloned());
    let moment = moment(ctx, base)?.unwrap_or_default();
    let values = InstantSelect::open_at(ctx, &matchers, moment, grid, Wanted::Value, Need::Values)?;
    let mut has_histogram = false;
    build::drain(ctx, values, |column| has_histogram |= column.has_histograms())?;
    if has_histogram {
        return Err(EvalError::execution("info sample should be float"));
    }
    let taken =
        InstantSelect::open_at(ctx, &matchers, moment, grid, Wanted::Timestamp, Need::Presence)?;
    let found = collect(ctx, taken)?;
    Ok(found.into_iter().map(|(series, taken)| Info { labels: series.labels, taken }).collect())
}

/// When the first selector of an expression looks at its samples: info series are looked at then, too.
fn moment(ctx: &Context<'_>, expr: &Expr) -> Result<Option<Moment>, EvalError> {
    match expr {
        Expr::Selector(selector) => Moment::new(&selector.shift, &ctx.times).map(Some),
        Expr::Range(range) => Moment::new(&range.selector.shift, &ctx.times).map(Some),
        Expr::Subquery(subquery) => {
            let outer = Moment::new(&subquery.shift, &ctx.times)?;
            Ok(moment(ctx, &subquery.expr)?.map(|inner| inner.within(&outer)))
        }
        Expr::Unary(unary) => moment(ctx, &unary.expr),
        Expr::Paren(paren) => moment(ctx, &paren.expr),
        Expr::Binary(binary) => match moment(ctx, &binary.left)? {
            Some(found) => Ok(Some(found)),
            None => moment(ctx, &binary.right),
        },
        Expr::Aggregate(aggregate) => moment(ctx, &aggregate.expr),
        Expr::Call(call) => {
            for arg in &call.args {
                if let Some(found) = moment(ctx, arg)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        Expr::Number(_) | Expr::String(_) => Ok(None),
    }
}

/// A value as a pattern that matches only itself.
fn quoted_pattern(value: &str) -> String {
    let mut pattern = String::with_capacity(value.len());
    for character in value.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// The info series that describe some labels at a time: of each info metric the newest.
fn present(infos: &[Info], labels: &Labels, at: usize) -> Result<Vec<usize>, EvalError> {
    let mut newest: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (place, info) in infos.iter().enumerate() {
        if IDENTIFYING.iter().any(|name| info.labels.get(name) != labels.get(name)) {
            continue;
        }
        let Some(Cell::Float(taken)) = info.taken.get(at) else { continue };
        match newest.entry(info.labels.metric_name()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((taken, place));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let (known, other) = *entry.get();
                if known == taken {
                    let message = format!(
                        "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                        infos[other].labels.braced(),
                        (known * 1_000.0) as i64,
                        info.labels.braced(),
                        (taken * 1_000.0) as i64
                    );
                    return Err(EvalError::execution(message));
                }
                if taken > known {
                    entry.insert((taken, place));
                }
            }
        }
    }
    Ok(newest.into_values().map(|(_, place)| place).collect())
}

/// The labels with those of info series added; nothing if a label that was asked for is missing.
fn enriched(
    labels: &Labels,
    infos: &[Info],
    present: &[usize],
    data: &[Matcher],
    needs_match: bool,
) -> Result<Option<Labels>, EvalError> {
    if present.is_empty() && needs_match {
        return Ok(None);
    }
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for place in present {
        for label in &infos[*place].labels {
            let (name, value) = (&*label.name, &*label.value);
            let asked = data.is_empty() || data.iter().any(|matcher| matcher.name() == name);
            if name == METRIC_NAME || !asked {
                continue;
            }
            if added.get(name).is_some_and(|known| *known != value) {
                return Err(EvalError::execution(format!("conflicting label: {name}")));
            }
            if labels.get(name).is_empty() {
                added.insert(name, value);
            }
        }
    }
    let with = |labels: Labels, (name, value): (&str, &str)| labels.with(name, value);
    Ok(Some(added.into_iter().fold(labels.clone(), with)))
}
