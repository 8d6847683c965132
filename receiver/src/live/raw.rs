//! `match` subscriptions: samples as they were committed.

use std::{collections::BTreeMap, sync::Arc};

use promql::model::{Labels, Matcher};

use super::{
    derive::{self, Grid},
    engine::{Changes, Engine, Loader, Reach, Window},
    frame::{Column, Entry, Point},
    protocol::{Refusal, SERIES_PER_SUBSCRIPTION_MAX},
    source::{Sample, Source},
};
use crate::model::SeriesId;

/// Samples of one series in one flush. More arrive only when somebody backfills; the newest are shown.
const SAMPLES_AT_ONCE: usize = 32;

pub(super) struct Raw {
    /// A series belongs when it satisfies all matchers of one of these.
    selectors: Vec<Vec<Matcher>>,
    ids: Vec<SeriesId>,
    /// Parallel to `ids`.
    members: Vec<Member>,
    width: u32,
}

struct Member {
    entry: Arc<Entry>,
    waiting: Vec<Sample>,
    last: Option<Sample>,
}

impl Raw {
    pub(super) fn new(selectors: Vec<Vec<Matcher>>) -> Self {
        Self { selectors, ids: Vec::new(), members: Vec::new(), width: 0 }
    }

    fn select(&self, source: &dyn Source) -> Result<Vec<SeriesId>, Refusal> {
        let limit = SERIES_PER_SUBSCRIPTION_MAX;
        let mut ids = Vec::new();
        for matchers in &self.selectors {
            ids.extend(source.select(matchers, limit));
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > limit { Err(Refusal::TooWide { limit }) } else { Ok(ids) }
    }
}

impl Engine for Raw {
    fn resolve(&mut self, source: &dyn Source) -> Result<Changes, Refusal> {
        let ids = self.select(source)?;
        let mut changes = Changes::default();
        let mut known: BTreeMap<_, _> =
            self.ids.drain(..).zip(std::mem::take(&mut self.members)).collect();
        for id in ids {
            let member = match known.remove(&id) {
                Some(member) => member,
                None => {
                    // Gone since it was selected: the next resolve agrees.
                    let Some(labels) = source.labels(id) else { continue };
                    let entry =
                        Arc::new(Entry { i: self.width, labels: pairs(&labels), unit: None });
                    self.width += 1;
                    changes.added.push(Arc::clone(&entry));
                    // The sample that made the series known may have been committed just before this.
                    let last = source.latest(id);
                    Member { entry, waiting: last.into_iter().collect(), last: None }
                }
            };
            self.ids.push(id);
            self.members.push(member);
        }
        changes.removed.extend(known.values().map(|member| member.entry.i));
        Ok(changes)
    }

    fn inputs(&self) -> &[SeriesId] {
        &self.ids
    }

    fn accept(&mut self, input: usize, sample: Sample) {
        let waiting = &mut self.members[input].waiting;
        if waiting.last().is_some_and(|last| last.0 == sample.0) {
            waiting.pop();
        }
        if waiting.len() == SAMPLES_AT_ONCE {
            waiting.remove(0);
        }
        waiting.push(sample);
    }

    fn drain(&mut self) -> Vec<Vec<Point>> {
        let mut updates: Vec<Vec<Point>> = Vec::new();
        for member in &mut self.members {
            for (nth, (t, v)) in member.waiting.drain(..).enumerate() {
                if updates.len() == nth {
                    updates.push(Vec::new());
                }
                updates[nth].push(Point { i: member.entry.i, t, v });
                if member.last.is_none_or(|last| last.0 <= t) {
                    member.last = Some((t, v));
                }
            }
        }
        for points in &mut updates {
            points.sort_unstable_by_key(|point| point.i);
        }
        updates
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries: Vec<_> =
            self.members.iter().map(|member| Arc::clone(&member.entry)).collect();
        entries.sort_unstable_by_key(|entry| entry.i);
        entries
    }

    fn width(&self) -> u32 {
        self.width
    }

    fn loader(&self, window: Window) -> Box<dyn Loader> {
        let wants =
            self.ids.iter().zip(&self.members).map(|(id, member)| (*id, member.entry.i)).collect();
        Box::new(Columns { wants, points: window.points as usize, t0: 0, columns: Vec::new() })
    }

    fn prime(&mut self, id: SeriesId, samples: &[Sample]) {
        let Ok(at) = self.ids.binary_search(&id) else { return };
        let member = &mut self.members[at];
        for sample in samples {
            if member.last.is_none_or(|last| last.0 <= sample.0) {
                member.last = Some(*sample);
            }
        }
    }

    fn current(&self) -> Vec<Point> {
        let point = |member: &Member| member.last.map(|(t, v)| Point { i: member.entry.i, t, v });
        self.members.iter().filter_map(point).collect()
    }
}

pub(super) fn pairs(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect()
}

/// The samples themselves, thinned if they are too many.
struct Columns {
    wants: Vec<(SeriesId, u32)>,
    points: usize,
    t0: i64,
    columns: Vec<(u32, Column)>,
}

impl Loader for Columns {
    fn wants(&self) -> Vec<(SeriesId, Reach)> {
        self.wants.iter().map(|(id, _)| (*id, Reach::Window)).collect()
    }

    fn begin(&mut self, grid: Grid) {
        self.t0 = grid.t0;
    }

    fn take(&mut self, want: usize, samples: &[Sample]) {
        let within = &samples[samples.partition_point(|sample| sample.0 < self.t0)..];
        let kept = derive::thinned(within, self.points);
        let column = Column {
            times: Some(kept.iter().map(|(t, _)| t - self.t0).collect()),
            values: kept.iter().map(|(_, v)| *v).collect(),
        };
        self.columns.push((self.wants[want].1, column));
    }

    fn finish(self: Box<Self>) -> Vec<(u32, Column)> {
        self.columns
    }
}
