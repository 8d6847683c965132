//! `sum` and `avg`, of floats and of histograms.

use std::sync::Arc;

use super::super::column::{Bitmap, Cell, Column};
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::operator::{Buffered, Vector};
use super::{Aggregation, Groups};
use crate::ast::AggregateOp;
use crate::model::annotation::HistogramOperation;
use crate::model::histogram::{HistogramMean, HistogramSum};
use crate::model::number::{KahanMean, KahanSum};
use crate::model::{Annotation, Histogram, Labels};

/// Histograms are rare and have their own totals, allocated when the first comes.
#[derive(Clone, Default)]
enum HistogramTotal {
    #[default]
    None,
    Sum(HistogramSum),
    Mean(HistogramMean),
    /// Exponential and custom buckets have met; nothing comes of this.
    Incompatible,
}

pub(super) fn vector<'a>(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    input: Vector<'_>,
) -> Result<Vector<'a>, EvalError> {
    if aggregation.op == AggregateOp::Sum {
        sums(ctx, aggregation, input)
    } else {
        means(ctx, aggregation, input)
    }
}

/// The commonest aggregation has its own accumulators: plain arrays, so that adding a column is a tight loop.
fn sums<'a>(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    mut input: Vector<'_>,
) -> Result<Vector<'a>, EvalError> {
    let groups = Groups::new(aggregation, input.series());
    let len = aggregation.grid.len;
    ctx.hold_columns(groups.series.len().saturating_mul(2), &aggregation.grid)?;
    let mut sums: Vec<Vec<KahanSum>> =
        groups.series.iter().map(|_| vec![KahanSum::default(); len]).collect();
    let mut present = vec![Bitmap::new(len); groups.series.len()];
    let mut histograms: Vec<Vec<HistogramTotal>> = vec![Vec::new(); groups.series.len()];
    let names: Vec<_> = input.series().iter().map(|series| series.labels.clone()).collect();
    let mut column = Column::default();
    for (place, group) in groups.of.iter().enumerate() {
        input.next(ctx, &mut column)?;
        if column.present.is_full() {
            for (sum, value) in sums[*group].iter_mut().zip(&column.values) {
                sum.add(*value);
            }
        } else {
            for at in column.present.places() {
                sums[*group][at].add(column.values[at]);
            }
        }
        present[*group].add_all(&column.present);
        add_histograms(ctx, aggregation, &mut histograms[*group], &column, &names[place]);
    }
    let mut parts = Vec::with_capacity(groups.series.len());
    for (group, series) in groups.series.into_iter().enumerate() {
        let mut result = Column::new(len);
        for at in present[group].places() {
            result.set_float(at, sums[group][at].value());
        }
        finish_histograms(ctx, aggregation, &histograms[group], &mut result);
        parts.push((series, result));
    }
    Ok(Box::new(Buffered::new(parts)))
}

fn means<'a>(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    mut input: Vector<'_>,
) -> Result<Vector<'a>, EvalError> {
    let groups = Groups::new(aggregation, input.series());
    let len = aggregation.grid.len;
    ctx.hold_columns(
        groups.series.len().saturating_mul(size_of::<Option<KahanMean>>() / 8),
        &aggregation.grid,
    )?;
    let mut means: Vec<Vec<Option<KahanMean>>> = vec![vec![None; len]; groups.series.len()];
    let mut histograms: Vec<Vec<HistogramTotal>> = vec![Vec::new(); groups.series.len()];
    let names: Vec<_> = input.series().iter().map(|series| series.labels.clone()).collect();
    let mut column = Column::default();
    for (place, group) in groups.of.iter().enumerate() {
        input.next(ctx, &mut column)?;
        for at in column.present.places() {
            let value = column.values[at];
            match &mut means[*group][at] {
                Some(mean) => mean.add(value),
                none => *none = Some(KahanMean::new(value)),
            }
        }
        add_histograms(ctx, aggregation, &mut histograms[*group], &column, &names[place]);
    }
    let mut parts = Vec::with_capacity(groups.series.len());
    for (group, series) in groups.series.into_iter().enumerate() {
        let mut result = Column::new(len);
        for (at, mean) in means[group].iter().enumerate() {
            if let Some(mean) = mean {
                result.set_float(at, mean.value());
            }
        }
        finish_histograms(ctx, aggregation, &histograms[group], &mut result);
        parts.push((series, result));
    }
    Ok(Box::new(Buffered::new(parts)))
}

fn add_histograms(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    totals: &mut Vec<HistogramTotal>,
    column: &Column,
    labels: &Labels,
) {
    if !column.has_histograms() {
        return;
    }
    totals.resize(column.len(), HistogramTotal::None);
    for (at, total) in totals.iter_mut().enumerate() {
        let Some(Cell::Histogram(histogram)) = column.get(at) else { continue };
        let histogram: &Histogram = histogram;
        let added = match total {
            HistogramTotal::None => {
                *total = if aggregation.op == AggregateOp::Sum {
                    HistogramTotal::Sum(HistogramSum::new(histogram))
                } else {
                    HistogramTotal::Mean(HistogramMean::new(histogram))
                };
                continue;
            }
            HistogramTotal::Sum(sum) => sum.add(histogram),
            HistogramTotal::Mean(mean) => mean.add(histogram),
            HistogramTotal::Incompatible => continue,
        };
        match added {
            Ok(reconciled) if reconciled.bounds => {
                let operation = HistogramOperation::Aggregation;
                ctx.annotate(
                    aggregation.input_span,
                    Annotation::MismatchedCustomBuckets { operation },
                );
            }
            Ok(_) => {}
            Err(_) => {
                let metric = labels.metric_name().to_owned();
                ctx.annotate(
                    aggregation.input_span,
                    Annotation::MixedExponentialCustomHistograms { metric },
                );
                *total = HistogramTotal::Incompatible;
            }
        }
    }
}

/// Where a group has floats and histograms at the same time there is no result.
fn finish_histograms(
    ctx: &Context<'_>,
    aggregation: &Aggregation,
    totals: &[HistogramTotal],
    result: &mut Column,
) {
    for (at, total) in totals.iter().enumerate() {
        let (value, collide) = match total {
            HistogramTotal::None => continue,
            HistogramTotal::Sum(sum) => (Some(sum.value()), sum.counter_resets_collide()),
            HistogramTotal::Mean(mean) => (Some(mean.value()), mean.counter_resets_collide()),
            HistogramTotal::Incompatible => (None, false),
        };
        if result.present.get(at) {
            ctx.annotate(aggregation.input_span, Annotation::MixedFloatsHistogramsInAggregation);
            result.unset(at);
            continue;
        }
        if collide {
            let operation = HistogramOperation::Aggregation;
            ctx.annotate(aggregation.input_span, Annotation::CounterResetCollision { operation });
        }
        if let Some(value) = value {
            result.set_histogram(at, Arc::new(value));
        }
    }
}
