//! Reading: head, batches of other receivers and blocks as if they were one.
//!
//! The head is looked at first, then the database, by one statement and so in one snapshot. A batch leaves the head only
//! after its blocks are committed, so what the head no longer had is in blocks that the later look at the database sees:
//! no holes. What both have is told apart by series and time: no doubles.
//!
//! Series are read pack by pack, in order, while the database sends what comes next: memory is bounded by a few packs,
//! however much is read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use sqlx::{PgPool, Row, postgres::PgRow};
use tokio::sync::mpsc;

use super::{
    ReadError, SeriesSamples,
    batch::Batch,
    block,
    catalogue::Catalogue,
    codec::group,
    delete::{Deletion, Hidden, Origin},
    head::{Head, Run},
    histogram::{self, HistogramSample},
    partition::Table,
    writer::Writer,
};
use crate::model::{PackId, Sample, SeriesId};

/// Packs whose rows wait to be decoded; a pack's day is about a megabyte.
const FETCHED_PACKS: usize = 4;
/// Packs that are decoded and wait to be taken.
const DECODED_PACKS: usize = 2;
/// Rows for whose samples room is made in advance.
const ROWS_GUESS_MAX: usize = 32;
/// The pack under which the statement gives batches, before all blocks.
const BATCHES: i32 = -1;

/// Where samples are looked for.
#[derive(Clone)]
pub(super) struct Places<'a> {
    pub(super) db: &'a PgPool,
    pub(super) catalogue: &'a Catalogue,
    pub(super) head: &'a Head,
    /// Ourselves, whose batches are in the head.
    pub(super) writer: Writer,
}

/// A time range in milliseconds, both ends included.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: i64,
    to: i64,
}

/// The wanted series of each pack, in order.
type Plan = BTreeMap<PackId, Vec<SeriesId>>;

/// Samples by packs, in the order in which they are read.
#[derive(Debug)]
pub struct PackStream(mpsc::Receiver<Result<Vec<SeriesSamples>, ReadError>>);

impl PackStream {
    /// The wanted series of the next pack that have samples, in order of their numbers; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Vec<SeriesSamples>, ReadError>> {
        self.0.recv().await
    }

    /// The same for threads that may block.
    pub fn blocking_next(&mut self) -> Option<Result<Vec<SeriesSamples>, ReadError>> {
        self.0.blocking_recv()
    }
}

/// All samples with `from <= ts <= to`; entry i answers `series[i]`.
pub(super) async fn read(
    places: Places<'_>,
    series: &[SeriesId],
    from: i64,
    to: i64,
) -> Result<Vec<SeriesSamples>, ReadError> {
    let mut stream = stream(places, series, from, to);
    let mut found: HashMap<SeriesId, SeriesSamples> = HashMap::with_capacity(series.len());
    while let Some(pack) = stream.next().await {
        found.extend(pack?.into_iter().map(|series| (series.series, series)));
    }
    Ok(series.iter().map(|id| found.remove(id).unwrap_or_else(|| nothing(*id))).collect())
}

fn nothing(series: SeriesId) -> SeriesSamples {
    SeriesSamples { series, samples: Vec::new(), histograms: Vec::new() }
}

/// Starts reading. Dropping the stream ends it.
pub(super) fn stream(places: Places<'_>, series: &[SeriesId], from: i64, to: i64) -> PackStream {
    let (decoded, packs) = mpsc::channel(DECODED_PACKS);
    let plan = plan(places.catalogue, series);
    if plan.is_empty() || from > to {
        return PackStream(packs);
    }
    let range = Range { from, to };
    let deletions = places.head.deletions().pending;
    // Before the database is looked at: see above.
    let runs: Vec<Arc<Run>> =
        places.head.runs().into_iter().filter(|run| range.meets(run.t_min, run.t_max)).collect();
    let (fetched, rows) = mpsc::channel(FETCHED_PACKS);
    let wanted_packs = plan.keys().map(|pack| pack.0).collect();
    let (db, writer) = (places.db.clone(), places.writer);
    tokio::spawn(async move {
        if let Err(err) = fetch(&db, writer, wanted_packs, range, &fetched).await {
            // Nobody waits any more if this fails.
            let _ = fetched.send(Err(err.into())).await;
        }
    });
    tokio::task::spawn_blocking(move || {
        let hidden = runs.iter().map(|run| run.hidden(&deletions)).collect();
        let mut decoder =
            Decoder { runs, hidden, deletions, range, scratch: group::Scratch::default() };
        if let Err(err) = decoder.run(&plan, rows, &decoded) {
            let _ = decoded.blocking_send(Err(err));
        }
    });
    PackStream(packs)
}

