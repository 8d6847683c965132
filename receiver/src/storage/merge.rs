//! Merge: many small blocks become few large ones, and a closed day becomes final.
//!
//! - A *window* merge takes a partition of `block_recent`, two hours of flushes, and writes it to `block_window` by the
//!   day of its samples.
//! - A *day* merge takes what `block_window` has of a day that has passed and loads it, frozen, as one new partition of
//!   `block`. Samples that come even later stay in `block_window`, overlapping.
//!
//! Each writes its rows and marks its source as superseded in one transaction. Only one receiver merges at a time.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection, PgPool, Row, postgres::PgCopyIn};
use tracing::{debug, info};

use super::{
    block::{self, PACK_SERIES_MAX},
    catalogue,
    codec::{CodecError, group},
    copy::CopyRows,
    lease::Lease,
    partition::{self, Table},
    writer::Writer,
};
use crate::model::{Sample, SeriesId};

/// Samples of one series in one row: enough for the codec, few enough that reading one series touches little else.
const ROW_SERIES_SAMPLES: usize = 512;
/// COPY data is sent in pieces of this size.
const SEND_BYTES: usize = 1 << 20;
/// A bucket of flushes is merged this many buckets after it closed.
pub(super) const RECENT_BUCKETS_KEPT: i32 = 1;
/// A day becomes final when everything flushed within this many seconds after its end is merged: twice the two hours of
/// a bucket, and one more.
const DAY_GRACE_SECONDS: i64 = 6 * 3600;
/// Samples older than this many days share the partition of the oldest such day, so that stray timestamps cannot make
/// partitions without end.
const LATE_DAYS_MAX: i32 = 30;

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
}

/// Merges everything that is due at `now`, in milliseconds. What is interrupted is done again the next time.
pub(super) async fn all(db: &PgPool, writer: Writer, now: i64) -> Result<(), MergeError> {
    let Some(lease) = Lease::take(db, "merge", writer).await? else { return Ok(()) };
    let merged = marks(db, "block_recent").await?;
    let present = Table::BlockRecent.bucket_of(now);
    let mut oldest_unmerged = present;
    for bucket in partition::list(db, Table::BlockRecent).await? {
        if bucket >= present - RECENT_BUCKETS_KEPT {
            oldest_unmerged = oldest_unmerged.min(bucket);
            break;
        }
        if !merged.contains_key(&bucket) {
            window(db, lease, bucket, now).await?;
        }
    }
    // Everything flushed before this time is in windows.
    let flushed_until = i64::from(oldest_unmerged) * Table::BlockRecent.bucket_seconds();
    let final_days: BTreeSet<i32> = partition::list(db, Table::Block).await?.into_iter().collect();
    for day in partition::list(db, Table::BlockWindow).await? {
        let closed = (i64::from(day) + 1) * Table::Block.bucket_seconds() + DAY_GRACE_SECONDS;
        if closed <= flushed_until && !final_days.contains(&day) {
            self::day(db, lease, day).await?;
        }
    }
    Ok(())
}

/// What was merged of a source: bucket → up to which job.
pub(super) async fn marks(db: &PgPool, source: &str) -> Result<BTreeMap<i32, i64>, sqlx::Error> {
    let rows = sqlx::query("SELECT bucket, upto FROM watchpost.merged WHERE source = $1")
        .bind(source)
        .fetch_all(db);
    rows.await?.iter().map(|row| Ok((row.try_get("bucket")?, row.try_get("upto")?))).collect()
}

