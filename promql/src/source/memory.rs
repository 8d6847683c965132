//! Series in memory: for tests, rule tests and overlays.

use std::collections::BTreeMap;

use super::{Select, SeriesSet, Source, SourceError};
use crate::model::{Labels, Samples};

/// A set of series held in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    series: BTreeMap<Labels, Samples>,
}

impl MemorySource {
    /// The samples of a series, which is added if it is new. Whoever changes them keeps them in order of time.
    pub fn series(&mut self, labels: Labels) -> &mut Samples {
        self.series.entry(labels).or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }
}

impl Source for MemorySource {
    fn select<'s>(&'s self, request: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        let found = self.series.iter().filter(|(labels, samples)| {
            let in_range = |ts: &i64| *ts > request.after && *ts <= request.until;
            let has_samples = samples.timestamps.iter().any(in_range)
                || samples.histograms.iter().any(|h| in_range(&h.ts));
            has_samples && request.matchers.iter().all(|matcher| matcher.matches(labels))
        });
        let (labels, samples) = found.map(|(labels, samples)| (labels.clone(), samples)).unzip();
        Ok(Box::new(Found { labels, samples, after: request.after, until: request.until }))
    }
}

struct Found<'s> {
    labels: Vec<Labels>,
    samples: Vec<&'s Samples>,
    after: i64,
    until: i64,
}

impl SeriesSet for Found<'_> {
    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn keep_only(&mut self, places: &[usize]) -> bool {
        self.labels = places.iter().map(|place| self.labels[*place].clone()).collect();
        self.samples = places.iter().map(|place| self.samples[*place]).collect();
        true
    }

    fn read(&mut self, place: usize, samples: &mut Samples) -> Result<(), SourceError> {
        let all = self.samples[place];
        samples.clear();
        let from = all.timestamps.partition_point(|ts| *ts <= self.after);
        let to = all.timestamps.partition_point(|ts| *ts <= self.until);
        samples.timestamps.extend_from_slice(&all.timestamps[from..to]);
        samples.values.extend_from_slice(&all.values[from..to]);
        if !all.start_timestamps.is_empty() {
            samples.start_timestamps.extend_from_slice(&all.start_timestamps[from..to]);
        }
        let from = all.histograms.partition_point(|sample| sample.ts <= self.after);
        let to = all.histograms.partition_point(|sample| sample.ts <= self.until);
        samples.histograms.extend_from_slice(&all.histograms[from..to]);
        Ok(())
    }
}
