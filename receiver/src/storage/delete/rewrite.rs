//! Taking samples out of merged blocks: rows are deleted and their rest is inserted, in one transaction each few packs.
//!
//! The rest keeps its job's number, so that the order of commits stays told. Interrupted at any point, the work goes on
//! where it was; readers leave out what is hidden until all of it is done.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Row};
use tracing::info;

use super::{DeleteError, Hidden, Known, Origin};
use crate::{
    db,
    model::{Sample, SeriesId},
    storage::{
        block,
        codec::{CodecError, group},
        copy::CopyRows,
        histogram::HistogramSample,
        lease::Lease,
        partition::{self, Table},
    },
};

/// Packs of one transaction: some ten megabytes of a day of scrapes each second.
pub(in crate::storage) const PACKS_AT_ONCE: usize = 16;

/// Rewrites what pending deletions hide, for as long as `budget` allows. Gives whether everything is rewritten.
pub(in crate::storage) async fn rewrite(
    db: &PgPool,
    lease: Lease,
    budget: Duration,
) -> Result<bool, DeleteError> {
    let begun = Instant::now();
    let unfinished = sqlx::query(
        "SELECT id, cursor_table, cursor_bucket, cursor_pack, packs FROM watchpost.deletion
          WHERE rewritten_at IS NULL ORDER BY id",
    )
    .fetch_all(db)
    .await?;
    if unfinished.is_empty() {
        return Ok(true);
    }
    let known = Known::default().refreshed(db).await?;
    for row in unfinished {
        let id: i64 = row.try_get("id")?;
        let packs: Vec<i32> = row.try_get("packs")?;
        let Some(deletion) = known.pending.iter().find(|deletion| deletion.id == id) else {
            continue;
        };
        let cursor: (String, i32, i32) = (
            row.try_get("cursor_table")?,
            row.try_get("cursor_bucket")?,
            row.try_get("cursor_pack")?,
        );
        let mut rewriter = Rewriter::connect(db, lease).await?;
        for (table, bucket, packs) in places(db, &packs, deletion.from, &cursor).await? {
            for some in packs.chunks(PACKS_AT_ONCE) {
                if begun.elapsed() > budget {
                    return Ok(false);
                }
                let cursor = Cursor::Deletion { id, pack: some[some.len() - 1] };
                // All deletions at once: what is rewritten for one need not be for the next.
                rewriter
                    .packs(table, bucket, some, deletion.from..deletion.to, cursor, |job| {
                        let hidden = Hidden::of(&known.pending, Origin::Merged { job });
                        move |series, times: &[i64], each: &mut dyn FnMut(Range<usize>)| {
                            hidden.visible(series, times, each);
                        }
                    })
                    .await?;
            }
            rewriter.vacuum(table, bucket).await?;
        }
        sqlx::query("UPDATE watchpost.deletion SET rewritten_at = now() WHERE id = $1")
            .bind(id)
            .execute(db)
            .await?;
        info!(deletion = id, rows = rewriter.n_rows, "rewrote the merged blocks of deletion {id}");
        rewriter.close().await?;
    }
    Ok(true)
}

/// The partitions, and in each the packs, that are still to be looked at.
async fn places(
    db: &PgPool,
    packs: &[i32],
    from: i64,
    cursor: &(String, i32, i32),
) -> Result<Vec<(Table, i32, Vec<i32>)>, sqlx::Error> {
    let mut places = Vec::new();
    for table in [Table::Block, Table::BlockWindow] {
        for bucket in partition::list(db, table).await? {
            // A partition has samples of its day and strays from before, none from after.
            if bucket < table.bucket_of(from) {
                continue;
            }
            let place = (table.name(), bucket);
            let at = (&*cursor.0, cursor.1);
            let left: Vec<i32> = match place.cmp(&at) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => {
                    packs.iter().copied().filter(|pack| *pack > cursor.2).collect()
                }
                std::cmp::Ordering::Greater => packs.to_vec(),
            };
            places.push((table, bucket, left));
        }
    }
    Ok(places)
}

/// Where to note how far the work is.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Cursor {
    Deletion { id: i64, pack: i32 },
    Thinned { pack: i32 },
}

/// A connection that rewrites.
#[derive(Debug)]
pub(in crate::storage) struct Rewriter {
    connection: PgConnection,
    lease: Lease,
    encoder: block::Encoder,
    /// Rows rewritten so far, and of the present partition.
    pub(in crate::storage) n_rows: usize,
    n_rows_here: usize,
}

impl Rewriter {
    pub(in crate::storage) async fn connect(
        db: &PgPool,
        lease: Lease,
    ) -> Result<Self, sqlx::Error> {
        // Not from the pool: a vacuum may take longer than a statement may.
        let mut connection = db::work(db).await?;
        connection.execute(AssertSqlSafe(db::set_lock_timeout())).await?;
        Ok(Self {
            connection,
            lease,
            encoder: block::Encoder::default(),
            n_rows: 0,
            n_rows_here: 0,
        })
    }

