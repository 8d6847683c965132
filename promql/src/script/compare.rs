//! Whether an answer is what a script expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Eval, Expected, ExpectedOutcome, ExpectedTexts};
use crate::eval::{Answer, Outcome, Point, VectorElement};
use crate::model::{Histogram, Labels, Value, is_stale};

/// Relative difference up to which floats count as equal.
const EPSILON: f64 = 1e-6;

/// Equal but for rounding. NaN equals NaN; the stale marker equals only itself.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() {
        return true;
    }
    if a == b {
        return true;
    }
    let difference = (a - b).abs();
    let magnitude = a.abs() + b.abs();
    if a == 0.0 || b == 0.0 || magnitude < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / magnitude.min(f64::MAX) < EPSILON
}

fn histograms_equal(a: &Histogram, b: &Histogram) -> bool {
    let buckets_equal = |a: &crate::model::histogram::Buckets,
                         b: &crate::model::histogram::Buckets| {
        a.len() == b.len()
            && a.iter().zip(b.iter()).all(|((i, a), (j, b))| i == j && almost_equal(a, b))
    };
    let bounds_equal = a.custom_bounds.len() == b.custom_bounds.len()
        && a.custom_bounds.iter().zip(b.custom_bounds.iter()).all(|(a, b)| almost_equal(*a, *b));
    a.schema == b.schema
        && bounds_equal
        && almost_equal(a.zero_threshold, b.zero_threshold)
        && almost_equal(a.zero_count, b.zero_count)
        && almost_equal(a.count, b.count)
        && almost_equal(a.sum, b.sum)
        && buckets_equal(&a.positive, &b.positive)
        && buckets_equal(&a.negative, &b.negative)
}

enum Found<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

fn check_value(found: &Found<'_>, expected: &Expected) -> Result<(), String> {
    match (found, expected) {
        (Found::Float(found), Expected::Float(expected)) if almost_equal(*found, *expected) => {
            Ok(())
        }
        (Found::Float(found), Expected::Float(expected)) => {
            Err(format!("expected {expected}, got {found}"))
        }
        (Found::Histogram(found), Expected::Histogram { histogram, with_hint }) => {
            if !histograms_equal(found, histogram) {
                return Err(format!(
                    "expected {histogram} ({histogram:?}), got {found} ({found:?})"
                ));
            }
            if *with_hint && found.counter_reset != histogram.counter_reset {
                let (expected, found) = (histogram.counter_reset, found.counter_reset);
                return Err(format!("expected counter reset hint {expected:?}, got {found:?}"));
            }
            Ok(())
        }
        (Found::Float(found), Expected::Histogram { .. }) => {
            Err(format!("expected a histogram, got {found}"))
        }
        (Found::Histogram(found), Expected::Float(expected)) => {
            Err(format!("expected {expected}, got {found}"))
        }
    }
}

/// Compares the answer at the query's own times.
pub(super) fn outcome(eval: &Eval, answer: &Answer) -> Result<(), String> {
    match (&eval.outcome, &answer.outcome) {
        (ExpectedOutcome::Scalar(expected), Outcome::Scalar { value, .. })
            if almost_equal(*expected, *value) =>
        {
            Ok(())
        }
        (ExpectedOutcome::Scalar(expected), Outcome::Scalar { value, .. }) => {
            Err(format!("expected scalar {expected}, got {value}"))
        }
        (ExpectedOutcome::String(expected), Outcome::String { value, .. }) if expected == value => {
            Ok(())
        }
        (ExpectedOutcome::Series(expected), Outcome::Vector(found)) => {
            vector(eval.ordered, expected, found)
        }
        (ExpectedOutcome::Series(expected), Outcome::Matrix(found)) => {
            let grid = match (eval.range_vector, eval.times) {
                (Some(grid), _) => grid,
                (None, crate::eval::Times::Range { start, end, step }) => {
                    crate::eval::Grid::range(start, end, step)
                }
                (None, crate::eval::Times::Instant(_)) => {
                    return Err("expected no range vector".to_owned());
                }
            };
            if found.windows(2).any(|neighbours| neighbours[0].labels >= neighbours[1].labels) {
                return Err("series are not in the order of their labels".to_owned());
            }
            let mut wanted: BTreeMap<&Labels, &Vec<Option<Expected>>> =
                expected.iter().map(|(labels, points)| (labels, points)).collect();
            wanted.retain(|_, points| points.iter().any(Option::is_some));
            for series in found {
                let Some(points) = wanted.remove(&series.labels) else {
                    return Err(format!(
                        "unexpected series {} {:?}",
                        series.labels,
                        series.points()
                    ));
                };
                let found = series.points();
                let with_times = points
                    .iter()
                    .enumerate()
                    .filter_map(|(at, point)| Some((grid.time(at), point.as_ref()?)));
                let expected: Vec<(i64, &Expected)> = with_times.collect();
                let times: Vec<i64> = expected.iter().map(|(ts, _)| *ts).collect();
                let found_times: Vec<i64> = found.iter().map(Point::ts).collect();
                if times != found_times {
                    return Err(format!(
                        "{}: expected points at {times:?}, got {found:?}",
                        series.labels
                    ));
                }
                for ((ts, expected), found) in expected.iter().zip(&found) {
                    let found = match found {
                        Point::Float(_, value) => Found::Float(*value),
                        Point::Histogram(_, histogram) => Found::Histogram(histogram),
                    };
                    check_value(&found, expected)
                        .map_err(|err| format!("{} at {ts}: {err}", series.labels))?;
                }
            }
            match wanted.keys().next() {
                Some(labels) => Err(format!("expected series {labels} is missing")),
                None => Ok(()),
            }
        }
        (_, found) => Err(format!("unexpected kind of result: {found:?}")),
    }
}

