//! Merge: many small blocks become few large ones, and a closed day becomes final.
//!
//! - A *window* merge takes a partition of `block_recent`, two hours of flushes, and writes it to `block_window` by the
//!   day of its samples.
//! - A *day* merge takes what `block_window` has of a day that has passed and loads it, frozen, as one new partition of
//!   `block`. Samples that come even later stay in `block_window`, overlapping.
//!
//! A window merge writes its rows and marks its source as superseded in one transaction, a day merge in two: a mark must not
//! be seen by anybody whose plan lacks the partition (see [`partition::settle`]). In between samples are there twice, which
//! readers tell apart. Only one receiver merges at a time.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection, PgPool, Row, postgres::PgCopyIn};
use tracing::{debug, info};

use super::{
    block::{self, PACK_SERIES_MAX},
    catalogue,
    codec::{CodecError, group},
    copy::CopyRows,
    delete::{self, Hidden, Origin},
    histogram::HistogramSample,
    lease::{self, Kept, Lease},
    partition::{self, Table},
};
use crate::{
    db,
    model::{Sample, SeriesId},
};

/// Samples of one series in one row: enough for the codec, few enough that reading one series touches little else.
const ROW_SERIES_SAMPLES: usize = 512;
/// The same for native histograms, which are larger.
const ROW_SERIES_HISTOGRAMS: usize = 128;
/// Samples of one pack that are held in memory at once: a day of 64 series every second, or some 100 MB.
const PACK_SAMPLES_MAX: usize = 4 << 20;
/// COPY data is sent in pieces of this size.
const SEND_BYTES: usize = 1 << 20;
/// A bucket of flushes is merged this many buckets after it closed.
const RECENT_BUCKETS_KEPT: i32 = 1;
/// A day becomes final when everything flushed within this many seconds after its end is merged: twice the two hours of
/// a bucket, and one more.
const DAY_GRACE_SECONDS: i64 = 6 * 3600;
/// Samples older than this many days share the partition of the oldest such day, so that stray timestamps cannot make
/// partitions without end.
const LATE_DAYS_MAX: i32 = 30;

/// The source under which `watchpost.merged` has days that are loaded, while their windows count as well.
const LOADED: &str = "block";

#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("merge blocks")]
    Database {
        #[from]
        source: sqlx::Error,
    },
    #[error("block of pack {pack}")]
    Block {
        pack: i32,
        #[source]
        source: CodecError,
    },
    #[error("another receiver merges now")]
    LeaseLost,
    #[error("something was deleted meanwhile; to be done again")]
    Deleted,
}

/// Merges every bucket of flushes that is due at `now`, in milliseconds. One that fails does not keep the others; what is
/// interrupted is done again the next time.
pub(super) async fn windows(
    db: &PgPool,
    lease: Lease,
    deletions: &delete::Known,
    now: i64,
) -> Result<Vec<MergeError>, MergeError> {
    let merged = marks(db, "block_recent").await?;
    let present = Table::BlockRecent.bucket_of(now);
    let mut failures = Vec::new();
    for bucket in partition::list(db, Table::BlockRecent).await? {
        if bucket >= present - RECENT_BUCKETS_KEPT {
            break;
        }
        if merged.contains_key(&bucket) {
            continue;
        }
        match under(db, lease, Box::pin(window(db, lease, deletions, bucket, now))).await {
            Ok(()) => {}
            Err(MergeError::LeaseLost) => return Err(MergeError::LeaseLost),
            Err(err) => failures.push(err),
        }
    }
    Ok(failures)
}

