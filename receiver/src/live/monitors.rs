//! The view `monitors`: a row for each thing that is probed, from blackbox-style series.
//!
//! A monitor is a pair of `instance` and `job` that has `probe_success`. Checks are shown one by one, at their own
//! times: a bar is a check.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use promql::model::{METRIC_NAME, Matcher};

use super::{
    derive::Grid,
    engine::{Changes, Engine, Loader, Reach, Window},
    frame::{Column, Entry, Field, Point},
    protocol::Refusal,
    source::{self, Sample, Source},
};
use crate::model::SeriesId;

/// Rows of the list.
const MONITORS_MAX: usize = 2_000;
/// Checks of each row in a snapshot: the bars there is room for.
const CHECKS_MAX: usize = 60;
/// Checks of one monitor that are shown of one flush; more come only when somebody catches up.
const CHECKS_AT_ONCE: usize = 32;

const FIELDS: [Field; 5] = [
    Field { name: "success", unit: "bool" },
    Field { name: "duration", unit: "seconds" },
    Field { name: "certificate_expiry", unit: "seconds" },
    Field { name: "http_status", unit: "none" },
    Field { name: "up", unit: "bool" },
];
/// The family of each field. `probe_success` comes first: it makes the monitor.
const FAMILIES: [&str; 5] = [
    "probe_success",
    "probe_duration_seconds",
    "probe_ssl_earliest_cert_expiry",
    "probe_http_status_code",
    "up",
];
/// Fields whose past is sent.
const WITH_PAST: [usize; 2] = [0, 1];
const N_FIELDS: u32 = FIELDS.len() as u32;

#[derive(Default)]
pub(super) struct Monitors {
    ids: Vec<SeriesId>,
    inputs: Vec<Input>,
    rows: Vec<Row>,
    by_name: BTreeMap<(String, String), usize>,
    more: usize,
}

#[derive(Clone, Debug)]
struct Input {
    row: usize,
    field: usize,
    last: Option<Sample>,
    /// Checks since the last drain.
    waiting: Vec<Sample>,
}

#[derive(Debug)]
struct Row {
    entry: Arc<Entry>,
    gone: bool,
}

impl Monitors {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn index(&self, input: &Input) -> u32 {
        self.rows[input.row].entry.i + input.field as u32
    }

    fn row_of(
        &mut self,
        field: usize,
        instance: &str,
        job: &str,
        added: &mut Vec<Arc<Entry>>,
    ) -> Option<usize> {
        let name = (instance.to_owned(), job.to_owned());
        if let Some(at) = self.by_name.get(&name) {
            return Some(*at);
        }
        if field != 0 {
            return None;
        }
        if self.by_name.len() >= MONITORS_MAX {
            self.more += 1;
            return None;
        }
        let at = self.rows.len();
        let labels =
            vec![("instance".to_owned(), name.0.clone()), ("job".to_owned(), name.1.clone())];
        let entry = Arc::new(Entry { i: at as u32 * N_FIELDS, labels, unit: None });
        added.push(Arc::clone(&entry));
        self.rows.push(Row { entry, gone: false });
        self.by_name.insert(name, at);
        Some(at)
    }
}