    pub(in crate::storage) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    /// Rewrites those rows of the packs that overlap `span` and hold something that is not left. `left` says for a job
    /// which samples stay: given a series and its times it hands out their ranges.
    pub(in crate::storage) async fn packs<F>(
        &mut self,
        table: Table,
        bucket: i32,
        packs: &[i32],
        span: Range<i64>,
        cursor: Cursor,
        left: impl Fn(i64) -> F,
    ) -> Result<(), DeleteError>
    where
        F: Fn(SeriesId, &[i64], &mut dyn FnMut(Range<usize>)),
    {
        // Names of ours and numbers only.
        let partition = format!("watchpost.\"{}_{bucket}\"", table.name());
        let mut transaction = self.connection.begin().await?;
        let mut stale: Vec<String> = Vec::new();
        let mut fresh = CopyRows::default();
        let mut n_fresh = 0;
        {
            let select = format!(
                "SELECT ctid::text AS place, pack, job, body FROM {partition}
                  WHERE pack = ANY($1) AND t_min <= $3 AND t_max >= $2"
            );
            let mut rows = sqlx::query(AssertSqlSafe(select))
                .bind(packs)
                .bind(span.start)
                .bind(span.end)
                .fetch(&mut *transaction);
            let mut scratch = group::Scratch::default();
            while let Some(row) = rows.try_next().await? {
                let (pack, job): (i32, i64) = (row.try_get("pack")?, row.try_get("job")?);
                let body: &[u8] = row.try_get("body")?;
                let Some(rest) = rest(body, &mut scratch, left(job))? else { continue };
                stale.push(row.try_get("place")?);
                if rest.samples.is_empty() && rest.histograms.is_empty() {
                    continue;
                }
                n_fresh += 1;
                let encoded = self.encoder.encode_all(
                    rest.samples.iter().map(|(id, column)| (*id, &column[..])),
                    rest.histograms.iter().map(|(id, column)| (*id, &column[..])),
                );
                fresh
                    .row(7)
                    .int(bucket)
                    .int(pack)
                    .bigint(encoded.t_min)
                    .bigint(encoded.t_max)
                    .bigint(job)
                    .int(encoded.n_samples as i32)
                    .bytes(&encoded.body);
            }
        }
        if !stale.is_empty() {
            let delete = format!("DELETE FROM {partition} WHERE ctid = ANY($1::text[]::tid[])");
            let deleted =
                sqlx::query(AssertSqlSafe(delete)).bind(&stale).execute(&mut *transaction).await?;
            if deleted.rows_affected() != stale.len() as u64 {
                // Somebody else rewrote them meanwhile, so the lease is theirs.
                return Err(DeleteError::LeaseLost);
            }
        }
        if n_fresh > 0 {
            let statement = format!(
                "COPY {partition} (bucket, pack, t_min, t_max, job, n_samples, body) FROM STDIN (FORMAT binary)"
            );
            let mut copy = transaction.copy_in_raw(&statement).await?;
            copy.send(&CopyRows::HEADER[..]).await?;
            copy.send(fresh.take()).await?;
            copy.send(&CopyRows::TRAILER[..]).await?;
            copy.finish().await?;
        }
        match cursor {
            Cursor::Deletion { id, pack } => {
                sqlx::query(
                    "UPDATE watchpost.deletion SET cursor_table = $2, cursor_bucket = $3, cursor_pack = $4 WHERE id = $1",
                )
                .bind(id)
                .bind(table.name())
                .bind(bucket)
                .bind(pack)
                .execute(&mut *transaction)
                .await?;
            }
            Cursor::Thinned { pack } => {
                sqlx::query(
                    "UPDATE watchpost.thinned SET cursor_pack = $3 WHERE source = $1 AND bucket = $2",
                )
                .bind(table.name())
                .bind(bucket)
                .bind(pack)
                .execute(&mut *transaction)
                .await?;
            }
        }
        if !self.lease.hold(&mut *transaction).await? {
            return Err(DeleteError::LeaseLost);
        }
        transaction.commit().await?;
        self.n_rows += stale.len();
        self.n_rows_here += stale.len();
        Ok(())
    }

    /// Lets the space of the rows that went be used again.
    pub(in crate::storage) async fn vacuum(
        &mut self,
        table: Table,
        bucket: i32,
    ) -> Result<(), sqlx::Error> {
        if std::mem::take(&mut self.n_rows_here) > 0 {
            let vacuum = format!("VACUUM watchpost.\"{}_{bucket}\"", table.name());
            self.connection.execute(AssertSqlSafe(vacuum)).await?;
        }
        Ok(())
    }
}

/// What is left of a block.
#[derive(Default)]
struct Rest {
    samples: BTreeMap<SeriesId, Vec<Sample>>,
    histograms: BTreeMap<SeriesId, Vec<HistogramSample>>,
}

/// What is left of a block; `None` if that is all of it.
fn rest(
    body: &[u8],
    scratch: &mut group::Scratch,
    left: impl Fn(SeriesId, &[i64], &mut dyn FnMut(Range<usize>)),
) -> Result<Option<Rest>, CodecError> {
    let Rest { mut samples, mut histograms } = Rest::default();
    let is_whole = Cell::new(true);
    block::read_all(
        body,
        scratch,
        |_| true,
        |series, times, values| {
            let mut n_left = 0;
            left(series, times, &mut |range| {
                n_left += range.len();
                samples.entry(series).or_default().extend(
                    times[range.clone()]
                        .iter()
                        .zip(&values[range])
                        .map(|(ts, value)| Sample { ts: *ts, value: *value }),
                );
            });
            is_whole.set(is_whole.get() && n_left == times.len());
        },
        |series, sample| {
            let mut is_left = false;
            left(series, &[sample.ts], &mut |_| is_left = true);
            if is_left {
                histograms.entry(series).or_default().push(sample);
            } else {
                is_whole.set(false);
            }
        },
    )?;
    Ok((!is_whole.get()).then_some(Rest { samples, histograms }))
}
