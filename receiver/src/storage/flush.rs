//! Flush: the head becomes rows of blocks, and its batches are superseded in the same transaction.
//!
//! The runs of the head are read side by side in order of metrics, a slice of metrics at a time, so that memory stays
//! bounded however much is flushed. Whoever reads sees either the batches or the blocks, or both: samples are told apart
//! by series and time, so both is no harm.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgCopyIn};

use super::{
    block::{self, PACK_SERIES_MAX},
    catalogue::Catalogue,
    codec::{CodecError, group},
    copy::CopyRows,
    head::{Head, Run},
    partition::{self, Table},
    writer::Writer,
};
use crate::{
    db,
    model::{MetricId, PackId, Sample, SeriesId},
};

/// Buckets tried before a flush is put off.
const OPEN_BUCKET_TRIES: usize = 4;
/// Groups of one slice, of up to 64 series with a few samples each: some 100 MB while it is worked on.
const SLICE_GROUPS: u64 = 32 << 10;

#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error("write blocks")]
    Write {
        #[from]
        source: sqlx::Error,
    },
    #[error("a batch in memory does not follow its format")]
    Codec {
        #[from]
        source: CodecError,
    },
    #[error("series {series} is not in the catalogue")]
    UnknownSeries { series: SeriesId },
    #[error("another receiver took over as writer {writer}; what this one holds was flushed by it")]
    Fenced { writer: i32 },
}

/// What a flush wrote.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flushed {
    pub blocks: usize,
    pub samples: usize,
    pub bytes: usize,
}

/// Flushes everything that `writer` has committed so far. `now` says into which partition, in milliseconds.
pub async fn flush(
    db: &PgPool,
    catalogue: &Arc<Catalogue>,
    head: &Head,
    writer: Writer,
    now: i64,
) -> Result<Flushed, FlushError> {
    let runs: Vec<Arc<Run>> =
        head.runs().into_iter().filter(|run| run.writer == writer.id).collect();
    let Some(last) = runs.iter().map(|run| run.seq).max() else { return Ok(Flushed::default()) };
    // Not from the pool: a large flush takes longer than a statement may.
    let mut connection = db::work(db).await?;
    let mut transaction = connection.begin().await?;
    let bucket = open_bucket(db, &mut transaction, Table::BlockRecent.bucket_of(now)).await?;
    let flushed = copy(&mut transaction, catalogue, runs, bucket, writer.id, last).await?;
    let advanced =
        sqlx::query("UPDATE watchpost.writer SET flushed_seq = $3 WHERE id = $1 AND term = $2")
            .bind(writer.id)
            .bind(writer.term)
            .bind(last)
            .execute(&mut *transaction)
            .await?;
    if advanced.rows_affected() != 1 {
        return Err(FlushError::Fenced { writer: writer.id });
    }
    transaction.commit().await?;
    head.forget(writer.id, last);
    Ok(flushed)
}

/// A bucket that is not merged, and locked so that it will not be before we are done: the present one, or a later one
/// where a receiver whose clock is ahead of ours has merged it already. What is written to a merged bucket is not seen.
async fn open_bucket(
    db: &PgPool,
    transaction: &mut PgConnection,
    present: i32,
) -> Result<i32, sqlx::Error> {
    let mut bucket = present;
    for _ in 0..OPEN_BUCKET_TRIES {
        bucket = sqlx::query_scalar(
            "SELECT b FROM generate_series($1::int, $1 + 1000) b
              WHERE NOT EXISTS (SELECT FROM watchpost.merged m WHERE m.source = 'block_recent' AND m.bucket = b)
              ORDER BY b LIMIT 1",
        )
        .bind(bucket)
        .fetch_one(&mut *transaction)
        .await?;
        bucket = partition::ensure(db, Table::BlockRecent, bucket).await?;
        // Fails while a merge of this bucket is under way; and when one has just ended, the mark tells.
        let open: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_xact_lock_shared(hashtext('watchpost.block_recent'), $1)",
        )
        .bind(bucket)
        .fetch_one(&mut *transaction)
        .await?;
        let merged: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM watchpost.merged WHERE source = 'block_recent' AND bucket = $1)",
        )
        .bind(bucket)
        .fetch_one(&mut *transaction)
        .await?;
        if open && !merged {
            return Ok(bucket);
        }
        bucket += 1;
    }
    // The next flush tries again.
    Err(sqlx::Error::Protocol("no bucket of flushes is open".to_owned()))
}

