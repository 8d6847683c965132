//! Reading: head, batches of other receivers and blocks as if they were one.
//!
//! The head is looked at first, then the database, by a statement for some packs at a time, each in one snapshot. A batch leaves the head only
//! after its blocks are committed, so what the head no longer had is in blocks that the later look at the database sees:
//! no holes. What both have is told apart by series and time: no doubles.
//!
//! Series are read pack by pack, in order, some packs with each statement. What a statement gives is decoded while it
//! arrives and is complete before anybody takes it: a connection is never held by somebody who waits for a reader.
//! Memory is bounded by the chunks that are ready or being read, and by [`Bounds::samples_max`], however much is read.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use sqlx::{
    AssertSqlSafe, Connection, PgPool, Postgres, Row, pool::PoolConnection, postgres::PgRow,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

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
use crate::{
    db,
    model::{PackId, Sample, SeriesId},
};

/// Rows that wait to be decoded; one is a megabyte at most, mostly far less.
const FETCHED_ROWS: usize = 8;
/// Chunks that are decoded and wait to be taken, besides the one that is being read.
const DECODED_CHUNKS: usize = 1;
/// Packs of the first chunk, so that something arrives soon, and of the largest.
const CHUNK_PACKS: std::ops::RangeInclusive<usize> = 4..=512;
/// Samples that a chunk should have: 8 MiB.
const CHUNK_SAMPLES: usize = 1 << 19;
/// The pack under which the statement gives batches, before all blocks.
const BATCHES: i32 = -1;

/// How much and how long somebody may read.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// When reading ends, whether it is done or not.
    pub deadline: Option<Instant>,
    /// Samples of one chunk: what a reader holds at a time is a small multiple of this.
    pub samples_max: usize,
    /// Series of one selector.
    pub series_max: usize,
    /// Ends reading when it becomes true.
    pub cancelled: Option<watch::Receiver<bool>>,
}

impl Default for Bounds {
    /// As much as there is; each statement within its usual time.
    fn default() -> Self {
        Self {
            deadline: None,
            samples_max: usize::MAX,
            series_max: usize::MAX - 1,
            cancelled: None,
        }
    }
}

