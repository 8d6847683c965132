//! Functions of histograms, native ones and classic ones.

use hashbrown::HashMap;

use super::build;
use super::classic::{self, ClassicBucket};
use super::column::{Cell, Column};
use super::context::Context;
use super::error::EvalError;
use super::grid::Grid;
use super::label_functions::string;
use super::operator::{Buffered, Operator, Series, Vector, collect, merge, relabel};
use super::quantile::is_outside;
use super::scalar::Scalars;
use crate::ast::{Call, Span};
use crate::functions::Function;
use crate::model::annotation::ForcedMonotonicity;
use crate::model::number::OpenMetrics;
use crate::model::{Annotation, Histogram, Labels, histogram, number};

/// A number for each native histogram; floats go away.
struct OfNative<'a> {
    input: Vector<'a>,
    value: fn(&Histogram) -> f64,
}

impl Operator for OfNative<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        let histograms = std::mem::take(&mut column.histograms);
        column.reset(column.len());
        for (at, histogram) in histograms.iter().enumerate() {
            if let Some(histogram) = histogram {
                column.set_float(at, (self.value)(histogram));
            }
        }
        Ok(())
    }
}

pub(super) fn of_native<'a>(
    ctx: &Context<'_>,
    function: Function,
    input: Vector<'a>,
) -> Result<Vector<'a>, EvalError> {
    let value: fn(&Histogram) -> f64 = match function {
        Function::HistogramAvg => |histogram| histogram.sum / histogram.count,
        Function::HistogramSum => |histogram| histogram.sum,
        Function::HistogramStdvar => histogram::variance,
        Function::HistogramStddev => |histogram| histogram::variance(histogram).sqrt(),
        _ => |histogram| histogram.count,
    };
    relabel(ctx, Box::new(OfNative { input, value }), |series| series.unnamed(ctx))
}

/// What is asked of buckets.
enum Question {
    Quantile(Scalars),
    Fraction(Scalars, Scalars),
}

/// One output: what is asked, and the label (if any) that tells it from the others.
struct Asked {
    question: Question,
    label: Option<(String, String)>,
}

/// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`: of native histograms as they are, of classic
/// ones put together from their buckets.
pub(super) fn over_buckets<'a>(
    ctx: &Context<'a>,
    call: &Call,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let arg = |place: usize| call.args[place].inside_parens();
    let scalar = |place: usize| build::scalar(ctx, arg(place), grid);
    let (input_at, asked) = match call.function {
        Function::HistogramFraction => {
            (2, vec![Asked { question: Question::Fraction(scalar(0)?, scalar(1)?), label: None }])
        }
        Function::HistogramQuantiles => {
            if string(call, 1).is_empty() {
                return Err(EvalError::execution(
                    "invalid label name \"\" in histogram_quantiles()",
                ));
            }
            let mut asked = Vec::new();
            for place in 2..call.args.len() {
                let quantile = scalar(place)?;
                note_invalid(ctx, &quantile, arg(place).span(), grid);
                // One label value for each; a quantile that changes over time is named by its first value.
                let label =
                    Some((string(call, 1).to_owned(), OpenMetrics(quantile.get(0)).to_string()));
                asked.push(Asked { question: Question::Quantile(quantile), label });
            }
            (0, asked)
        }
        _ => {
            let quantile = scalar(0)?;
            note_invalid(ctx, &quantile, arg(0).span(), grid);
            (1, vec![Asked { question: Question::Quantile(quantile), label: None }])
        }
    };
    let span = arg(input_at).span();
    let input = collect(ctx, build::vector(ctx, arg(input_at), grid)?)?;
    let groups = grouped(ctx, &input, span);
    let mut parts: Vec<(Series, Column)> = Vec::new();
    for asked in &asked {
        for group in &groups {
            ctx.hold_columns(1, grid)?;
            let column = answer(ctx, &asked.question, group, grid, span);
            let mut series = group.series.unnamed(ctx);
            if let Some((name, value)) = &asked.label {
                if group.series.labels.get(name).is_empty() {
                    series.labels = series.labels.with(name, value);
                } else {
                    return Err(EvalError::execution(format!(
                        "label {name} is already set on the input of histogram_quantiles"
                    )));
                }
            }
            parts.push((series, column));
        }
    }
    merge(ctx, Box::new(Buffered::new(parts)))
}

fn note_invalid(ctx: &Context<'_>, quantile: &Scalars, span: Span, grid: &Grid) {
    for at in 0..grid.len {
        if is_outside(quantile.get(at)) {
            ctx.annotate(span, Annotation::InvalidQuantile { quantile: quantile.get(at) });
        }
    }
}

/// One histogram: a native one, or the buckets of a classic one.
struct Group<'i> {
    series: Series,
    native: Vec<&'i Column>,
    classic: Vec<(f64, &'i Column)>,
}

