//! The result of a query.

use std::sync::Arc;

use super::build;
use super::column::{Cell, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::operator::{self, Series, Vector};
use super::range;
use crate::ast::{Expr, ValueType};
use crate::model::{Annotations, Histogram, Labels, Samples, Value};

/// A query's result and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub outcome: Outcome,
    pub annotations: Annotations,
    /// Samples read from the source.
    pub samples_read: u64,
}

/// A query's result.
#[derive(Clone, Debug)]
pub enum Outcome {
    Scalar {
        ts: i64,
        value: f64,
    },
    String {
        ts: i64,
        value: String,
    },
    /// Of an instant query, in the order of evaluation.
    Vector(Vec<VectorElement>),
    /// Of a range query, or of an instant query for a range; sorted by labels.
    Matrix(Vec<SeriesResult>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorElement {
    pub labels: Labels,
    pub ts: i64,
    pub value: Value,
}

/// One series of a matrix. Kept as it was computed: a column of values over evaluation times, or plain samples.
#[derive(Clone, Debug)]
pub struct SeriesResult {
    pub labels: Labels,
    points: Points,
}

#[derive(Clone, Debug)]
enum Points {
    Column { grid: Grid, column: Column },
    Samples(Samples),
}

/// A value and its time.
#[derive(Clone, Copy, Debug)]
pub enum Point<'a> {
    Float(i64, f64),
    Histogram(i64, &'a Arc<Histogram>),
}

impl SeriesResult {
    /// All floats and histograms in order of time.
    pub fn points(&self) -> Vec<Point<'_>> {
        match &self.points {
            Points::Column { grid, column } => {
                let places = 0..column.len();
                let point = |place| match column.get(place)? {
                    Cell::Float(value) => Some(Point::Float(grid.time(place), value)),
                    Cell::Histogram(histogram) => {
                        Some(Point::Histogram(grid.time(place), histogram))
                    }
                };
                places.filter_map(point).collect()
            }
            Points::Samples(samples) => {
                let floats = samples.timestamps.iter().zip(&samples.values);
                let mut points: Vec<Point<'_>> =
                    floats.map(|(ts, value)| Point::Float(*ts, *value)).collect();
                points.extend(
                    samples
                        .histograms
                        .iter()
                        .map(|sample| Point::Histogram(sample.ts, &sample.value)),
                );
                points.sort_by_key(Point::ts);
                points
            }
        }
    }

    /// Floats in order of time, without building a list.
    pub fn floats(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let (column, samples) = match &self.points {
            Points::Column { grid, column } => (Some((grid, column)), None),
            Points::Samples(samples) => (None, Some(samples)),
        };
        let of_column = column.into_iter().flat_map(|(grid, column)| {
            column.present.places().map(|place| (grid.time(place), column.values[place]))
        });
        let of_samples = samples.into_iter().flat_map(|samples| {
            samples.timestamps.iter().copied().zip(samples.values.iter().copied())
        });
        of_column.chain(of_samples)
    }

    /// Histograms in order of time, without building a list.
    pub fn histograms(&self) -> impl Iterator<Item = (i64, &Arc<Histogram>)> + '_ {
        let (column, samples) = match &self.points {
            Points::Column { grid, column } => (Some((grid, column)), None),
            Points::Samples(samples) => (None, Some(samples)),
        };
        let of_column = column.into_iter().flat_map(|(grid, column)| {
            let places = column.histograms.iter().enumerate();
            places.filter_map(|(place, found)| Some((grid.time(place), found.as_ref()?)))
        });
        let of_samples = samples.into_iter().flat_map(|samples| &samples.histograms);
        of_column.chain(of_samples.map(|sample| (sample.ts, &sample.value)))
    }
}

impl Point<'_> {
    pub fn ts(&self) -> i64 {
        match self {
            Self::Float(ts, _) | Self::Histogram(ts, _) => *ts,
        }
    }
}

pub(super) fn outcome(ctx: &Context<'_>, expr: &Expr, grid: &Grid) -> Result<Outcome, EvalError> {
    let is_range = ctx.times.is_range();
    match expr.value_type() {
        ValueType::String => {
            let Expr::String(string) = expr.inside_parens() else {
                return Err(EvalError::execution("strings cannot be computed"));
            };
            Ok(Outcome::String { ts: grid.start, value: string.value.clone() })
        }
        ValueType::Scalar => {
            let scalars = build::scalar(ctx, expr, grid)?;
            if !is_range {
                return Ok(Outcome::Scalar { ts: grid.start, value: scalars.get(0) });
            }
            let mut column = Column::new(grid.len);
            for place in 0..grid.len {
                column.set_float(place, scalars.get(place));
            }
            let points = Points::Column { grid: *grid, column };
            Ok(Outcome::Matrix(vec![SeriesResult { labels: Labels::default(), points }]))
        }
        ValueType::Matrix => {
            let mut results = Vec::new();
            for (series, samples) in range::raw(ctx, expr.inside_parens(), grid)? {
                let points = Points::Samples(samples);
                results.push(SeriesResult { labels: final_labels(&series), points });
            }
            results.sort_by(|a, b| a.labels.cmp(&b.labels));
            if results.windows(2).any(|neighbours| neighbours[0].labels == neighbours[1].labels) {
                return Err(EvalError::execution(operator::SAME_LABELSET));
            }
            Ok(Outcome::Matrix(results))
        }
        ValueType::Vector => {
            let vector = build::vector(ctx, expr, grid)?;
            let vector =
                operator::relabel(ctx, vector, |series| Series::new(final_labels(series)))?;
            if is_range { matrix(ctx, vector, grid) } else { instant(ctx, vector, grid) }
        }
    }
}

fn final_labels(series: &Series) -> Labels {
    if series.drop_name { series.labels.without_metadata() } else { series.labels.clone() }
}

fn instant(ctx: &Context<'_>, vector: Vector<'_>, grid: &Grid) -> Result<Outcome, EvalError> {
    let mut elements = Vec::new();
    for (series, column) in operator::collect(ctx, vector)? {
        if let Some(cell) = column.get(0) {
            elements.push(VectorElement {
                labels: series.labels,
                ts: grid.start,
                value: cell.to_value(),
            });
        }
    }
    Ok(Outcome::Vector(elements))
}

fn matrix(ctx: &Context<'_>, vector: Vector<'_>, grid: &Grid) -> Result<Outcome, EvalError> {
    let mut results = Vec::new();
    for (series, column) in operator::collect(ctx, vector)? {
        if !column.is_empty() {
            results.push(SeriesResult {
                labels: series.labels,
                points: Points::Column { grid: *grid, column },
            });
        }
    }
    results.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(Outcome::Matrix(results))
}
