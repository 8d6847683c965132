//! Streams of series: labels first, then one column after the other.

use hashbrown::HashMap;

use super::column::Column;
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use crate::model::Labels;

/// An instant vector at all evaluation times.
pub(crate) trait Operator {
    /// What the columns belong to; known before any sample is read.
    fn series(&self) -> &[Series];

    /// Leaves only the series at these places, which ascend, if not computing the others changes nothing else: they cannot
    /// fail, and nothing is to be said of them. To be called before any column. `false`: nothing has changed.
    fn keep_only(&mut self, _places: &[usize]) -> bool {
        false
    }

    /// What is read for it will be wanted soon and in full. Only a hint.
    fn start(&mut self) {}

    /// Replaces `column` with that of the next series. Called as often as there are series.
    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError>;
}

pub(crate) type Vector<'a> = Box<dyn Operator + 'a>;

/// The identity of a series within an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// The metric's name, type and unit no longer fit and go away at the end of the query (delayed name removal).
    pub(crate) drop_name: bool,
}

impl Series {
    pub(crate) fn new(labels: Labels) -> Self {
        Self { labels, drop_name: false }
    }

    /// After an operation that makes the metric's name unfit.
    pub(crate) fn unnamed(&self, ctx: &Context<'_>) -> Self {
        if ctx.options.delayed_name_removal {
            Self { labels: self.labels.clone(), drop_name: true }
        } else {
            Self::new(self.labels.without_metadata())
        }
    }
}

/// Columns that have already been computed.
pub(crate) struct Buffered {
    series: Vec<Series>,
    columns: std::vec::IntoIter<Column>,
}

impl Buffered {
    pub(crate) fn new(parts: Vec<(Series, Column)>) -> Self {
        let (series, columns): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Self { series, columns: columns.into_iter() }
    }
}

impl Operator for Buffered {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, _ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        *column = self.columns.next().expect("called as often as there are series");
        Ok(())
    }
}

/// Reads a whole vector. Its columns are held until the query ends.
pub(crate) fn collect(
    ctx: &Context<'_>,
    mut vector: Vector<'_>,
) -> Result<Vec<(Series, Column)>, EvalError> {
    let series = vector.series().to_vec();
    let mut parts = Vec::with_capacity(series.len());
    for series in series {
        let mut column = Column::default();
        vector.next(ctx, &mut column)?;
        ctx.hold(column.size_bytes())?;
        parts.push((series, column));
    }
    Ok(parts)
}

/// Changes the identity of every series. Series that become equal are merged, see [`merge`].
pub(crate) fn relabel<'a>(
    ctx: &Context<'_>,
    input: Vector<'a>,
    change: impl FnMut(&Series) -> Series,
) -> Result<Vector<'a>, EvalError> {
    let series: Vec<Series> = input.series().iter().map(change).collect();
    merge(ctx, Box::new(Relabelled { input, series }))
}

struct Relabelled<'a> {
    input: Vector<'a>,
    series: Vec<Series>,
}

impl Operator for Relabelled<'_> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn start(&mut self) {
        self.input.start();
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)
    }
}

/// Joins series with equal labels into one. Two of them with a value at the same time are an error.
pub(crate) fn merge<'a>(ctx: &Context<'_>, input: Vector<'a>) -> Result<Vector<'a>, EvalError> {
    let mut places: HashMap<&Series, usize> = HashMap::with_capacity(input.series().len());
    let mut targets = Vec::with_capacity(input.series().len());
    for series in input.series() {
        let next = places.len();
        targets.push(*places.entry(series).or_insert(next));
    }
    let n_distinct = places.len();
    drop(places);
    if n_distinct == targets.len() {
        return Ok(input);
    }
    let mut merged: Vec<(Series, Column)> = Vec::new();
    for ((series, column), target) in collect(ctx, input)?.into_iter().zip(targets) {
        match merged.get_mut(target) {
            None => merged.push((series, column)),
            Some((_, into)) => merge_column(into, &column)?,
        }
    }
    Ok(Box::new(Buffered::new(merged)))
}

pub(crate) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

fn merge_column(into: &mut Column, column: &Column) -> Result<(), EvalError> {
    for place in 0..column.len() {
        if let Some(cell) = column.get(place) {
            if into.get(place).is_some() {
                return Err(EvalError::execution(SAME_LABELSET));
            }
            into.set(place, cell.to_value());
        }
    }
    Ok(())
}

/// A vector that is the same at all times, evaluated once.
pub(crate) struct Broadcast<'a> {
    pub(crate) input: Vector<'a>,
    pub(crate) grid: Grid,
    pub(crate) single: Column,
}

impl Operator for Broadcast<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn keep_only(&mut self, places: &[usize]) -> bool {
        self.input.keep_only(places)
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, &mut self.single)?;
        self.single.broadcast(self.grid.len, column);
        Ok(())
    }
}