/// Makes every day final that is due at `now`, in milliseconds. One that fails does not keep the others.
pub(super) async fn days(
    db: &PgPool,
    lease: Lease,
    deletions: &delete::Known,
    now: i64,
) -> Result<Vec<MergeError>, MergeError> {
    in_force(db, lease).await?;
    let merged = marks(db, "block_recent").await?;
    // Everything flushed before this bucket is in windows.
    let oldest_unmerged = partition::list(db, Table::BlockRecent)
        .await?
        .into_iter()
        .find(|bucket| !merged.contains_key(bucket))
        .unwrap_or(i32::MAX)
        .min(Table::BlockRecent.bucket_of(now));
    let flushed_until = i64::from(oldest_unmerged) * Table::BlockRecent.bucket_seconds();
    let final_days: BTreeSet<i32> = partition::list(db, Table::Block).await?.into_iter().collect();
    let mut failures = Vec::new();
    for day in partition::list(db, Table::BlockWindow).await? {
        let closed = (i64::from(day) + 1) * Table::Block.bucket_seconds() + DAY_GRACE_SECONDS;
        if closed > flushed_until || final_days.contains(&day) {
            continue;
        }
        match under(db, lease, Box::pin(self::day(db, lease, deletions, day))).await {
            Ok(()) => {}
            Err(MergeError::LeaseLost) => return Err(MergeError::LeaseLost),
            Err(err) => failures.push(err),
        }
    }
    Ok(failures)
}

async fn under(
    db: &PgPool,
    lease: Lease,
    work: impl Future<Output = Result<(), MergeError>>,
) -> Result<(), MergeError> {
    lease::keeping(db, Kept::Lease(lease), || MergeError::LeaseLost, work).await
}

/// What was merged of a source: bucket → up to which job.
pub(super) async fn marks(db: &PgPool, source: &str) -> Result<BTreeMap<i32, i64>, sqlx::Error> {
    let rows = sqlx::query("SELECT bucket, upto FROM watchpost.merged WHERE source = $1")
        .bind(source)
        .fetch_all(db);
    rows.await?.iter().map(|row| Ok((row.try_get("bucket")?, row.try_get("upto")?))).collect()
}

/// Merges one bucket of flushes.
async fn window(
    db: &PgPool,
    lease: Lease,
    deletions: &delete::Known,
    bucket: i32,
    now: i64,
) -> Result<(), MergeError> {
    // After the deletions were read: a job's number says which of them it knew.
    let job = catalogue::claim(db, "job", 1).await?.start;
    let mut reading = db::work(db).await?;
    let mut writing = db::work(db).await?;
    let mut transaction = writing.begin().await?;
    // Who flushes to this bucket holds the lock shared, and does not begin once it is merged.
    let alone: bool = sqlx::query_scalar(
        "SELECT pg_try_advisory_xact_lock(hashtext('watchpost.block_recent'), $1)",
    )
    .bind(bucket)
    .fetch_one(&mut *transaction)
    .await?;
    if !alone {
        debug!(bucket, "bucket {bucket} is still being flushed to");
        return Ok(());
    }
    let range = sqlx::query("SELECT min(t_min) AS t_min, max(t_max) AS t_max FROM watchpost.block_recent WHERE bucket = $1")
        .bind(bucket)
        .fetch_one(&mut reading)
        .await?;
    let mut written = Written::default();
    if let (Some(t_min), Some(t_max)) = (range.try_get("t_min")?, range.try_get("t_max")?) {
        let days = Days {
            oldest: Table::Block.bucket_of(now) - LATE_DAYS_MAX,
            sealed: partition::sealed(db, Table::BlockWindow).await?.into_iter().collect(),
        };
        partition::ensure_all(db, Table::BlockWindow, days.of(t_min)..=days.of(t_max)).await?;
        let select = "SELECT pack, t_min, (writer::bigint << 40) | seq AS rank, body
                        FROM watchpost.block_recent WHERE bucket = $1 ORDER BY pack, t_min, rank";
        let mut source = sqlx::query(select).bind(bucket).fetch(&mut reading);
        let mut copy = transaction
            .copy_in_raw(
                "COPY watchpost.block_window (bucket, pack, t_min, t_max, job, n_samples, body)
                 FROM STDIN (FORMAT binary)",
            )
            .await?;
        let hidden = |rank: Rank| Hidden::of(&deletions.pending, Origin::of_rank(rank));
        match write_packs(&mut copy, &mut source, hidden, |ts| days.of(ts), job).await {
            Ok(done) => written = done,
            Err(err) => {
                copy.abort("the merge failed").await?;
                return Err(err);
            }
        }
        copy.finish().await?;
    }
    commit(transaction, lease, deletions, "block_recent", bucket, job).await?;
    debug!(
        bucket,
        job,
        blocks = written.blocks,
        samples = written.samples,
        "merged flushes of bucket {bucket}"
    );
    Ok(())
}