async fn copy(
    connection: &mut PgConnection,
    catalogue: &Arc<Catalogue>,
    runs: Vec<Arc<Run>>,
    bucket: i32,
    writer: i32,
    seq: i64,
) -> Result<Flushed, FlushError> {
    let mut copy = connection
        .copy_in_raw(
            "COPY watchpost.block_recent (bucket, pack, t_min, t_max, writer, seq, n_samples, body)
             FROM STDIN (FORMAT binary)",
        )
        .await?;
    match copy_slices(&mut copy, catalogue, runs, bucket, writer, seq).await {
        Ok(flushed) => {
            copy.finish().await?;
            Ok(flushed)
        }
        Err(err) => {
            copy.abort("the flush failed").await?;
            Err(err)
        }
    }
}

async fn copy_slices(
    copy: &mut PgCopyIn<&mut PgConnection>,
    catalogue: &Arc<Catalogue>,
    runs: Vec<Arc<Run>>,
    bucket: i32,
    writer: i32,
    seq: i64,
) -> Result<Flushed, FlushError> {
    let mut flushed = Flushed::default();
    copy.send(&CopyRows::HEADER[..]).await?;
    let runs = Arc::new(runs);
    for slice in slices(&runs) {
        let (catalogue, runs) = (Arc::clone(catalogue), Arc::clone(&runs));
        let encoding = tokio::task::spawn_blocking(move || encode_slice(&catalogue, &runs, &slice));
        let blocks = match encoding.await {
            Ok(blocks) => blocks?,
            Err(err) => std::panic::resume_unwind(err.into_panic()),
        };
        let mut rows = CopyRows::default();
        for (pack, encoded) in &blocks {
            rows.row(8)
                .int(bucket)
                .int(pack.0)
                .bigint(encoded.t_min)
                .bigint(encoded.t_max)
                .int(writer)
                .bigint(seq)
                .int(encoded.n_samples as i32)
                .bytes(&encoded.body);
            flushed.samples += encoded.n_samples;
            flushed.bytes += encoded.body.len();
        }
        flushed.blocks += blocks.len();
        copy.send(rows.take()).await?;
    }
    copy.send(&CopyRows::TRAILER[..]).await?;
    Ok(flushed)
}

/// Cuts the metrics that the runs hold into ranges of bounded size.
fn slices(runs: &[Arc<Run>]) -> Vec<RangeInclusive<MetricId>> {
    let mut sizes: HashMap<MetricId, u64> = HashMap::new();
    for run in runs {
        run.batch.add_group_counts(&mut sizes);
    }
    let mut metrics: Vec<(MetricId, u64)> = sizes.into_iter().collect();
    metrics.sort_unstable();
    let mut slices: Vec<RangeInclusive<MetricId>> = Vec::new();
    let mut room = 0;
    for (metric, n_groups) in metrics {
        match slices.last_mut() {
            Some(slice) if n_groups <= room => *slice = *slice.start()..=metric,
            _ => {
                slices.push(metric..=metric);
                room = SLICE_GROUPS;
            }
        }
        room = room.saturating_sub(n_groups);
    }
    slices
}

fn encode_slice(
    catalogue: &Catalogue,
    runs: &[Arc<Run>],
    slice: &RangeInclusive<MetricId>,
) -> Result<Vec<(PackId, block::Encoded)>, FlushError> {
    let mut samples: HashMap<SeriesId, Vec<Sample>> = HashMap::new();
    let mut scratch = group::Scratch::default();
    for run in runs {
        run.batch.read_metrics(slice, &mut scratch, |_, series, times, values| {
            let column = samples.entry(series).or_default();
            column.extend(
                times.iter().zip(values).map(|(ts, value)| Sample { ts: *ts, value: *value }),
            );
        })?;
    }
    let mut packs: Vec<(PackId, SeriesId, Vec<Sample>)> = Vec::with_capacity(samples.len());
    {
        let index = catalogue.index();
        for (series, column) in samples {
            // Leaving it out would lose acknowledged samples.
            let position = index.position(series).ok_or(FlushError::UnknownSeries { series })?;
            packs.push((index.pack(position), series, column));
        }
    }
    packs.sort_unstable_by_key(|(pack, series, _)| (*pack, *series));
    for (_, _, column) in &mut packs {
        // Stable: of two for one time, the one that was committed first.
        if !column.is_sorted_by(|a, b| a.ts < b.ts) {
            column.sort_by_key(|sample| sample.ts);
            column.dedup_by_key(|sample| sample.ts);
        }
    }
    let mut encoder = block::Encoder::default();
    Ok(packs
        .chunk_by(|a, b| a.0 == b.0)
        .flat_map(|pack| pack.chunks(PACK_SERIES_MAX))
        .map(|chunk| {
            (
                chunk[0].0,
                encoder.encode(chunk.iter().map(|(_, series, column)| (*series, &column[..]))),
            )
        })
        .collect())
}