/// Groups by identity, in the order in which they are met.
#[derive(Default)]
struct Grouping<'i> {
    places: HashMap<Labels, usize>,
    groups: Vec<Group<'i>>,
}

impl<'i> Grouping<'i> {
    fn group(&mut self, labels: Labels, drop_name: bool) -> &mut Group<'i> {
        let next = self.groups.len();
        let at = *self.places.entry(labels.clone()).or_insert(next);
        if at == next {
            let series = Series { labels, drop_name };
            self.groups.push(Group { series, native: Vec::new(), classic: Vec::new() });
        }
        &mut self.groups[at]
    }
}

/// Puts buckets with the same labels (but for `le`) together, and native histograms of these labels with them.
fn grouped<'i>(ctx: &Context<'_>, input: &'i [(Series, Column)], span: Span) -> Vec<Group<'i>> {
    let mut grouping = Grouping::default();
    // With eager name removal the name does not tell histograms apart.
    let identity = |labels: Labels| {
        if ctx.options.delayed_name_removal { labels } else { labels.without_metadata() }
    };
    for (series, column) in input {
        if column.histograms.iter().any(Option::is_some) {
            grouping.group(identity(series.labels.clone()), series.drop_name).native.push(column);
        }
        if column.present.is_empty() {
            continue;
        }
        let bound = series.labels.get("le");
        match number::parse(bound) {
            Some(upper) if !upper.is_nan() => {
                let labels = identity(series.labels.with("le", ""));
                grouping.group(labels, series.drop_name).classic.push((upper, column));
            }
            _ => {
                let metric = series.labels.metric_name().to_owned();
                ctx.annotate(span, Annotation::BadBucketLabel { metric, bound: bound.to_owned() });
            }
        }
    }
    grouping.groups
}

fn answer(
    ctx: &Context<'_>,
    question: &Question,
    group: &Group<'_>,
    grid: &Grid,
    span: Span,
) -> Column {
    let metric = || group.series.labels.metric_name().to_owned();
    let mut column = Column::new(grid.len);
    let mut buckets = Vec::with_capacity(group.classic.len());
    for at in 0..grid.len {
        buckets.clear();
        for (upper, counts) in &group.classic {
            if let Some(Cell::Float(count)) = counts.get(at) {
                buckets.push(ClassicBucket { upper: *upper, count });
            }
        }
        let native = group.native.iter().find_map(|column| match column.get(at) {
            Some(Cell::Histogram(histogram)) => Some(histogram),
            _ => None,
        });
        match (native, buckets.is_empty()) {
            (Some(_), false) => {
                ctx.annotate(span, Annotation::MixedClassicNativeHistograms { metric: metric() });
            }
            (Some(histogram), true) => {
                column.set_float(at, of_one_native(ctx, question, histogram, at, metric, span));
            }
            (None, false) => {
                column
                    .set_float(at, of_classic(ctx, question, &mut buckets, group, grid, at, span));
            }
            (None, true) => {}
        }
    }
    column
}

fn of_one_native(
    ctx: &Context<'_>,
    question: &Question,
    of: &Histogram,
    at: usize,
    metric: impl Fn() -> String,
    span: Span,
) -> f64 {
    match question {
        Question::Quantile(q) => {
            let quantile = histogram::quantile(q.get(at), of);
            if quantile.has_nans {
                let all = quantile.value.is_nan();
                ctx.annotate(span, Annotation::QuantileOfNaNs { metric: metric(), all });
            }
            quantile.value
        }
        Question::Fraction(lower, upper) => {
            if of.sum.is_nan() && of.count != 0.0 {
                ctx.annotate(span, Annotation::FractionOfNaNs { metric: metric() });
            }
            histogram::fraction(lower.get(at), upper.get(at), of)
        }
    }
}

fn of_classic(
    ctx: &Context<'_>,
    question: &Question,
    buckets: &mut Vec<ClassicBucket>,
    group: &Group<'_>,
    grid: &Grid,
    at: usize,
    span: Span,
) -> f64 {
    let q = match question {
        Question::Quantile(q) => q,
        Question::Fraction(lower, upper) => {
            return classic::fraction(lower.get(at), upper.get(at), buckets);
        }
    };
    let (value, forced) = classic::quantile(q.get(at), buckets);
    if let Some(forced) = forced {
        // Without delayed name removal the name is already gone.
        let named = ctx.options.delayed_name_removal;
        let metric = if named { group.series.labels.metric_name() } else { "" };
        let ts = grid.time(at);
        ctx.annotate(
            span,
            Annotation::ForcedMonotonicity(ForcedMonotonicity {
                metric: metric.to_owned(),
                first_ts: ts,
                last_ts: ts,
                n_samples: 1,
                lowest: forced.lowest,
                highest: forced.highest,
                difference: forced.difference,
            }),
        );
    }
    value
}