/// Makes one day final.
async fn day(
    db: &PgPool,
    lease: Lease,
    deletions: &delete::Known,
    day: i32,
) -> Result<(), MergeError> {
    // Jobs are numbered in the order of their commits: only the holder of the lease commits any.
    let upto: Option<i64> =
        sqlx::query_scalar("SELECT max(job) FROM watchpost.block_window WHERE bucket = $1")
            .bind(day)
            .fetch_one(db)
            .await?;
    let Some(upto) = upto else { return Ok(()) };
    let job = catalogue::claim(db, "job", 1).await?.start;
    let mut reading = db::work(db).await?;
    let mut writing = db::work(db).await?;
    let mut transaction = writing.begin().await?;
    transaction.execute(sqlx::AssertSqlSafe(db::set_local_lock_timeout())).await?;
    // Made and attached in one transaction, so that nobody can leave it behind.
    partition::create_loose(&mut transaction, Table::Block, day, "").await?;
    let select = "SELECT pack, t_min, job AS rank, body
                    FROM watchpost.block_window WHERE bucket = $1 AND job <= $2 ORDER BY pack, t_min, job";
    let mut source = sqlx::query(select).bind(day).bind(upto).fetch(&mut reading);
    let statement = format!(
        "COPY watchpost.\"block_{day}\" (bucket, pack, t_min, t_max, job, n_samples, body)
         FROM STDIN (FORMAT binary, FREEZE)"
    );
    let mut copy = transaction.copy_in_raw(&statement).await?;
    let hidden = |job: Rank| Hidden::of(&deletions.pending, Origin::Merged { job });
    let written = match write_packs(&mut copy, &mut source, hidden, |_| day, job).await {
        Ok(written) => written,
        Err(err) => {
            copy.abort("the merge failed").await?;
            return Err(err);
        }
    };
    copy.finish().await?;
    partition::attach_loaded(&mut transaction, Table::Block, day).await?;
    commit(transaction, lease, deletions, LOADED, day, upto).await?;
    in_force(db, lease).await?;
    info!(
        day,
        blocks = written.blocks,
        samples = written.samples,
        bytes = written.bytes,
        "day {day} is final"
    );
    Ok(())
}

/// Marks as superseded what days were made of that are loaded, when everybody knows of their partitions.
async fn in_force(db: &PgPool, lease: Lease) -> Result<(), MergeError> {
    if marks(db, LOADED).await?.is_empty() {
        return Ok(());
    }
    let mut connection = db::work(db).await?;
    partition::settle(&mut connection, Table::Block).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "WITH loaded AS (DELETE FROM watchpost.merged WHERE source = $1 RETURNING bucket, upto)
         INSERT INTO watchpost.merged (source, bucket, upto) SELECT 'block_window', bucket, upto FROM loaded
         ON CONFLICT ON CONSTRAINT merged_pkey DO UPDATE SET upto = greatest(merged.upto, excluded.upto)",
    )
    .bind(LOADED)
    .execute(&mut *transaction)
    .await?;
    if !lease.hold(&mut *transaction).await? {
        return Err(MergeError::LeaseLost);
    }
    transaction.commit().await?;
    Ok(connection.close().await?)
}

