//! Smoothed instant selectors: the value between the nearest samples on both sides, or the newest one where nothing
//! follows.

use std::sync::Arc;

use super::smooth::{Edge, between_floats, between_histograms};
use crate::ast::{Span, VectorSelector};
use crate::eval::column::Column;
use crate::eval::context::Context;
use crate::eval::error::EvalError;
use crate::eval::grid::Grid;
use crate::eval::operator::{Operator, Series, Vector};
use crate::model::histogram::CounterReset;
use crate::model::{Annotation, Samples};
use crate::plan::Moment;
use crate::source::{Need, Select, SeriesSet};

struct Smoothed<'a> {
    set: Box<dyn SeriesSet + 'a>,
    series: Vec<Series>,
    next: usize,
    samples: Samples,
    span: Span,
    grid: Grid,
    moment: Moment,
    lookback_ms: i64,
}

pub(in crate::eval) fn vector<'a>(
    ctx: &Context<'a>,
    selector: &VectorSelector,
    moment: Moment,
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let lookback_ms = ctx.options.lookback_ms;
    let set = ctx.select(&Select {
        matchers: &selector.matchers,
        after: moment.time(grid.start).saturating_sub(lookback_ms),
        until: moment.time(grid.last()).saturating_add(lookback_ms),
        step_ms: grid.step,
        window_ms: lookback_ms.saturating_mul(2),
        need: Need::Values,
    })?;
    let series = set.labels().iter().cloned().map(Series::new).collect();
    let (samples, span) = (Samples::default(), selector.span);
    Ok(Box::new(Smoothed { set, series, next: 0, samples, span, grid: *grid, moment, lookback_ms }))
}

impl Operator for Smoothed<'_> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        ctx.check_interrupt()?;
        self.set.read(self.next, &mut self.samples)?;
        ctx.count_samples(self.samples.len())?;
        self.samples.remove_stale();
        column.reset(self.grid.len);
        self.fill(ctx, self.series[self.next].labels.metric_name(), column);
        self.next += 1;
        Ok(())
    }
}

impl Smoothed<'_> {
    fn fill(&self, ctx: &Context<'_>, metric: &str, column: &mut Column) {
        let samples = &self.samples;
        let histogram_times: Vec<i64> = samples.histograms.iter().map(|sample| sample.ts).collect();
        // Histograms are taken for counters unless they say otherwise.
        let is_reset = |at: usize| {
            let (before, after) =
                (&samples.histograms[at].value, &samples.histograms[at + 1].value);
            after.counter_reset != CounterReset::Gauge && after.is_reset_after(before)
        };
        for place in 0..self.grid.len {
            let time = self.moment.time(self.grid.time(place));
            let (has_floats, has_histograms) =
                (self.any(&samples.timestamps, time), self.any(&histogram_times, time));
            if has_floats && has_histograms {
                ctx.annotate(
                    self.span,
                    Annotation::MixedFloatsHistograms { metric: metric.to_owned() },
                );
                continue;
            }
            if let Some(edge) = self.edge(&samples.timestamps, time) {
                column.set_float(
                    place,
                    between_floats(&samples.timestamps, &samples.values, edge, false),
                );
            } else if let Some(edge) = self.edge(&histogram_times, time) {
                match between_histograms(&samples.histograms, edge, &is_reset) {
                    Ok(value) => column.set_histogram(place, Arc::new(value)),
                    Err(_) => {
                        let metric = metric.to_owned();
                        ctx.annotate(
                            self.span,
                            Annotation::MixedExponentialCustomHistograms { metric },
                        );
                    }
                }
            }
        }
    }

    /// Whether there is a sample near enough on either side.
    fn any(&self, times: &[i64], time: i64) -> bool {
        let from = times.partition_point(|ts| *ts <= time.saturating_sub(self.lookback_ms));
        times.get(from).is_some_and(|ts| *ts <= time.saturating_add(self.lookback_ms))
    }

    fn edge(&self, times: &[i64], time: i64) -> Option<Edge> {
        let before = times.partition_point(|ts| *ts <= time).checked_sub(1)?;
        if times[before] <= time.saturating_sub(self.lookback_ms) {
            return None;
        }
        let follows =
            times.get(before + 1).is_some_and(|ts| *ts <= time.saturating_add(self.lookback_ms));
        if times[before] == time || !follows {
            return Some(Edge::Sample(before));
        }
        Some(Edge::Between { before, time })
    }
}
