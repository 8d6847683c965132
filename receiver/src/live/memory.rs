//! A store of samples in memory, for tests and demonstrations: everything a [`Source`] must do, in the plainest way.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use futures_util::{FutureExt, future::BoxFuture};
use promql::model::{Labels, Matcher};

use super::source::{Committed, Sample, Source};
use crate::model::SeriesId;

/// Samples one series keeps; older ones are forgotten.
const SAMPLES_MAX: usize = 20_000;

/// Series and samples in memory.
#[derive(Debug, Default)]
pub struct MemorySource {
    series: RwLock<Vec<Series>>,
}

#[derive(Debug)]
struct Series {
    labels: Arc<Labels>,
    samples: Vec<Sample>,
}

impl MemorySource {
    /// Adds samples, given as labels, time and value, and returns them as a commit would.
    pub fn commit<'a>(
        &self,
        samples: impl IntoIterator<Item = (&'a Labels, i64, f64)>,
    ) -> Arc<Committed> {
        let mut series = self.series.write().expect("no holder panics");
        let mut known: BTreeMap<Labels, usize> =
            series.iter().enumerate().map(|(at, one)| ((*one.labels).clone(), at)).collect();
        let mut committed: Vec<(SeriesId, i64, f64)> = Vec::new();
        for (labels, t, v) in samples {
            let at = *known.entry(labels.clone()).or_insert_with(|| {
                series.push(Series { labels: Arc::new(labels.clone()), samples: Vec::new() });
                series.len() - 1
            });
            let kept = &mut series[at].samples;
            let place = kept.partition_point(|sample| sample.0 <= t);
            kept.insert(place, (t, v));
            if kept.len() > SAMPLES_MAX {
                kept.remove(0);
            }
            committed.push((SeriesId(at as i64 + 1), t, v));
        }
        committed.sort_by_key(|(id, t, _)| (*id, *t));
        Arc::new(Committed {
            series: committed.iter().map(|(id, ..)| *id).collect(),
            timestamps: committed.iter().map(|(_, t, _)| *t).collect(),
            values: committed.iter().map(|(.., v)| *v).collect(),
        })
    }

    fn with<T>(&self, id: SeriesId, read: impl FnOnce(&Series) -> T) -> Option<T> {
        let at = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.series.read().expect("no holder panics").get(at).map(read)
    }
}

impl Source for MemorySource {
    fn select(&self, matchers: &[Matcher], limit: usize) -> Vec<SeriesId> {
        let series = self.series.read().expect("no holder panics");
        let matching = (1..)
            .zip(&*series)
            .filter(|(_, one)| matchers.iter().all(|matcher| matcher.matches(&one.labels)));
        matching.map(|(id, _)| SeriesId(id)).take(limit + 1).collect()
    }

    fn labels(&self, id: SeriesId) -> Option<Arc<Labels>> {
        self.with(id, |series| Arc::clone(&series.labels))
    }

    fn latest(&self, id: SeriesId) -> Option<Sample> {
        self.with(id, |series| series.samples.last().copied()).flatten()
    }

    fn read(
        &self,
        ids: &[SeriesId],
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Vec<Sample>>>> {
        let within = |series: &Series| {
            let from = series.samples.partition_point(|sample| sample.0 < from_ms);
            let to = series.samples.partition_point(|sample| sample.0 <= to_ms);
            series.samples[from..to.max(from)].to_vec()
        };
        let rows = ids.iter().map(|id| self.with(*id, within).unwrap_or_default()).collect();
        async move { Ok(rows) }.boxed()
    }

    fn series_generation(&self) -> u64 {
        self.series.read().expect("no holder panics").len() as u64
    }
}