/// Merges one bucket of flushes.
async fn window(db: &PgPool, lease: Lease, bucket: i32, now: i64) -> Result<(), MergeError> {
    let job = catalogue::claim(db, "job", 1).await?.start;
    let range = sqlx::query("SELECT min(t_min) AS t_min, max(t_max) AS t_max FROM watchpost.block_recent WHERE bucket = $1")
        .bind(bucket)
        .fetch_one(db)
        .await?;
    let days = Days { oldest: Table::Block.bucket_of(now) - LATE_DAYS_MAX };
    let mut transaction = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('watchpost.block_recent'), $1)")
        .bind(bucket)
        .execute(&mut *transaction)
        .await?;
    let mut written = Written::default();
    if let (Some(t_min), Some(t_max)) = (range.try_get("t_min")?, range.try_get("t_max")?) {
        partition::ensure_all(db, Table::BlockWindow, days.of(t_min)..=days.of(t_max)).await?;
        let select = "SELECT pack, body FROM watchpost.block_recent WHERE bucket = $1 ORDER BY pack, t_min, writer, seq";
        let mut source = sqlx::query(select).bind(bucket).fetch(db);
        let mut copy = transaction
            .copy_in_raw(
                "COPY watchpost.block_window (bucket, pack, t_min, t_max, job, n_samples, body)
                 FROM STDIN (FORMAT binary)",
            )
            .await?;
        match write_packs(&mut copy, &mut source, |ts| days.of(ts), job).await {
            Ok(done) => written = done,
            Err(err) => {
                copy.abort("the merge failed").await?;
                return Err(err);
            }
        }
        copy.finish().await?;
    }
    commit(transaction, lease, "block_recent", bucket, job).await?;
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
async fn day(db: &PgPool, lease: Lease, day: i32) -> Result<(), MergeError> {
    // Jobs are numbered in the order of their commits: only the holder of the lease commits any.
    let upto: Option<i64> =
        sqlx::query_scalar("SELECT max(job) FROM watchpost.block_window WHERE bucket = $1")
            .bind(day)
            .fetch_one(db)
            .await?;
    let Some(upto) = upto else { return Ok(()) };
    let job = catalogue::claim(db, "job", 1).await?.start;
    // Not from the pool: loading a day takes longer than a statement may.
    let mut connection = db.acquire().await?.detach();
    connection.execute("SET statement_timeout = 0; SET lock_timeout = '2s'").await?;
    let mut transaction = connection.begin().await?;
    // A partition left by nobody: it is made and attached in one transaction. Numbers and names of ours only.
    let create = format!(
        "CREATE TABLE watchpost.\"block_{day}\" (LIKE watchpost.block INCLUDING ALL,
             CONSTRAINT \"block_{day}_bucket\" CHECK (bucket = {day}))"
    );
    transaction.execute(sqlx::AssertSqlSafe(create)).await?;
    let select = "SELECT pack, body FROM watchpost.block_window WHERE bucket = $1 AND job <= $2 ORDER BY pack, t_min, job";
    let mut source = sqlx::query(select).bind(day).bind(upto).fetch(db);
    let statement = format!(
        "COPY watchpost.\"block_{day}\" (bucket, pack, t_min, t_max, job, n_samples, body)
         FROM STDIN (FORMAT binary, FREEZE)"
    );
    let mut copy = transaction.copy_in_raw(&statement).await?;
    let written = match write_packs(&mut copy, &mut source, |_| day, job).await {
        Ok(written) => written,
        Err(err) => {
            copy.abort("the merge failed").await?;
            return Err(err);
        }
    };
    copy.finish().await?;
    let attach = format!(
        "ALTER TABLE watchpost.block ATTACH PARTITION watchpost.\"block_{day}\" FOR VALUES FROM ({day}) TO ({});
         ALTER TABLE watchpost.\"block_{day}\" DROP CONSTRAINT \"block_{day}_bucket\"",
        day + 1
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(attach)).execute(&mut *transaction).await?;
    commit(transaction, lease, "block_window", day, upto).await?;
    info!(
        day,
        blocks = written.blocks,
        samples = written.samples,
        bytes = written.bytes,
        "day {day} is final"
    );
    Ok(())
}

/// Marks the source as superseded and commits, if the lease is still ours.
async fn commit(
    mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
    lease: Lease,
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
    if !lease.hold(&mut transaction).await? {
        return Err(MergeError::LeaseLost);
    }
    Ok(transaction.commit().await?)
}

/// The partition of a time: its day, unless that is too long ago.
#[derive(Clone, Copy, Debug)]
struct Days {
    oldest: i32,
}