type ExpectedSeries = (Labels, Vec<Option<Expected>>);

fn vector(
    ordered: bool,
    expected: &[ExpectedSeries],
    found: &[VectorElement],
) -> Result<(), String> {
    if ordered {
        let order: Vec<&Labels> = found.iter().map(|element| &element.labels).collect();
        let wanted: Vec<&Labels> = expected.iter().map(|(labels, _)| labels).collect();
        if order != wanted {
            return Err(format!("expected the order {wanted:?}, got {order:?}"));
        }
    }
    let mut wanted: BTreeMap<&Labels, &Expected> = BTreeMap::new();
    for (labels, points) in expected {
        let point = points
            .first()
            .and_then(Option::as_ref)
            .ok_or_else(|| format!("no value expected for {labels}"))?;
        if wanted.insert(labels, point).is_some() {
            return Err(format!("{labels} is expected twice"));
        }
    }
    for element in found {
        let Some(expected) = wanted.remove(&element.labels) else {
            return Err(format!("unexpected element {} {:?}", element.labels, element.value));
        };
        let value = match &element.value {
            Value::Float(value) => Found::Float(*value),
            Value::Histogram(histogram) => Found::Histogram(histogram),
        };
        check_value(&value, expected).map_err(|err| format!("{}: {err}", element.labels))?;
    }
    match wanted.keys().next() {
        Some(labels) => Err(format!("expected element {labels} is missing")),
        None => Ok(()),
    }
}

/// Compares one time of a range query with the expectation of an instant one.
pub(super) fn step(eval: &Eval, answer: &Answer, ts: i64) -> Result<(), String> {
    let Outcome::Matrix(matrix) = &answer.outcome else {
        return Err("expected a matrix".to_owned());
    };
    let mut elements = Vec::new();
    for series in matrix {
        for point in series.points().into_iter().filter(|point| point.ts() == ts) {
            let value = match point {
                Point::Float(_, value) => Value::Float(value),
                Point::Histogram(_, histogram) => Value::Histogram(Arc::clone(histogram)),
            };
            elements.push(VectorElement { labels: series.labels.clone(), ts, value });
        }
    }
    match &eval.outcome {
        ExpectedOutcome::Scalar(expected) => match elements.as_slice() {
            [VectorElement { value: Value::Float(value), .. }]
                if almost_equal(*value, *expected) =>
            {
                Ok(())
            }
            other => Err(format!("expected scalar {expected}, got {other:?}")),
        },
        ExpectedOutcome::String(_) => Err("strings have no range".to_owned()),
        ExpectedOutcome::Series(expected) => vector(false, expected, &elements),
    }
}

pub(super) fn annotations(eval: &Eval, answer: &Answer) -> Result<(), String> {
    texts("warning", &eval.warnings, &answer.annotations.warnings())?;
    texts("info", &eval.infos, &answer.annotations.infos())
}

fn texts(kind: &str, expected: &ExpectedTexts, found: &[String]) -> Result<(), String> {
    if expected.forbidden && !found.is_empty() {
        return Err(format!("expected no {kind}, got {found:?}"));
    }
    if expected.required && found.is_empty() {
        return Err(format!("expected a {kind}, got none"));
    }
    for text in &expected.texts {
        if !found.iter().any(|found| text.matches(found)) {
            return Err(format!("expected {kind} {text:?}, got {found:?}"));
        }
    }
    if !expected.texts.is_empty()
        && let Some(other) =
            found.iter().find(|found| !expected.texts.iter().any(|text| text.matches(found)))
    {
        return Err(format!("unexpected {kind} {other}"));
    }
    Ok(())
}