fn plan(catalogue: &Catalogue, series: &[SeriesId]) -> Plan {
    let index = catalogue.index();
    let mut plan = Plan::new();
    for id in series {
        if let Some(position) = index.position(*id) {
            plan.entry(index.pack(position)).or_default().push(*id);
        }
    }
    for wanted in plan.values_mut() {
        wanted.sort_unstable();
        wanted.dedup();
    }
    plan
}

/// The rows of one pack, or all batches, in the order of their commits.
struct Fetched {
    pack: i32,
    rows: Vec<PgRow>,
}

/// Sends all rows that may hold wanted samples, pack by pack.
async fn fetch(
    db: &PgPool,
    writer: Writer,
    packs: Vec<i32>,
    range: Range,
    fetched: &mpsc::Sender<Result<Fetched, ReadError>>,
) -> Result<(), sqlx::Error> {
    // A statement alone is planned before its snapshot is taken: a merge that is committed in between attaches a partition
    // that the plan does not have, and marks as superseded what it has.
    let mut snapshot = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut rows = sqlx::query(
        "SELECT pack, age, ord, ord2, writer, t_min, t_max, body FROM watchpost.live_block
          WHERE pack = ANY($1) AND t_min <= $3 AND t_max >= $2
            -- The partition of a day has samples of that day, and strays from before it.
            AND (age = 2 OR bucket >= $6)
         UNION ALL
         SELECT $5, 3, b.bucket, b.seq, b.writer, b.t_min, b.t_max, b.body
           FROM watchpost.writer w JOIN watchpost.batch b ON b.writer = w.id AND b.seq > w.flushed_seq
          WHERE w.id <> $4 AND b.t_min <= $3 AND b.t_max >= $2
          ORDER BY pack, age, ord, ord2",
    )
    .bind(packs)
    .bind(range.from)
    .bind(range.to)
    .bind(writer.id)
    .bind(BATCHES)
    .bind(Table::Block.bucket_of(range.from))
    .fetch(&mut *snapshot);
    let mut next = Fetched { pack: BATCHES, rows: Vec::new() };
    while let Some(row) = rows.try_next().await? {
        let pack: i32 = row.try_get("pack")?;
        if pack != next.pack {
            let done = std::mem::replace(&mut next, Fetched { pack, rows: Vec::new() });
            if fetched.send(Ok(done)).await.is_err() {
                return Ok(());
            }
        }
        next.rows.push(row);
    }
    // Whoever decodes knows by the end of the channel that all was sent.
    let _ = fetched.send(Ok(next)).await;
    Ok(())
}

impl Range {
    fn meets(self, t_min: i64, t_max: i64) -> bool {
        t_min <= self.to && t_max >= self.from
    }

    /// The places of the times within.
    fn of(self, times: &[i64]) -> std::ops::Range<usize> {
        times.partition_point(|ts| *ts < self.from)..times.partition_point(|ts| *ts <= self.to)
    }
}

struct Decoder {
    runs: Vec<Arc<Run>>,
    /// Of each run, what is deleted.
    hidden: Vec<Hidden>,
    deletions: Arc<Vec<Arc<Deletion>>>,
    range: Range,
    scratch: group::Scratch,
}

