//! Flush: the head becomes rows of blocks, and its batches are superseded in the same transaction.
//!
//! The runs of the head are read side by side in order of packs, one pack at a time, so that memory stays bounded however
//! much is flushed. Whoever reads sees either the batches or the blocks, or both: samples are told apart by series and
//! time, so both is no harm.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgCopyIn};

use super::{
    block::{self, PACK_SERIES_MAX},
    codec::{CodecError, group},
    copy::CopyRows,
    delete::{self, Deletion, Hidden},
    head::{Head, Run},
    histogram::{self, HistogramSample},
    partition::{self, Table},
    rollup,
    writer::Writer,
};
use crate::{
    db,
    model::{PackId, Sample, SeriesId},
};

/// Buckets tried before a flush is put off.
const OPEN_BUCKET_TRIES: usize = 4;
/// COPY data is sent in pieces of about this size.
const SEND_BYTES: usize = 1 << 20;

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
    #[error("something was deleted meanwhile; to be done again")]
    Deleted,
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
    let deletions = head.deletions();
    let packer = Packer::new(runs, &deletions.pending, bucket, writer.id, last, now);
    let (flushed, late) = copy(&mut transaction, packer).await?;
    if !late.is_empty() {
        let (days, packs): (Vec<i32>, Vec<i32>) = late.into_iter().unzip();
        sqlx::query(
            "INSERT INTO watchpost.rollup_stale (bucket, pack) SELECT * FROM unnest($1, $2)",
        )
        .bind(days)
        .bind(packs)
        .execute(&mut *transaction)
        .await?;
    }
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
    if delete::is_news(&mut transaction, deletions.newest).await? {
        return Err(FlushError::Deleted);
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

/// Gives what was written, and the [`Late`] days.
async fn copy(
    connection: &mut PgConnection,
    packer: Packer,
) -> Result<(Flushed, Late), FlushError> {
    let mut copy = connection
        .copy_in_raw(
            "COPY watchpost.block_recent (bucket, pack, t_min, t_max, writer, seq, n_samples, body)
             FROM STDIN (FORMAT binary)",
        )
        .await?;
    match copy_packs(&mut copy, packer).await {
        Ok(done) => {
            copy.finish().await?;
            Ok(done)
        }
        Err(err) => {
            copy.abort("the flush failed").await?;
            Err(err)
        }
    }
}

async fn copy_packs(
    copy: &mut PgCopyIn<&mut PgConnection>,
    mut packer: Packer,
) -> Result<(Flushed, Late), FlushError> {
    copy.send(&CopyRows::HEADER[..]).await?;
    loop {
        let packing = tokio::task::spawn_blocking(move || {
            let outcome = packer.pack_some();
            (outcome, packer)
        });
        let outcome = match packing.await {
            Ok((outcome, returned)) => {
                packer = returned;
                outcome
            }
            Err(err) => std::panic::resume_unwind(err.into_panic()),
        };
        outcome?;
        if packer.rows.len() == 0 {
            break;
        }
        copy.send(packer.rows.take()).await?;
    }
    copy.send(&CopyRows::TRAILER[..]).await?;
    Ok((packer.flushed, packer.late))
}

/// Days and packs of samples that came late, whose rollups may be stale now.
type Late = BTreeSet<(i32, i32)>;

/// Turns runs into rows of blocks, some at a time.
struct Packer {
    runs: Vec<Arc<Run>>,
    /// Of each run, what is deleted.
    hidden: Vec<Hidden>,
    /// Every group of every run, in order of packs and then of commits.
    groups: Vec<Group>,
    /// Groups done.
    at: usize,
    bucket: i32,
    writer: i32,
    seq: i64,
    columns: Columns,
    histograms: BTreeMap<SeriesId, Vec<HistogramSample>>,
    encoder: block::Encoder,
    scratch: group::Scratch,
    rows: CopyRows,
    flushed: Flushed,
    /// In milliseconds.
    now: i64,
    late: Late,
}

/// One group of one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    pack: PackId,
    run: u32,
    group: u32,
}

impl Packer {
    fn new(
        mut runs: Vec<Arc<Run>>,
        deletions: &[Arc<Deletion>],
        bucket: i32,
        writer: i32,
        seq: i64,
        now: i64,
    ) -> Self {
        runs.sort_by_key(|run| run.seq);
        let hidden = runs.iter().map(|run| run.hidden(deletions)).collect();
        let mut groups: Vec<Group> = Vec::new();
        for (run, of) in (0..).zip(&runs) {
            let packs = (0..).zip(of.batch.packs());
            groups.extend(packs.map(|(group, pack)| Group { pack, run, group }));
        }
        groups.sort_unstable();
        Self {
            runs,
            hidden,
            groups,
            at: 0,
            bucket,
            writer,
            seq,
            columns: Columns::default(),
            histograms: BTreeMap::new(),
            encoder: block::Encoder::default(),
            scratch: group::Scratch::default(),
            rows: CopyRows::default(),
            flushed: Flushed::default(),
            now,
            late: Late::new(),
        }
    }