impl Bounds {
    /// Waits for something, within these bounds.
    async fn wait<T>(&self, something: impl Future<Output = T>) -> Result<T, ReadError> {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let cancelled = async {
            let asked = match self.cancelled.clone() {
                Some(mut cancelled) => cancelled.wait_for(|is| *is).await.is_ok(),
                None => false,
            };
            // Nobody is left who could cancel.
            if !asked {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            outcome = something => Ok(outcome),
            () = deadline => Err(ReadError::TimedOut),
            () = cancelled => Err(ReadError::Cancelled),
        }
    }

    /// Whether to go on, for work that waits for nothing.
    pub fn check(&self) -> Result<(), ReadError> {
        if self.cancelled.as_ref().is_some_and(|cancelled| *cancelled.borrow()) {
            return Err(ReadError::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(ReadError::TimedOut),
            _ => Ok(()),
        }
    }

    /// What is left of the time for a statement.
    fn statement_timeout(&self) -> Duration {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // Zero would mean no bound at all.
        left.unwrap_or(db::STATEMENT_TIMEOUT).max(Duration::from_millis(1))
    }
}

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

/// The series of some packs, pack by pack.
type Chunk = VecDeque<Vec<SeriesSamples>>;

/// Samples by packs, in the order in which they are read.
#[derive(Debug)]
pub struct PackStream {
    chunks: mpsc::Receiver<Result<Chunk, ReadError>>,
    /// What came and was not taken yet.
    ready: Chunk,
    bounds: Bounds,
}

impl PackStream {
    /// The wanted series of the next pack that have samples, in order of their numbers; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Vec<SeriesSamples>, ReadError>> {
        loop {
            if let Some(pack) = self.ready.pop_front() {
                return Some(Ok(pack));
            }
            match self.bounds.wait(self.chunks.recv()).await {
                Ok(Some(Ok(chunk))) => self.ready = chunk,
                Ok(None) => return None,
                Ok(Some(Err(err))) | Err(err) => return Some(Err(err)),
            }
        }
    }

    /// The same for threads of the runtime that may block.
    pub fn blocking_next(&mut self) -> Option<Result<Vec<SeriesSamples>, ReadError>> {
        if let Some(pack) = self.ready.pop_front() {
            return Some(Ok(pack));
        }
        tokio::runtime::Handle::current().block_on(self.next())
    }
}

/// All samples with `from <= ts <= to`; entry i answers `series[i]`.
pub(super) async fn read(
    places: Places<'_>,
    series: &[SeriesId],
    from: i64,
    to: i64,
) -> Result<Vec<SeriesSamples>, ReadError> {
    let mut stream = stream(places, series, from, to, Bounds::default());
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
pub(super) fn stream(
    places: Places<'_>,
    series: &[SeriesId],
    from: i64,
    to: i64,
    bounds: Bounds,
) -> PackStream {
    let (decoded, chunks) = mpsc::channel(DECODED_CHUNKS);
    let stream = PackStream { chunks, ready: Chunk::new(), bounds: bounds.clone() };
    let plan = plan(places.catalogue, series);
    if plan.is_empty() || from > to {
        return stream;
    }
    let range = Range { from, to };
    let deletions = places.head.deletions().pending;
    // Before the database is looked at: see above.
    let runs: Vec<Arc<Run>> =
        places.head.runs().into_iter().filter(|run| range.meets(run.t_min, run.t_max)).collect();
    let hidden = runs.iter().map(|run| run.hidden(&deletions)).collect();
    let scratch = group::Scratch::default();
    let samples_max = bounds.samples_max;
    let decoder = Decoder { runs, hidden, deletions, range, scratch, samples_max };
    let fetch = Fetch { db: places.db.clone(), writer: places.writer, range, bounds };
    tokio::spawn(async move {
        let reading = read_chunks(&fetch, decoder, plan, &decoded);
        let outcome = tokio::select! {
            outcome = fetch.bounds.wait(reading) => outcome.and_then(|outcome| outcome),
            () = decoded.closed() => return,
        };
        if let Err(err) = outcome {
            // Nobody waits any more if this fails.
            let _ = decoded.send(Err(err)).await;
        }
    });
    stream
}

/// Reads some packs, waits until they are taken, reads more at a time if they were small.
async fn read_chunks(
    fetch: &Fetch,
    mut decoder: Decoder,
    plan: Plan,
    decoded: &mpsc::Sender<Result<Chunk, ReadError>>,
) -> Result<(), ReadError> {
    let mut rest: VecDeque<(PackId, Vec<SeriesId>)> = plan.into_iter().collect();
    let mut n_packs = *CHUNK_PACKS.start();
    let mut batches_are_known = false;
    while !rest.is_empty() {
        let wanted: Vec<_> = rest.drain(..n_packs.min(rest.len())).collect();
        let packs = wanted.iter().map(|(pack, _)| pack.0).collect();
        let (fetched, rows) = mpsc::channel(FETCHED_ROWS);
        let decoding = tokio::task::spawn_blocking(move || {
            let chunk = decoder.run(&wanted, rows);
            (decoder, chunk)
        });
        let (fetching, decoding) =
            tokio::join!(fetch.rows(packs, !batches_are_known, fetched), decoding);
        let chunk;
        (decoder, chunk) = decoding.map_err(|_| ReadError::Interrupted)?;
        let chunk = chunk?;
        fetching?;
        batches_are_known = true;
        let n_samples: usize = chunk.iter().flatten().map(SeriesSamples::len).sum();
        if n_samples < CHUNK_SAMPLES / 2 {
            n_packs = (n_packs * 2).min(*CHUNK_PACKS.end());
        } else if n_samples > CHUNK_SAMPLES {
            n_packs = (n_packs / 2).max(1);
        }
        if decoded.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
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

/// How rows are asked for.
struct Fetch {
    db: PgPool,
    writer: Writer,
    range: Range,
    bounds: Bounds,
}

/// A connection that is closed unless everything was read that it was asked for: what is still on its way could be much.
struct Lent(Option<PoolConnection<Postgres>>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

impl Fetch {
    /// Sends all rows that may hold wanted samples, in order of packs and, within a pack, of their commits.
    async fn rows(
        &self,
        packs: Vec<i32>,
        with_batches: bool,
        fetched: mpsc::Sender<PgRow>,
    ) -> Result<(), sqlx::Error> {
        let mut lent = Lent(Some(self.db.acquire().await?));
        let connection = lent.0.as_mut().expect("lent above");
        // A statement alone is planned before its snapshot is taken: a merge that is committed in between attaches a
        // partition that the plan does not have, and marks as superseded what it has.
        let mut snapshot = connection
            .begin_with(AssertSqlSafe(format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
                self.bounds.statement_timeout().as_millis()
            )))
            .await?;
        let mut rows = sqlx::query(
            "SELECT pack, age, ord, ord2, writer, t_min, t_max, body FROM watchpost.live_block
              WHERE pack = ANY($1) AND t_min <= $3 AND t_max >= $2
                -- The partition of a day has samples of that day, and strays from before it.
                AND (age = 2 OR bucket >= $6)
             UNION ALL
             SELECT $5, 3, b.bucket, b.seq, b.writer, b.t_min, b.t_max, b.body
               FROM watchpost.writer w JOIN watchpost.batch b ON b.writer = w.id AND b.seq > w.flushed_seq
              WHERE w.id <> $4 AND b.t_min <= $3 AND b.t_max >= $2 AND $7
              ORDER BY pack, age, ord, ord2",
        )
        .bind(packs)
        .bind(self.range.from)
        .bind(self.range.to)
        .bind(self.writer.id)
        .bind(BATCHES)
        .bind(Table::Block.bucket_of(self.range.from))
        .bind(with_batches)
        .fetch(&mut *snapshot);
        while let Some(row) = rows.try_next().await? {
            if fetched.send(row).await.is_err() {
                // Decoding has failed, and says why.
                return Ok(());
            }
        }
        drop(rows);
        snapshot.commit().await?;
        drop(lent.0.take());
        Ok(())
    }
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
    samples_max: usize,
}

impl Decoder {
    /// Brings each pack's rows and runs together, in order of packs.
    fn run(
        &mut self,
        wanted: &[(PackId, Vec<SeriesId>)],
        mut rows: mpsc::Receiver<PgRow>,
    ) -> Result<Chunk, ReadError> {
        // Batches come first, whether there are any or not.
        let held: HashSet<(i32, i64)> = self.runs.iter().map(|run| (run.writer, run.seq)).collect();
        let mut next = rows.blocking_recv();
        while let Some(row) = &next {
            if row.try_get::<i32, _>("pack")? != BATCHES {
                break;
            }
            self.add_batch(row, &held)?;
            next = rows.blocking_recv();
        }
        let mut chunk = Chunk::with_capacity(wanted.len());
        let mut n_samples = 0;
        for (pack, series) in wanted {
            let mut of_pack = OfPack::new(series);
            while let Some(row) = &next {
                if row.try_get::<i32, _>("pack")? != pack.0 {
                    break;
                }
                self.add_row(&mut of_pack, row)?;
                if n_samples + of_pack.n_samples() > self.samples_max {
                    return Err(ReadError::TooManySamples);
                }
                next = rows.blocking_recv();
            }
            let found = self.finish(*pack, of_pack)?;
            n_samples += found.iter().map(weight).sum::<usize>();
            if n_samples > self.samples_max {
                return Err(ReadError::TooManySamples);
            }
            if !found.is_empty() {
                chunk.push_back(found);
            }
        }
        Ok(chunk)
    }

    /// Adds a batch of another receiver.
    fn add_batch(&mut self, row: &PgRow, held: &HashSet<(i32, i64)>) -> Result<(), ReadError> {
        let (writer, seq) = (row.try_get("writer")?, row.try_get("ord2")?);
        if held.contains(&(writer, seq)) {
            return Ok(());
        }
        let batch = Batch::open(Bytes::from(row.try_get::<Vec<u8>, _>("body")?))?;
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
        let OfPack { found, histograms, .. } = of_pack;
        let all = wanted.len() == block::PACK_SERIES_MAX;
        block::read_all(
            row.try_get("body")?,
            &mut self.scratch,
            |id| all || place(wanted, id).is_some(),
            |id, times, values| add(found, wanted, range, &hidden, id, times, values),
            |id, sample| add_histogram(histograms, wanted, range, &hidden, id, sample),
        )?;
        Ok(())
    }

    /// Adds what the head has, and brings all of it in order.
    fn finish(
        &mut self,
        pack: PackId,
        of_pack: OfPack<'_>,
    ) -> Result<Vec<SeriesSamples>, ReadError> {
        let OfPack { wanted, mut found, histograms: mut of_histograms } = of_pack;
        let range = self.range;
        let all = wanted.len() == block::PACK_SERIES_MAX;
        for (run, hidden) in self.runs.iter().zip(&self.hidden) {
            run.batch.read_with_histograms(
                pack,
                &mut self.scratch,
                |id| all || place(wanted, id).is_some(),
                |id, times, values| add(&mut found, wanted, range, hidden, id, times, values),
                |id, sample| add_histogram(&mut of_histograms, wanted, range, hidden, id, sample),
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

/// How many samples take as much memory: a histogram counts for several.
fn weight(series: &SeriesSamples) -> usize {
    let of_histograms = series.histograms.iter().map(|sample| sample.histogram.weight());
    series.samples.len() + of_histograms.sum::<usize>()
}

/// What is known of one pack so far.
struct OfPack<'w> {
    wanted: &'w [SeriesId],
    found: Vec<SeriesSamples>,
    /// By place in `found`.
    histograms: Vec<(usize, HistogramSample)>,
}

impl<'w> OfPack<'w> {
    fn new(wanted: &'w [SeriesId]) -> Self {
        let found = wanted.iter().map(|series| nothing(*series)).collect();
        Self { wanted, found, histograms: Vec::new() }
    }

    fn n_samples(&self) -> usize {
        self.found.iter().map(|series| series.samples.len()).sum::<usize>() + self.histograms.len()
    }
}

fn place(wanted: &[SeriesId], id: SeriesId) -> Option<usize> {
    wanted.binary_search(&id).ok()
}

fn add(
    found: &mut [SeriesSamples],
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
    let samples = &mut found[at].samples;
    if samples.is_empty() {
        samples.reserve_exact(times.len());
    }
    hidden.visible(id, times, |visible| {
        let pairs = times[visible.clone()].iter().zip(&values[visible]);
        samples.extend(pairs.map(|(ts, value)| Sample { ts: *ts, value: *value }));
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