/// Writes a mark and commits, if the lease is still ours.
async fn commit(
    mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
    lease: Lease,
    deletions: &delete::Known,
    source: &str,
    bucket: i32,
    upto: i64,
) -> Result<(), MergeError> {
    sqlx::query(
        "INSERT INTO watchpost.merged (source, bucket, upto) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT merged_pkey DO UPDATE SET upto = greatest(merged.upto, excluded.upto)",
    )
    .bind(source)
    .bind(bucket)
    .bind(upto)
    .execute(&mut *transaction)
    .await?;
    if !lease.hold(&mut *transaction).await? {
        return Err(MergeError::LeaseLost);
    }
    if delete::is_news(&mut transaction, deletions.newest).await? {
        return Err(MergeError::Deleted);
    }
    Ok(transaction.commit().await?)
}

/// The partition of a time: its day, unless that is too long ago or its partition is about to go.
#[derive(Debug)]
struct Days {
    oldest: i32,
    sealed: BTreeSet<i32>,
}

impl Days {
    /// Ascends with `ts`.
    fn of(&self, ts: i64) -> i32 {
        let mut day = Table::Block.bucket_of(ts).max(self.oldest);
        while self.sealed.contains(&day) {
            day += 1;
        }
        day
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Written {
    blocks: usize,
    samples: usize,
    bytes: usize,
}

/// Reads rows in order of packs and times, and writes each pack's samples as larger rows.
async fn write_packs(
    copy: &mut PgCopyIn<&mut PgConnection>,
    source: &mut (impl futures_util::Stream<Item = Result<sqlx::postgres::PgRow, sqlx::Error>> + Unpin),
    hidden_of: impl Fn(Rank) -> Hidden,
    day_of: impl Fn(i64) -> i32,
    job: i64,
) -> Result<Written, MergeError> {
    let mut writer = PackWriter::new(job, day_of, PACK_SAMPLES_MAX);
    copy.send(&CopyRows::HEADER[..]).await?;
    while let Some(row) = source.try_next().await? {
        let pack: i32 = row.try_get("pack")?;
        let t_min: i64 = row.try_get("t_min")?;
        if pack != writer.pack {
            writer.write_all();
            writer.pack = pack;
        } else if writer.weight >= writer.weight_max {
            writer.write_before(t_min);
        }
        if writer.rows.len() >= SEND_BYTES {
            copy.send(writer.rows.take()).await?;
        }
        let rank: i64 = row.try_get("rank")?;
        writer
            .add(rank, &hidden_of(rank), row.try_get("body")?)
            .map_err(|source| MergeError::Block { pack, source })?;
    }
    writer.write_all();
    copy.send(writer.rows.take()).await?;
    copy.send(&CopyRows::TRAILER[..]).await?;
    Ok(writer.written)
}

/// Where a row stands in the order of commits, among the rows of its pack: as in `watchpost.live_block`.
type Rank = i64;

/// A sample, and which of its pack's rows it came with.
type Ranked<T> = (T, u32);

/// What is known of the series of a pack.
type Columns<T> = BTreeMap<SeriesId, Vec<Ranked<T>>>;

/// Parts of series, in order of time, none empty.
type Series<'a, T> = Vec<(SeriesId, &'a [T])>;

/// A float or a native histogram.
trait Timed {
    fn ts(&self) -> i64;
    /// How many floats take as much memory.
    fn weight(&self) -> usize;
}

impl Timed for Sample {
    fn ts(&self) -> i64 {
        self.ts
    }

    fn weight(&self) -> usize {
        1
    }
}

impl Timed for HistogramSample {
    fn ts(&self) -> i64 {
        self.ts
    }

