//! Evaluation, series by series.
//!
//! An expression becomes a tree of operators over columns: the values of one series at all evaluation times. What the
//! result's series are is worked out from labels, before any sample is read, wherever the language allows it; then
//! columns stream through, so that `sum by (job) (rate(x[5m]))` holds one series and the groups, not the whole matrix.

mod absent;
mod aggregate;
mod answer;
mod binary;
mod build;
mod classic;
mod column;
mod context;
mod error;
mod grid;
mod histogram_functions;
mod info;
mod label_functions;
mod math;
mod numbering;
mod operator;
mod order;
mod quantile;
mod range;
mod scalar;
mod select;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Outcome, Point, SeriesResult, VectorElement};
pub use error::{EvalError, Interrupt, Stop};
pub use grid::Grid;

use context::Context;

use crate::ast::{Expr, ValueType};
use crate::parse::{Features, ParseError, parse};
use crate::source::Source;

/// A parsed query. The text is kept, because annotations point into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub text: String,
    pub expr: Expr,
}

impl Query {
    pub fn new(text: &str, features: Features) -> Result<Self, ParseError> {
        Ok(Self { text: text.to_owned(), expr: parse(text, features)? })
    }
}

/// When a query is evaluated, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Instant(i64),
    /// At `start`, `start + step`, … up to `end`.
    Range {
        start: i64,
        end: i64,
        step: i64,
    },
}

impl Times {
    pub fn start(&self) -> i64 {
        match self {
            Self::Instant(ts) => *ts,
            Self::Range { start, .. } => *start,
        }
    }

    pub fn end(&self) -> i64 {
        match self {
            Self::Instant(ts) => *ts,
            Self::Range { end, .. } => *end,
        }
    }

    pub fn is_range(&self) -> bool {
        matches!(self, Self::Range { .. })
    }

    pub(crate) fn step_seconds(&self) -> f64 {
        match self {
            Self::Instant(_) => 0.0,
            Self::Range { step, .. } => *step as f64 / 1_000.0,
        }
    }

    pub(crate) fn range_seconds(&self) -> f64 {
        self.end().saturating_sub(self.start()) as f64 / 1_000.0
    }

    fn grid(&self) -> Grid {
        match self {
            Self::Instant(ts) => Grid::instant(*ts),
            Self::Range { start, end, step } => Grid::range(*start, *end, *step),
        }
    }
}

/// What an evaluation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples read from the source, all series together.
    pub samples_max: u64,
    /// Memory held for columns, groups and labels, in bytes.
    pub bytes_max: u64,
    /// Evaluation times of a range query or subquery.
    pub steps_max: usize,
}

impl Default for Limits {
    /// As many samples as Prometheus allows by default, and the memory it would take for them.
    fn default() -> Self {
        Self { samples_max: 50_000_000, bytes_max: 800 << 20, steps_max: 11_000_000 }
    }
}

/// How a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How far an instant selector looks back for a sample.
    pub lookback_ms: i64,
    /// The step of subqueries that have none of their own.
    pub subquery_step_ms: i64,
    /// Keep metric names through the evaluation and drop them at its end.
    pub delayed_name_removal: bool,
    /// Take start timestamps as counter resets and as the beginning of a series.
    pub start_timestamps: bool,
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            start_timestamps: false,
            limits: Limits::default(),
        }
    }
}

/// Evaluates a query.
///
/// Blocks until done; asks `interrupt` before every series.
pub fn evaluate(
    query: &Query,
    times: Times,
    source: &dyn Source,
    options: &Options,
    interrupt: &dyn Interrupt,
) -> Result<Answer, EvalError> {
    if let Times::Range { start, end, step } = times {
        if step <= 0 {
            let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(EvalError::BadRequest(message.to_owned()));
        }
        if end < start {
            return Err(EvalError::BadRequest(
                "end timestamp must not be before start time".to_owned(),
            ));
        }
        let found = query.expr.value_type();
        if !matches!(found, ValueType::Scalar | ValueType::Vector) {
            return Err(EvalError::BadRequest(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                found.name()
            )));
        }
    }
    let ctx = Context::new(source, options, times, &query.text, interrupt);
    let grid = build::checked_grid(&ctx, times.grid())?;
    let outcome = answer::outcome(&ctx, &query.expr, &grid)?;
    let (annotations, samples_read) = ctx.into_annotations();
    Ok(Answer { outcome, annotations, samples_read })
}