    /// Fills `rows` with the next packs; leaves them empty when all are done.
    fn pack_some(&mut self) -> Result<(), CodecError> {
        while self.rows.len() < SEND_BYTES
            && let Some(first) = self.groups.get(self.at)
        {
            let pack = first.pack;
            self.columns.clear();
            while let Some(group) = self.groups.get(self.at).filter(|group| group.pack == pack) {
                let batch = &self.runs[group.run as usize].batch;
                let (columns, histograms) = (&mut self.columns, &mut self.histograms);
                let hidden = &self.hidden[group.run as usize];
                batch.read_group_with_histograms(
                    group.group as usize,
                    &mut self.scratch,
                    |_| true,
                    |series, times, values| {
                        hidden.visible(series, times, |visible| {
                            columns.add(series, &times[visible.clone()], &values[visible]);
                        });
                    },
                    |series, sample| {
                        if !hidden.hides(series, sample.ts) {
                            histograms.entry(series).or_default().push(sample);
                        }
                    },
                )?;

                self.at += 1;
            }
            self.write(pack);
        }
        Ok(())
    }

    fn write(&mut self, pack: PackId) {
        self.columns.sort();
        let mut histograms = std::mem::take(&mut self.histograms);
        histograms.values_mut().for_each(histogram::sort);
        let n = self.columns.series.len();
        if n == 0 && histograms.is_empty() {
            return;
        }
        for start in (0..n.max(1)).step_by(PACK_SERIES_MAX) {
            let end = n.min(start + PACK_SERIES_MAX);
            // Behind the last floats of the pack.
            let of_histograms = if end == n { Some(&histograms) } else { None };
            let of_histograms = of_histograms.into_iter().flatten();
            let series = self.columns.series[start..end].iter().copied();
            let samples = self.columns.samples[start..end].iter().map(Vec::as_slice);
            let encoded = self.encoder.encode_all(
                series.zip(samples),
                of_histograms.map(|(series, samples)| (*series, &samples[..])),
            );
            self.rows
                .row(8)
                .int(self.bucket)
                .int(pack.0)
                .bigint(encoded.t_min)
                .bigint(encoded.t_max)
                .int(self.writer)
                .bigint(self.seq)
                .int(encoded.n_samples as i32)
                .bytes(&encoded.body);
            if rollup::late_days(self.now, encoded.t_min).is_some() {
                // In order of time, so only the late ones are looked at.
                for samples in &self.columns.samples[start..end] {
                    let days =
                        samples.iter().map_while(|sample| rollup::late_days(self.now, sample.ts));
                    self.late.extend(days.flatten().map(|day| (day, pack.0)));
                }
            }
            self.flushed.blocks += 1;
            self.flushed.samples += encoded.n_samples;
            self.flushed.bytes += encoded.body.len();
        }
    }
}

/// The samples of the series of one pack; keeps its memory from one to the next.
#[derive(Debug, Default)]
struct Columns {
    /// Ascending.
    series: Vec<SeriesId>,
    /// Of each series; those behind the last series are empty and wait for their turn.
    samples: Vec<Vec<Sample>>,
    /// Where the series that was added last stands: the next one most often follows it.
    at: usize,
}

impl Columns {
    fn clear(&mut self) {
        self.series.clear();
        self.samples.iter_mut().for_each(Vec::clear);
        self.at = 0;
    }

    fn add(&mut self, series: SeriesId, times: &[i64], values: &[f64]) {
        if self.series.get(self.at + 1) == Some(&series) {
            self.at += 1;
        } else if self.series.get(self.at) != Some(&series) {
            self.at = match self.series.binary_search(&series) {
                Ok(at) => at,
                Err(at) => {
                    let n = self.series.len();
                    self.series.insert(at, series);
                    if self.samples.len() == n {
                        self.samples.push(Vec::new());
                    }
                    // The empty one behind the last moves to its place.
                    self.samples[at..=n].rotate_right(1);
                    at
                }
            };
        }
        let samples = times.iter().zip(values).map(|(ts, value)| Sample { ts: *ts, value: *value });
        self.samples[self.at].extend(samples);
    }

    /// Each series in order of time, each time once.
    fn sort(&mut self) {
        for samples in &mut self.samples[..self.series.len()] {
            if !samples.is_sorted_by(|a, b| a.ts < b.ts) {
                // Stable: of two for one time, the one that was committed first.
                samples.sort_by_key(|sample| sample.ts);
                samples.dedup_by_key(|sample| sample.ts);
            }
        }
    }
}
