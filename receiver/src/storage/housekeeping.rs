//! What has to happen now and then: keep the lease, flush, adopt what a dead writer left, drop what nobody needs.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use sqlx::{PgPool, Row};
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info, warn};

use super::{
    Shared,
    flush::{self, FlushError, Flushed},
    merge::{self, RECENT_BUCKETS_KEPT},
    partition::{self, Table},
    recover,
    writer::{self, Writer},
};
use crate::{db::sqlstate, model::now_ms};

/// Well below the lease, so that one slow answer does not lose it.
const TICK: Duration = Duration::from_secs(10);
/// How long samples stay in batches only: a restart reads them back, and SQL decodes them without an index.
const FLUSH_EVERY: Duration = Duration::from_secs(120);
/// Flush earlier when the head holds this much.
const FLUSH_BYTES: usize = 64 << 20;
/// Batches stay this long after they were flushed, for readers with an older snapshot and for replicas.
const BATCH_BUCKETS_KEPT: i32 = 1;

/// Runs until the storage is closed.
pub(super) async fn run(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_flush = Instant::now();
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        match writer::renew(&shared.db, shared.writer).await {
            Ok(true) => {}
            Ok(false) => {
                error!(
                    writer = shared.writer.id,
                    "another receiver took over as writer {}", shared.writer.id
                );
                return;
            }
            Err(err) => {
                warn!("renew the writer's lease: {err}");
                continue;
            }
        }
        if last_flush.elapsed() >= FLUSH_EVERY || shared.head.n_bytes() >= FLUSH_BYTES {
            let started = Instant::now();
            last_flush = started;
            match all(&shared, now_ms()).await {
                Ok(flushed) if flushed.blocks > 0 => info!(
                    blocks = flushed.blocks,
                    samples = flushed.samples,
                    bytes = flushed.bytes,
                    duration_ms = started.elapsed().as_millis() as u64,
                    "flushed {} samples",
                    flushed.samples
                ),
                Ok(_) => {}
                // Nothing is lost: what could not be done is done the next time.
                Err(err) => warn!("housekeeping: {}", service::error::chain(&err)),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HousekeepingError {
    #[error("flush; the batches stay as they are")]
    Flush {
        #[source]
        source: FlushError,
    },
    #[error("take over from a writer that is gone")]
    TakeOver {
        #[source]
        source: sqlx::Error,
    },
    #[error("read the batches of writer {writer}, which is gone")]
    Recover {
        writer: i32,
        #[source]
        source: recover::RecoverError,
    },
    #[error("flush the batches of writer {writer}, which is gone")]
    Adopt {
        writer: i32,
        #[source]
        source: FlushError,
    },
    #[error("merge; the blocks stay as they are")]
    Merge {
        #[source]
        source: merge::MergeError,
    },
    #[error("drop partitions that nobody needs any more")]
    Drop {
        #[source]
        source: sqlx::Error,
    },
}

/// Everything that is due at `now`, in milliseconds.
pub(super) async fn all(shared: &Arc<Shared>, now: i64) -> Result<Flushed, HousekeepingError> {
    let flushed = shared.flush(now).await.map_err(|source| HousekeepingError::Flush { source })?;
    adopt(shared, now).await?;
    merge::all(&shared.db, shared.writer, now)
        .await
        .map_err(|source| HousekeepingError::Merge { source })?;
    let drop = |source| HousekeepingError::Drop { source };
    drop_flushed(&shared.db, now).await.map_err(drop)?;
    drop_merged(&shared.db, now).await.map_err(drop)?;
    if let Some(retention) = shared.retention {
        drop_old(&shared.db, retention, now).await.map_err(drop)?;
    }
    Ok(flushed)
}

/// Flushes what writers left behind whose lease has run out.
async fn adopt(shared: &Arc<Shared>, now: i64) -> Result<(), HousekeepingError> {
    let dead = sqlx::query(
        "UPDATE watchpost.writer w SET term = term + 1, lease_until = now() + $2
          WHERE w.id <> $1 AND w.lease_until < now()
            AND EXISTS (SELECT FROM watchpost.batch b WHERE b.writer = w.id AND b.seq > w.flushed_seq)
        RETURNING w.id, w.term",
    )
    .bind(shared.writer.id)
    .bind(writer::LEASE)
    .fetch_all(&shared.db)
    .await
    .map_err(|source| HousekeepingError::TakeOver { source })?;
    for row in dead {
        let take_over = |source| HousekeepingError::TakeOver { source };
        let writer = Writer {
            id: row.try_get("id").map_err(take_over)?,
            term: row.try_get("term").map_err(take_over)?,
        };
        shared.catalogue.refresh().await.map_err(take_over)?;
        recover::read_back(&shared.db, &shared.catalogue, &shared.head, Some(writer.id))
            .await
            .map_err(|source| HousekeepingError::Recover { writer: writer.id, source })?;
        let flushed = flush::flush(&shared.db, &shared.head, writer, now)
            .await
            .map_err(|source| HousekeepingError::Adopt { writer: writer.id, source })?;
        info!(
            writer = writer.id,
            samples = flushed.samples,
            "adopted the batches of writer {}",
            writer.id
        );
    }
    Ok(())
}

/// Drops batch partitions of the past in which every batch is in blocks.
async fn drop_flushed(db: &PgPool, now: i64) -> Result<(), sqlx::Error> {
    let present = Table::Batch.bucket_of(now);
    for bucket in partition::list(db, Table::Batch).await? {
        if bucket >= present - BATCH_BUCKETS_KEPT {
            break;
        }
        let needed: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM watchpost.batch b JOIN watchpost.writer w ON w.id = b.writer
                             WHERE b.bucket = $1 AND b.seq > w.flushed_seq)",
        )
        .bind(bucket)
        .fetch_one(db)
        .await?;
        if !needed {
            drop_unless_read(db, Table::Batch, bucket).await?;
        }
    }
    Ok(())
}

/// Drops partitions of blocks that a merge superseded a while ago.
async fn drop_merged(db: &PgPool, now: i64) -> Result<(), sqlx::Error> {
    let merged = merge::marks(db, Table::BlockRecent.name()).await?;
    let present = Table::BlockRecent.bucket_of(now);
    for bucket in partition::list(db, Table::BlockRecent).await? {
        if bucket < present - RECENT_BUCKETS_KEPT && merged.contains_key(&bucket) {
            drop_unless_read(db, Table::BlockRecent, bucket).await?;
        }
    }
    let merged = merge::marks(db, Table::BlockWindow.name()).await?;
    for bucket in partition::list(db, Table::BlockWindow).await? {
        let Some(upto) = merged.get(&bucket) else { continue };
        // Samples that came after their day was final stay here.
        let late: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM watchpost.block_window WHERE bucket = $1 AND job > $2)",
        )
        .bind(bucket)
        .bind(upto)
        .fetch_one(db)
        .await?;
        if !late {
            drop_unless_read(db, Table::BlockWindow, bucket).await?;
        }
    }
    Ok(())
}

/// Drops what lies before the retention.
async fn drop_old(db: &PgPool, retention: Duration, now: i64) -> Result<(), sqlx::Error> {
    let days = i32::try_from(retention.as_secs() / 86_400).unwrap_or(i32::MAX);
    let oldest = Table::Block.bucket_of(now).saturating_sub(days.max(1));
    for table in [Table::Block, Table::BlockWindow] {
        for bucket in partition::list(db, table).await? {
            if bucket < oldest {
                drop_unless_read(db, table, bucket).await?;
            }
        }
    }
    Ok(())
}

async fn drop_unless_read(db: &PgPool, table: Table, bucket: i32) -> Result<(), sqlx::Error> {
    match partition::drop(db, table, bucket).await {
        Ok(()) => {
            debug!(table = table.name(), bucket, "dropped partition {}_{bucket}", table.name());
        }
        // Somebody reads it, a backup perhaps: later, then.
        Err(err) if sqlstate::code(&err).as_deref() == Some("55P03") => {}
        Err(err) => return Err(err),
    }
    Ok(())
}
