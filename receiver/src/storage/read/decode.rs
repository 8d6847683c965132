//! Bringing rows of the database and the head's runs together, pack by pack.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use sqlx::{Row, postgres::PgRow};

use super::{Pack, Range, fetch::BATCHES, spares::Spares};
use crate::{
    model::{PackId, SeriesId},
    storage::{
        ReadError, SeriesColumns,
        batch::Batch,
        block,
        codec::group,
        delete::{Deletion, Hidden, Origin},
        head::Run,
        histogram::{self, HistogramSample},
    },
};

/// Samples after which what is decoded is handed on: 4 MiB.
const PORTION_SAMPLES: usize = 1 << 18;

/// The wanted series of some packs, and the rows that may have them.
pub(super) struct Wanted {
    pub(super) packs: VecDeque<(PackId, Vec<SeriesId>)>,
    pub(super) rows: std::iter::Peekable<std::vec::IntoIter<PgRow>>,
}

pub(super) struct Decoder {
    runs: Vec<Arc<Run>>,
    /// Of each run, what is deleted.
    hidden: Vec<Hidden>,
    deletions: Arc<Vec<Arc<Deletion>>>,
    range: Range,
    scratch: group::Scratch,
    /// Values of a series of which not all may be wanted.
    part: Vec<f64>,
    samples_max: usize,
    spares: Arc<Spares>,
}

impl Decoder {
    pub(super) fn new(
        runs: Vec<Arc<Run>>,
        deletions: Arc<Vec<Arc<Deletion>>>,
        range: Range,
        samples_max: usize,
        spares: Arc<Spares>,
    ) -> Self {
        let hidden = runs.iter().map(|run| run.hidden(&deletions)).collect();
        let scratch = group::Scratch::default();
        Self { runs, hidden, deletions, range, scratch, part: Vec::new(), samples_max, spares }
    }

    /// Decodes packs, in order, until there is enough to be handed on or none is left.
    pub(super) fn portion(&mut self, wanted: &mut Wanted) -> Result<VecDeque<Pack>, ReadError> {
        let Wanted { packs, rows } = wanted;
        // Batches come first, whether there are any or not.
        while let Some(row) = rows.peek() {
            if row.try_get::<i32, _>("pack")? != BATCHES {
                break;
            }
            self.add_batch(row)?;
            rows.next();
        }
        let mut portion = VecDeque::new();
        let mut n_samples = 0;
        while n_samples < PORTION_SAMPLES.min(self.samples_max) {
            let Some((pack, series)) = packs.pop_front() else { break };
            let mut of_pack = OfPack::new(&series, &self.spares);
            while let Some(row) = rows.peek() {
                if row.try_get::<i32, _>("pack")? != pack.0 {
                    break;
                }
                self.add_row(&mut of_pack, row)?;
                rows.next();
                if of_pack.n_samples() > self.samples_max {
                    return Err(ReadError::TooManySamples);
                }
            }
            let found = self.finish(pack, of_pack)?;
            let of_pack = found.iter().map(weight).sum::<usize>();
            if of_pack > self.samples_max {
                return Err(ReadError::TooManySamples);
            }
            n_samples += of_pack;
            if !found.is_empty() {
                portion.push_back(found);
            }
        }
        Ok(portion)
    }

    /// Adds a batch of another receiver.
    fn add_batch(&mut self, row: &PgRow) -> Result<(), ReadError> {
        let (writer, seq) = (row.try_get("writer")?, row.try_get("ord2")?);
        if self.runs.iter().any(|run| (run.writer, run.seq) == (writer, seq)) {
            return Ok(());
        }
        let batch = Batch::open(Bytes::copy_from_slice(row.try_get("body")?))?;
        let (t_min, t_max) = (row.try_get("t_min")?, row.try_get("t_max")?);
        let run = Run { writer, seq, t_min, t_max, batch };
        self.hidden.push(run.hidden(&self.deletions));
        self.runs.push(Arc::new(run));
        Ok(())
    }

    /// Adds what a row of blocks has of the wanted series.
    fn add_row(&mut self, of_pack: &mut OfPack<'_>, row: &PgRow) -> Result<(), ReadError> {
        let hidden = Hidden::of(&self.deletions, Origin::of_block(row)?);
        let (range, wanted) = (self.range, of_pack.wanted);
        let OfPack { found, disordered, histograms, .. } = of_pack;
        let mut columns =
            Columns { found, disordered, wanted, range, hidden: &hidden, part: &mut self.part };
        block::read_into(
            row.try_get("body")?,
            &mut self.scratch,
            &mut columns,
            |id| place(wanted, id).is_some(),
            |id, sample| add_histogram(histograms, wanted, range, &hidden, id, sample),
        )?;
        Ok(())
    }

