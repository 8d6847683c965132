//! `load_with_nhcb`: classic histograms once more as native ones with custom buckets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::histogram::{Buckets, CUSTOM_SCHEMA};
use crate::model::{
    Histogram, HistogramSample, Labels, METRIC_NAME, Samples, is_stale, number, stale_marker,
};

#[derive(Default)]
struct Classic {
    /// Cumulative counts by upper bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    stale: bool,
}

pub(super) fn convert(loaded: &[(Labels, Samples)]) -> Vec<(Labels, Samples)> {
    let mut histograms: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    let mut with_buckets: BTreeSet<Labels> = BTreeSet::new();
    for (labels, samples) in loaded {
        let name = labels.metric_name();
        let parts = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|end| Some((name.strip_suffix(end)?, *end)));
        let Some((base, part)) = parts else { continue };
        let identity = labels.with("le", "").with(METRIC_NAME, base);
        let upper = number::parse(labels.get("le"));
        if part == "_bucket" {
            if upper.is_none() {
                continue;
            }
            with_buckets.insert(identity.clone());
        }
        let at = histograms.entry(identity).or_default();
        for (ts, value) in samples.timestamps.iter().zip(&samples.values) {
            let classic = at.entry(*ts).or_default();
            classic.stale |= is_stale(*value);
            match (part, upper) {
                ("_bucket", Some(upper)) => classic.buckets.push((upper, *value)),
                ("_count", _) => classic.count = Some(*value),
                _ => classic.sum = *value,
            }
        }
    }
    let converted = histograms.into_iter().filter(|(labels, _)| with_buckets.contains(labels));
    converted.map(|(labels, at)| (labels, samples(at))).collect()
}

fn samples(at: BTreeMap<i64, Classic>) -> Samples {
    let mut samples = Samples::default();
    for (ts, classic) in at {
        let histogram = if classic.stale {
            Histogram { sum: stale_marker(), ..Histogram::default() }
        } else {
            match native(classic) {
                Some(histogram) => histogram,
                None => continue,
            }
        };
        samples.histograms.push(HistogramSample { ts, value: Arc::new(histogram), start_ts: 0 });
    }
    samples
}

fn native(mut classic: Classic) -> Option<Histogram> {
    classic.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let last = classic.buckets.last()?;
    let count = classic.count.unwrap_or(last.1);
    if last.0 != f64::INFINITY {
        classic.buckets.push((f64::INFINITY, count));
    }
    let mut before = 0.0;
    let mut counts = Vec::with_capacity(classic.buckets.len());
    for (_, cumulative) in &classic.buckets {
        // Counts that fall cannot be converted.
        if *cumulative < before {
            return None;
        }
        counts.push(cumulative - before);
        before = *cumulative;
    }
    let bounds =
        classic.buckets.iter().map(|(upper, _)| *upper).filter(|upper| upper.is_finite()).collect();
    Some(Histogram {
        schema: CUSTOM_SCHEMA,
        count,
        sum: classic.sum,
        positive: Buckets::from_run(0, &counts).ok()?,
        custom_bounds: bounds,
        ..Histogram::default()
    })
}