    fn weight(&self) -> usize {
        self.histogram.weight()
    }
}

/// Takes away what lies before a time.
fn take_before<T: Timed + Clone>(columns: &mut Columns<T>, t_min: i64) -> Columns<T> {
    let mut before = BTreeMap::new();
    for (series, column) in columns {
        let (early, late): (Vec<Ranked<T>>, Vec<Ranked<T>>) =
            std::mem::take(column).into_iter().partition(|(sample, _)| sample.ts() < t_min);
        *column = late;
        before.insert(*series, early);
    }
    before
}

/// Each series in order of time, each time once.
fn in_order<T: Timed>(columns: Columns<T>, ranks: &[Rank]) -> Vec<(SeriesId, Vec<T>)> {
    columns
        .into_iter()
        .map(|(series, mut column)| {
            if !column.is_sorted_by(|a, b| a.0.ts() < b.0.ts()) {
                // Of two for one time, the one that was committed first.
                column.sort_by_key(|(sample, row)| (sample.ts(), ranks[*row as usize]));
                column.dedup_by_key(|(sample, _)| sample.ts());
            }
            (series, column.into_iter().map(|(sample, _)| sample).collect())
        })
        .collect()
}

/// The days that these times, which ascend, belong to.
fn days_of<T: Timed>(column: &[T], day_of: impl Fn(i64) -> i32) -> BTreeSet<i32> {
    column
        .chunk_by(|a, b| day_of(a.ts()) == day_of(b.ts()))
        .map(|of_day| day_of(of_day[0].ts()))
        .collect()
}

/// The part of each series that lies in a range of what `place` says of times, where there is any.
fn part<'a, T: Timed, P: Ord>(
    series: impl Iterator<Item = (SeriesId, &'a [T])>,
    place: impl Fn(i64) -> P,
    range: std::ops::Range<P>,
) -> Series<'a, T> {
    series
        .map(|(id, column)| {
            let start = column.partition_point(|sample| place(sample.ts()) < range.start);
            let end = column.partition_point(|sample| place(sample.ts()) < range.end);
            (id, &column[start..end])
        })
        .filter(|(_, column)| !column.is_empty())
        .collect()
}

fn longest<T>(series: &[(SeriesId, &[T])]) -> usize {
    series.iter().map(|(_, column)| column.len()).max().unwrap_or(0)
}

/// The earliest and the latest time of all.
fn span<T: Timed>(series: &[(SeriesId, &[T])]) -> Option<(i64, i64)> {
    let first = series.iter().filter_map(|(_, column)| column.first()).map(T::ts).min()?;
    let last = series.iter().filter_map(|(_, column)| column.last()).map(T::ts).max()?;
    Some((first, last))
}

/// One pack at a time.
struct PackWriter<F> {
    encoder: block::Encoder,
    scratch: group::Scratch,
    rows: CopyRows,
    written: Written,
    job: i64,
    day_of: F,
    pack: i32,
    ranks: Vec<Rank>,
    samples: Columns<Sample>,
    histograms: Columns<HistogramSample>,
    /// Of all of them, in floats.
    weight: usize,
    /// Beyond it, what is complete is written.
    weight_max: usize,
}

impl<F: Fn(i64) -> i32> PackWriter<F> {
    fn new(job: i64, day_of: F, samples_max: usize) -> Self {
        Self {
            encoder: block::Encoder::default(),
            scratch: group::Scratch::default(),
            rows: CopyRows::default(),
            written: Written::default(),
            job,
            day_of,
            pack: 0,
            ranks: Vec::new(),
            samples: BTreeMap::new(),
            histograms: BTreeMap::new(),
            weight: 0,
            weight_max: samples_max,
        }
    }