    /// Adds what the head has, and brings all of it in order.
    fn finish(&mut self, pack: PackId, of_pack: OfPack<'_>) -> Result<Pack, ReadError> {
        let OfPack { wanted, mut found, mut disordered, histograms: mut of_histograms } = of_pack;
        let range = self.range;
        let all = wanted.len() == block::PACK_SERIES_MAX;
        for (run, hidden) in self.runs.iter().zip(&self.hidden) {
            run.batch.read_with_histograms(
                pack,
                &mut self.scratch,
                |id| all || place(wanted, id).is_some(),
                |id, times, values| {
                    add(&mut found, &mut disordered, wanted, range, hidden, id, times, values);
                },
                |id, sample| add_histogram(&mut of_histograms, wanted, range, hidden, id, sample),
            )?;
        }
        for (at, sample) in of_histograms {
            found[at].histograms.push(sample);
        }
        for (series, disordered) in found.iter_mut().zip(disordered) {
            if disordered {
                series.sort();
            }
            let SeriesColumns { timestamps, histograms, .. } = series;
            histogram::sort(histograms);
            // Of a float and a histogram for one time, the float.
            histograms.retain(|histogram| timestamps.binary_search(&histogram.ts).is_err());
        }
        found.retain(|series| !series.is_empty());
        Ok(found)
    }
}

/// How many samples take as much memory: a histogram counts for several.
fn weight(series: &SeriesColumns) -> usize {
    let of_histograms = series.histograms.iter().map(|sample| sample.histogram.weight());
    series.timestamps.len() + of_histograms.sum::<usize>()
}

/// What is known of one pack so far.
struct OfPack<'w> {
    wanted: &'w [SeriesId],
    found: Pack,
    /// Which of `found` have times that are not in order yet.
    disordered: Vec<bool>,
    /// By place in `found`.
    histograms: Vec<(usize, HistogramSample)>,
}

impl<'w> OfPack<'w> {
    fn new(wanted: &'w [SeriesId], spares: &Spares) -> Self {
        Self {
            wanted,
            found: spares.columns(wanted),
            disordered: vec![false; wanted.len()],
            histograms: Vec::new(),
        }
    }

    fn n_samples(&self) -> usize {
        self.found.iter().map(|series| series.timestamps.len()).sum::<usize>()
            + self.histograms.len()
    }
}

/// The columns of a pack, which values are decoded right into where all of them are wanted.
struct Columns<'c> {
    found: &'c mut [SeriesColumns],
    disordered: &'c mut [bool],
    wanted: &'c [SeriesId],
    range: Range,
    hidden: &'c Hidden,
    part: &'c mut Vec<f64>,
}

impl Columns<'_> {
    fn wants_all(&self, times: &[i64]) -> bool {
        let (first, last) = (times.first(), times.last());
        self.hidden.is_nothing()
            && first.is_some_and(|first| *first >= self.range.from)
            && last.is_some_and(|last| *last <= self.range.to)
    }
}

impl group::Sink for Columns<'_> {
    fn place(&mut self, series: i64, times: &[i64]) -> Option<&mut Vec<f64>> {
        let at = place(self.wanted, SeriesId(series))?;
        if !self.wants_all(times) {
            self.part.clear();
            return Some(self.part);
        }
        let column = &mut self.found[at];
        self.disordered[at] |= column.timestamps.last() >= times.first();
        if column.timestamps.is_empty() {
            column.timestamps.reserve_exact(times.len());
            column.values.reserve_exact(times.len());
        }
        column.timestamps.extend_from_slice(times);
        Some(&mut column.values)
    }

    fn placed(&mut self, series: i64, times: &[i64]) {
        if !self.wants_all(times) {
            let Self { found, disordered, wanted, range, hidden, part } = self;
            add(found, disordered, wanted, *range, hidden, SeriesId(series), times, part);
        }
    }
}

fn place(wanted: &[SeriesId], id: SeriesId) -> Option<usize> {
    wanted.binary_search(&id).ok()
}

#[expect(clippy::too_many_arguments, reason = "borrowed one by one from what a closure may borrow")]
fn add(
    found: &mut [SeriesColumns],
    disordered: &mut [bool],
    wanted: &[SeriesId],
    range: Range,
    hidden: &Hidden,
    id: SeriesId,
    times: &[i64],
    values: &[f64],
) {
    let Some(at) = place(wanted, id) else { return };
    let within = range.of(times);
    let (times, values) = (&times[within.clone()], &values[within]);
    let SeriesColumns { timestamps: all_times, values: all_values, .. } = &mut found[at];
    if let (Some(last), Some(first)) = (all_times.last(), times.first()) {
        disordered[at] |= last >= first;
    }
    if all_times.is_empty() {
        all_times.reserve_exact(times.len());
        all_values.reserve_exact(times.len());
    }
    hidden.visible(id, times, |visible| {
        all_times.extend_from_slice(&times[visible.clone()]);
        all_values.extend_from_slice(&values[visible]);
    });
}

fn add_histogram(
    histograms: &mut Vec<(usize, HistogramSample)>,
    wanted: &[SeriesId],
    range: Range,
    hidden: &Hidden,
    id: SeriesId,
    sample: HistogramSample,
) {
    if let Some(at) = place(wanted, id)
        && (range.from..=range.to).contains(&sample.ts)
        && !hidden.hides(id, sample.ts)
    {
        histograms.push((at, sample));
    }
}
