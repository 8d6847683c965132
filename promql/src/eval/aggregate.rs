//! Aggregations: groups are known from labels, so samples go straight into their group's accumulators.

mod count_values;
mod limit;
mod quantiles;
mod ranked;
mod simple;
mod sum;

use super::build;
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::numbering::Numbering;
use super::operator::{Series, Vector};
use super::scalar::Scalars;
use crate::ast::{Aggregate, AggregateOp, Span};
use crate::model::{Annotation, Label, Labels, METRIC_NAME};
use crate::source::Need;

/// What an aggregation knows besides its input.
pub(super) struct Aggregation {
    op: AggregateOp,
    /// What is aggregated, for annotations.
    input_span: Span,
    span: Span,
    parameter_span: Span,
    grouping: Vec<String>,
    without: bool,
    grid: Grid,
}

impl Aggregation {
    fn note_ignored_histogram(&self, ctx: &Context<'_>) {
        let ranked = matches!(self.op, AggregateOp::TopK | AggregateOp::BottomK);
        let span = if ranked { self.span } else { self.input_span };
        ctx.annotate(
            span,
            Annotation::HistogramIgnoredInAggregation { aggregation: self.op.name() },
        );
    }

    /// The labels of the group of a series.
    fn group_labels(&self, labels: &Labels) -> Labels {
        labels.filter(|label| self.counts(label))
    }

    /// Whether a label is one of its group.
    fn counts(&self, label: &Label) -> bool {
        let listed = self.grouping.iter().any(|name| **name == *label.name);
        if self.without { !listed && &*label.name != METRIC_NAME } else { listed }
    }
}

/// Which group each series is in.
pub(super) struct Groups {
    series: Vec<Series>,
    of: Vec<usize>,
}

impl Groups {
    fn new(aggregation: &Aggregation, input: &[Series]) -> Self {
        let mut numbering = Numbering::default();
        let of: Vec<usize> = input
            .iter()
            .map(|member| numbering.number(&member.labels, |label| aggregation.counts(label)))
            .collect();
        let mut series: Vec<Series> = numbering.into_parts().into_iter().map(Series::new).collect();
        for (member, place) in input.iter().zip(&of) {
            series[*place].drop_name |= member.drop_name;
        }
        Self { series, of }
    }
}

pub(super) fn vector<'a>(
    ctx: &Context<'a>,
    node: &Aggregate,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    use AggregateOp as Op;
    let input_expr = node.expr.inside_parens();
    let parameter_expr = node.parameter.as_ref().map(crate::ast::Expr::inside_parens);
    let aggregation = Aggregation {
        op: node.op,
        input_span: input_expr.span(),
        span: node.span,
        parameter_span: parameter_expr.map_or(node.span, crate::ast::Expr::span),
        grouping: node.grouping.clone(),
        without: node.without,
        grid: *grid,
    };
    let need = if matches!(node.op, Op::Count | Op::Group) { Need::Presence } else { Need::Values };
    let parameter = match (node.op, parameter_expr) {
        (Op::CountValues, _) | (_, None) => Scalars::Constant(f64::NAN),
        (_, Some(expr)) => {
            let parameter = build::scalar(ctx, expr, grid)?;
            check_parameter(node.op, &parameter)?;
            parameter
        }
    };
    let mut input = build::vector_needing(ctx, input_expr, grid, need)?;
    // While groups are made.
    input.start();
    match node.op {
        Op::Sum | Op::Avg => sum::vector(ctx, &aggregation, input),
        Op::Min | Op::Max | Op::Count | Op::Group | Op::StdDev | Op::StdVar => {
            simple::vector(ctx, &aggregation, input)
        }
        Op::TopK | Op::BottomK => ranked::vector(ctx, &aggregation, input, &parameter),
        Op::Quantile => quantiles::vector(ctx, &aggregation, input, &parameter),
        Op::LimitK | Op::LimitRatio => limit::vector(ctx, aggregation, input, parameter),
        Op::CountValues => {
            let label = match parameter_expr {
                Some(crate::ast::Expr::String(string)) => string.value.as_str(),
                _ => "",
            };
            count_values::vector(ctx, aggregation, input, label)
        }
    }
}

fn check_parameter(op: AggregateOp, parameter: &Scalars) -> Result<(), EvalError> {
    let counts = matches!(op, AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK);
    if counts && parameter.any(f64::is_nan) {
        return Err(EvalError::execution("Parameter value is NaN"));
    }
    if op == AggregateOp::LimitRatio && parameter.any(f64::is_nan) {
        return Err(EvalError::execution("Ratio value is NaN"));
    }
    if counts && parameter.any(|value| value.abs() >= i64::MAX as f64) {
        let direction = if parameter.any(|value| value >= i64::MAX as f64) {
            "overflows"
        } else {
            "underflows"
        };
        return Err(EvalError::execution(format!("Scalar value {direction} int64")));
    }
    Ok(())
}