    /// Takes the samples of one row of the present pack.
    fn add(&mut self, rank: Rank, hidden: &Hidden, body: &[u8]) -> Result<(), CodecError> {
        let row = self.ranks.len() as u32;
        self.ranks.push(rank);
        let (samples, histograms) = (&mut self.samples, &mut self.histograms);
        let (mut n_floats, mut weight) = (0, 0);
        block::read_all(
            body,
            &mut self.scratch,
            |_| true,
            |series, times, values| {
                hidden.visible(series, times, |visible| {
                    n_floats += visible.len();
                    samples.entry(series).or_default().extend(
                        times[visible.clone()]
                            .iter()
                            .zip(&values[visible])
                            .map(|(ts, value)| (Sample { ts: *ts, value: *value }, row)),
                    );
                });
            },
            |series, sample| {
                if !hidden.hides(series, sample.ts) {
                    weight += sample.weight();
                    histograms.entry(series).or_default().push((sample, row));
                }
            },
        )?;
        self.weight += n_floats + weight;
        Ok(())
    }

    /// Writes all that is known of the pack, and forgets it.
    fn write_all(&mut self) {
        let samples = std::mem::take(&mut self.samples);
        let histograms = std::mem::take(&mut self.histograms);
        self.write(samples, histograms);
        self.ranks.clear();
        self.weight = 0;
    }

    /// Writes what lies before a time that no later row of the pack goes below; everything, where that is not enough to
    /// bound the memory: then rows overlap, which costs room and nothing else.
    fn write_before(&mut self, t_min: i64) {
        let samples = take_before(&mut self.samples, t_min);
        let histograms = take_before(&mut self.histograms, t_min);
        self.write(samples, histograms);
        let kept = self.histograms.values().flatten().map(|(sample, _)| sample.weight());
        self.weight = self.samples.values().map(Vec::len).sum::<usize>() + kept.sum::<usize>();
        if self.weight > self.weight_max / 2 {
            self.write_all();
        }
    }

    /// Writes samples, cut by day and into rows of a good size.
    fn write(&mut self, samples: Columns<Sample>, histograms: Columns<HistogramSample>) {
        let samples = in_order(samples, &self.ranks);
        let histograms = in_order(histograms, &self.ranks);
        let mut days: BTreeSet<i32> = BTreeSet::new();
        for (_, column) in &samples {
            days.append(&mut days_of(column, &self.day_of));
        }
        for (_, column) in &histograms {
            days.append(&mut days_of(column, &self.day_of));
        }
        for day in days {
            let samples = samples.iter().map(|(series, column)| (*series, &column[..]));
            let samples = part(samples, &self.day_of, day..day + 1);
            let histograms = histograms.iter().map(|(series, column)| (*series, &column[..]));
            let histograms = part(histograms, &self.day_of, day..day + 1);
            let n_chunks = samples.len().div_ceil(PACK_SERIES_MAX).max(1);
            for at in 0..n_chunks {
                let start = at * PACK_SERIES_MAX;
                let chunk = &samples[start..samples.len().min(start + PACK_SERIES_MAX)];
                // Behind the last floats of the pack.
                let of_histograms = if at + 1 == n_chunks { &histograms[..] } else { &[] };
                self.write_day(day, chunk, of_histograms);
            }
        }
    }