impl Days {
    fn of(self, ts: i64) -> i32 {
        Table::Block.bucket_of(ts).max(self.oldest)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Written {
    blocks: usize,
    samples: usize,
    bytes: usize,
}

/// Reads rows in order of packs, and writes each pack's samples as larger rows.
async fn write_packs(
    copy: &mut PgCopyIn<&mut PgConnection>,
    source: &mut (impl futures_util::Stream<Item = Result<sqlx::postgres::PgRow, sqlx::Error>> + Unpin),
    day_of: impl Fn(i64) -> i32,
    job: i64,
) -> Result<Written, MergeError> {
    let mut writer = PackWriter {
        encoder: block::Encoder::default(),
        rows: CopyRows::default(),
        written: Written::default(),
        job,
    };
    let mut scratch = group::Scratch::default();
    let mut pack = 0;
    let mut samples: BTreeMap<SeriesId, Vec<Sample>> = BTreeMap::new();
    copy.send(&CopyRows::HEADER[..]).await?;
    while let Some(row) = source.try_next().await? {
        let next: i32 = row.try_get("pack")?;
        if next != pack {
            writer.write(pack, &mut samples, &day_of);
            pack = next;
            if writer.rows.len() >= SEND_BYTES {
                copy.send(writer.rows.take()).await?;
            }
        }
        let body: &[u8] = row.try_get("body")?;
        block::read(
            body,
            &mut scratch,
            |_| true,
            |series, times, values| {
                let column = samples.entry(series).or_default();
                column.extend(
                    times.iter().zip(values).map(|(ts, value)| Sample { ts: *ts, value: *value }),
                );
            },
        )
        .map_err(|source| MergeError::Block { pack, source })?;
    }
    writer.write(pack, &mut samples, &day_of);
    copy.send(writer.rows.take()).await?;
    copy.send(&CopyRows::TRAILER[..]).await?;
    Ok(writer.written)
}

struct PackWriter {
    encoder: block::Encoder,
    rows: CopyRows,
    written: Written,
    job: i64,
}

impl PackWriter {
    /// Writes what is known of a pack, cut by day and into rows of a good size, and forgets it.
    fn write(
        &mut self,
        pack: i32,
        samples: &mut BTreeMap<SeriesId, Vec<Sample>>,
        day_of: &impl Fn(i64) -> i32,
    ) {
        let mut days: BTreeSet<i32> = BTreeSet::new();
        for column in samples.values_mut() {
            if !column.is_sorted_by(|a, b| a.ts < b.ts) {
                // Stable: of two for one time, the one that was committed first.
                column.sort_by_key(|sample| sample.ts);
                column.dedup_by_key(|sample| sample.ts);
            }
            days.extend(
                column
                    .chunk_by(|a, b| day_of(a.ts) == day_of(b.ts))
                    .map(|of_day| day_of(of_day[0].ts)),
            );
        }
        for day in days {
            let of_day: Vec<(SeriesId, &[Sample])> = samples
                .iter()
                .map(|(series, column)| {
                    let start = column.partition_point(|sample| day_of(sample.ts) < day);
                    let end = column.partition_point(|sample| day_of(sample.ts) <= day);
                    (*series, &column[start..end])
                })
                .filter(|(_, column)| !column.is_empty())
                .collect();
            for chunk in of_day.chunks(PACK_SERIES_MAX) {
                self.write_day(pack, day, chunk);
            }
        }
        samples.clear();
    }

    /// One day of up to 64 series, in rows that each span an equal part of the time.
    fn write_day(&mut self, pack: i32, day: i32, series: &[(SeriesId, &[Sample])]) {
        let longest = series.iter().map(|(_, column)| column.len()).max().unwrap_or(0);
        let n_rows = longest.div_ceil(ROW_SERIES_SAMPLES).max(1) as i64;
        let first =
            series.iter().map(|(_, column)| column[0].ts).min().expect("no series is empty");
        let last = series
            .iter()
            .filter_map(|(_, column)| column.last())
            .map(|s| s.ts)
            .max()
            .expect("as above");
        let step = (last - first) / n_rows + 1;
        for row in 0..n_rows {
            let (from, to) = (first + row * step, first + (row + 1) * step);
            let part: Vec<(SeriesId, &[Sample])> = series
                .iter()
                .map(|(id, column)| {
                    let start = column.partition_point(|sample| sample.ts < from);
                    let end = column.partition_point(|sample| sample.ts < to);
                    (*id, &column[start..end])
                })
                .filter(|(_, column)| !column.is_empty())
                .collect();
            if part.is_empty() {
                continue;
            }
            let encoded = self.encoder.encode(part.into_iter());
            self.written.blocks += 1;
            self.written.samples += encoded.n_samples;
            self.written.bytes += encoded.body.len();
            self.rows
                .row(7)
                .int(day)
                .int(pack)
                .bigint(encoded.t_min)
                .bigint(encoded.t_max)
                .bigint(self.job)
                .int(encoded.n_samples as i32)
                .bytes(&encoded.body);
        }
    }
}