impl Decoder {
    /// Brings each pack's rows and runs together, in order of packs.
    fn run(
        &mut self,
        plan: &Plan,
        mut rows: mpsc::Receiver<Result<Fetched, ReadError>>,
        decoded: &mpsc::Sender<Result<Vec<SeriesSamples>, ReadError>>,
    ) -> Result<(), ReadError> {
        // Batches come first, whether there are any or not.
        let mut next = rows.blocking_recv().transpose()?;
        if let Some(batches) = next.take_if(|next| next.pack == BATCHES) {
            self.add_batches(&batches.rows)?;
            next = rows.blocking_recv().transpose()?;
        }
        for (pack, wanted) in plan {
            let of_pack = next.take_if(|next| next.pack == pack.0);
            if of_pack.is_some() {
                next = rows.blocking_recv().transpose()?;
            }
            let of_pack = of_pack.map_or(Vec::new(), |fetched| fetched.rows);
            let series = self.decode(*pack, wanted, &of_pack)?;
            if !series.is_empty() && decoded.blocking_send(Ok(series)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Adds the batches of other receivers.
    fn add_batches(&mut self, rows: &[PgRow]) -> Result<(), ReadError> {
        let held: HashSet<(i32, i64)> = self.runs.iter().map(|run| (run.writer, run.seq)).collect();
        for row in rows {
            let (writer, seq) = (row.try_get("writer")?, row.try_get("ord2")?);
            if held.contains(&(writer, seq)) {
                continue;
            }
            let batch = Batch::open(Bytes::from(row.try_get::<Vec<u8>, _>("body")?))?;
            let (t_min, t_max) = (row.try_get("t_min")?, row.try_get("t_max")?);
            let run = Run { writer, seq, t_min, t_max, batch };
            self.hidden.push(run.hidden(&self.deletions));
            self.runs.push(Arc::new(run));
        }
        Ok(())
    }

    fn decode(
        &mut self,
        pack: PackId,
        wanted: &[SeriesId],
        rows: &[PgRow],
    ) -> Result<Vec<SeriesSamples>, ReadError> {
        let mut found: Vec<SeriesSamples> = wanted.iter().map(|series| nothing(*series)).collect();
        let mut of_histograms: Vec<(usize, HistogramSample)> = Vec::new();
        let range = self.range;
        // As many as the first row has, from each: growing piece by piece would copy everything once more.
        let n_places = rows.len().clamp(1, ROWS_GUESS_MAX);
        let place = |id: SeriesId| wanted.binary_search(&id).ok();
        let mut add = |hidden: &Hidden, id: SeriesId, times: &[i64], values: &[f64]| {
            let within = range.of(times);
            if let Some(at) = place(id) {
                let (times, values) = (&times[within.clone()], &values[within]);
                let samples = &mut found[at].samples;
                if samples.is_empty() {
                    samples.reserve_exact(times.len() * n_places);
                }
                hidden.visible(id, times, |visible| {
                    let pairs = times[visible.clone()].iter().zip(&values[visible]);
                    samples.extend(pairs.map(|(ts, value)| Sample { ts: *ts, value: *value }));
                });
            }
        };
        let mut add_histogram = |hidden: &Hidden, id: SeriesId, sample: HistogramSample| {
            if let Some(at) = place(id)
                && (range.from..=range.to).contains(&sample.ts)
                && !hidden.hides(id, sample.ts)
            {
                of_histograms.push((at, sample));
            }
        };
        let all = wanted.len() == block::PACK_SERIES_MAX;
        let is_wanted = |id: SeriesId| all || place(id).is_some();
        for row in rows {
            let hidden = Hidden::of(&self.deletions, Origin::of_block(row)?);
            block::read_all(
                row.try_get("body")?,
                &mut self.scratch,
                is_wanted,
                |id, times, values| add(&hidden, id, times, values),
                |id, sample| add_histogram(&hidden, id, sample),
            )?;
        }
        for (run, hidden) in self.runs.iter().zip(&self.hidden) {
            run.batch.read_with_histograms(
                pack,
                &mut self.scratch,
                is_wanted,
                |id, times, values| add(hidden, id, times, values),
                |id, sample| add_histogram(hidden, id, sample),
            )?;
        }
        for (at, sample) in of_histograms {
            found[at].histograms.push(sample);
        }
        found.retain(|series| !series.samples.is_empty() || !series.histograms.is_empty());
        for SeriesSamples { samples, histograms, .. } in &mut found {
            if !samples.is_sorted_by(|a, b| a.ts < b.ts) {
                // Stable: of two for one time, the one that was committed first.
                samples.sort_by_key(|sample| sample.ts);
                samples.dedup_by_key(|sample| sample.ts);
            }
            histogram::sort(histograms);
            // Of a float and a histogram for one time, the float.
            histograms.retain(|histogram| {
                samples.binary_search_by_key(&histogram.ts, |sample| sample.ts).is_err()
            });
        }
        Ok(found)
    }
}