impl Engine for Monitors {
    fn resolve(&mut self, source: &dyn Source) -> Result<Changes, Refusal> {
        let mut changes = Changes::default();
        let mut found: Vec<(SeriesId, Input)> = Vec::new();
        let mut live_rows = BTreeSet::new();
        self.more = 0;
        for (field, family) in FAMILIES.iter().enumerate() {
            for id in source.select(&[Matcher::equal(METRIC_NAME, family)], 2 * MONITORS_MAX) {
                let known = self.ids.binary_search(&id).map(|at| self.inputs[at].clone());
                let input = match known {
                    Ok(input) => input,
                    Err(_) => {
                        let Some(labels) = source.labels(id) else { continue };
                        let (instance, job) = (labels.get("instance"), labels.get("job"));
                        let Some(row) = self.row_of(field, instance, job, &mut changes.added)
                        else {
                            continue;
                        };

                        let last = source.latest(id);
                        Input { row, field, last, waiting: last.into_iter().collect() }
                    }
                };
                if field == 0 {
                    live_rows.insert(input.row);
                }
                found.push((id, input));
            }
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        (self.ids, self.inputs) = found.into_iter().unzip();
        for (at, row) in self.rows.iter_mut().enumerate() {
            if !row.gone && !live_rows.contains(&at) {
                row.gone = true;
                changes.removed.push(row.entry.i);
                self.by_name.retain(|_, row| *row != at);
            }
        }
        Ok(changes)
    }

    fn inputs(&self) -> &[SeriesId] {
        &self.ids
    }

    fn accept(&mut self, input: usize, sample: Sample) {
        let input = &mut self.inputs[input];
        if input.last.is_none_or(|last| last.0 <= sample.0) {
            input.last = Some(sample);
            input.waiting.retain(|waiting| waiting.0 != sample.0);
            if input.waiting.len() == CHECKS_AT_ONCE {
                input.waiting.remove(0);
            }
            input.waiting.push(sample);
        }
    }

    fn drain(&mut self) -> Vec<Vec<Point>> {
        let mut updates: Vec<Vec<Point>> = Vec::new();
        for at in 0..self.inputs.len() {
            let waiting = std::mem::take(&mut self.inputs[at].waiting);
            if self.rows[self.inputs[at].row].gone {
                continue;
            }
            let i = self.index(&self.inputs[at]);
            for (nth, (t, v)) in waiting.into_iter().enumerate() {
                updates.resize_with(updates.len().max(nth + 1), Vec::new);
                updates[nth].push(Point { i, t, v: shown(v) });
            }
        }
        for points in &mut updates {
            points.sort_unstable_by_key(|point| point.i);
            // Two series of one field (a label more than instance and job): one is shown.
            points.dedup_by_key(|point| point.i);
        }
        updates
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.rows.iter().filter(|row| !row.gone).map(|row| Arc::clone(&row.entry)).collect()
    }

    fn width(&self) -> u32 {
        self.rows.len() as u32 * N_FIELDS
    }

    fn more(&self) -> usize {
        self.more
    }

    fn loader(&self, _window: Window) -> Box<dyn Loader> {
        let with_past =
            self.ids.iter().zip(&self.inputs).filter(|(_, input)| WITH_PAST.contains(&input.field));
        Box::new(Checks {
            wants: with_past.map(|(id, input)| (*id, self.index(input))).collect(),
            t0: 0,
            columns: BTreeMap::new(),
        })
    }

    fn prime(&mut self, id: SeriesId, samples: &[Sample]) {
        let Ok(at) = self.ids.binary_search(&id) else { return };
        let input = &mut self.inputs[at];
        if let Some(newest) =
            samples.last().filter(|sample| input.last.is_none_or(|last| last.0 < sample.0))
        {
            input.last = Some(*newest);
        }
    }

    fn current(&self) -> Vec<Point> {
        let point =
            |input: &Input| input.last.map(|(t, v)| Point { i: self.index(input), t, v: shown(v) });
        self.inputs.iter().filter_map(point).collect()
    }
}

fn shown(value: f64) -> f64 {
    if value.is_finite() { value } else { source::NONE }
}

/// The last checks of every monitor.
struct Checks {
    wants: Vec<(SeriesId, u32)>,
    t0: i64,
    columns: BTreeMap<u32, Column>,
}

impl Loader for Checks {
    fn wants(&self) -> Vec<(SeriesId, Reach)> {
        self.wants.iter().map(|(id, _)| (*id, Reach::Window)).collect()
    }

    fn begin(&mut self, grid: Grid) {
        self.t0 = grid.t0;
    }

    fn take(&mut self, want: usize, samples: &[Sample]) {
        let last = &samples[samples.len().saturating_sub(CHECKS_MAX)..];
        let column = Column {
            times: Some(last.iter().map(|(t, _)| t - self.t0).collect()),
            values: last.iter().map(|(_, v)| shown(*v)).collect(),
        };
        self.columns.insert(self.wants[want].1, column);
    }

    fn finish(self: Box<Self>) -> Vec<(u32, Column)> {
        self.columns.into_iter().collect()
    }
}