    /// One day of up to 64 series, in rows that each span an equal part of the time.
    fn write_day(
        &mut self,
        day: i32,
        samples: &[(SeriesId, &[Sample])],
        histograms: &[(SeriesId, &[HistogramSample])],
    ) {
        let spans = [span(samples), span(histograms)];
        let first = spans.iter().flatten().map(|(first, _)| *first).min();
        let last = spans.iter().flatten().map(|(_, last)| *last).max();
        let (Some(first), Some(last)) = (first, last) else { return };
        let n_rows = longest(samples)
            .div_ceil(ROW_SERIES_SAMPLES)
            .max(longest(histograms).div_ceil(ROW_SERIES_HISTOGRAMS))
            .max(1) as i64;
        let step = (last - first) / n_rows + 1;
        for row in 0..n_rows {
            let range = first + row * step..first + (row + 1) * step;
            let samples = part(samples.iter().copied(), |ts| ts, range.clone());
            let histograms = part(histograms.iter().copied(), |ts| ts, range);
            if samples.is_empty() && histograms.is_empty() {
                continue;
            }
            let encoded = self.encoder.encode_all(samples.into_iter(), histograms.into_iter());
            self.written.blocks += 1;
            self.written.samples += encoded.n_samples;
            self.written.bytes += encoded.body.len();
            self.rows
                .row(7)
                .int(day)
                .int(self.pack)
                .bigint(encoded.t_min)
                .bigint(encoded.t_max)
                .bigint(self.job)
                .int(encoded.n_samples as i32)
                .bytes(&encoded.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    /// The bodies of rows as they would be copied.
    fn bodies(mut rows: &[u8]) -> Vec<&[u8]> {
        let mut bodies = Vec::new();
        while !rows.is_empty() {
            rows = &rows[2..];
            for column in 0..7 {
                let (length, rest) = rows.split_first_chunk::<4>().unwrap();
                let (value, rest) = rest.split_at(i32::from_be_bytes(*length) as usize);
                if column == 6 {
                    bodies.push(value);
                }
                rows = rest;
            }
        }
        bodies
    }

    /// Merges rows of one series, given as (rank, times); values tell the rank. Gives what is stored, and the most that
    /// was held at once.
    fn merge(rows: &[(Rank, Vec<i64>)], samples_max: usize) -> (Vec<(i64, f64)>, usize) {
        let mut writer = PackWriter::new(1, |ts| ts.div_euclid(DAY_MS) as i32, samples_max);
        let mut encoder = block::Encoder::default();
        let mut held = 0;
        for (rank, times) in rows {
            if writer.weight >= samples_max {
                writer.write_before(times[0]);
            }
            let samples: Vec<Sample> =
                times.iter().map(|ts| Sample { ts: *ts, value: *rank as f64 }).collect();
            let encoded = encoder.encode(std::iter::once((SeriesId(1), &samples[..])));
            writer.add(*rank, &Hidden::default(), &encoded.body).unwrap();
            held = held.max(writer.weight);
        }
        writer.write_all();
        let rows = writer.rows.take();
        let mut stored = Vec::new();
        for body in bodies(&rows) {
            let mut scratch = group::Scratch::default();
            let take = |_, times: &[i64], values: &[f64]| {
                stored.extend(times.iter().copied().zip(values.iter().copied()));
            };
            block::read(body, &mut scratch, |_| true, take).unwrap();
        }
        (stored, held)
    }

    #[test]
    fn memory_is_bounded_and_the_first_value_stands() {
        // Each row overlaps the one before it, and was committed before it.
        let rows: Vec<(Rank, Vec<i64>)> = (0..100)
            .map(|n| (1000 - n, (0..20).map(|i| (n * 10 + i) * 60_000).collect()))
            .collect();
        let (stored, held) = merge(&rows, 50);
        assert!(held <= 50 + 20, "{held} samples at once");
        let expected: Vec<(i64, f64)> = (0..101)
            .flat_map(|n| (0..10).map(move |i| ((n * 10 + i) * 60_000, (1000 - n.min(99)) as f64)))
            .collect();
        assert_eq!(stored, expected, "in order, each time once, the lowest rank");
        // All at once gives the same.
        assert_eq!(merge(&rows, usize::MAX).0, expected);
    }

    #[test]
    fn rows_of_one_time_do_not_pile_up() {
        let rows: Vec<(Rank, Vec<i64>)> =
            (0..100).map(|n| (n, (0..20).map(|i| i * 1000 + n).collect())).collect();
        let (mut stored, held) = merge(&rows, 50);
        assert!(held <= 50 + 20, "{held} samples at once");
        stored.sort_by_key(|(ts, _)| *ts);
        assert_eq!(stored.len(), 100 * 20, "overlapping, and none is missing");
        assert!(stored.iter().all(|(ts, value)| ts % 1000 == *value as i64));
    }
}
