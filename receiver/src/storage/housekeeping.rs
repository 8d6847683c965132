//! What has to happen now and then: flush, adopt what a dead writer left, merge, drop what nobody needs.
//!
//! Each step is done whatever becomes of the others, and its failures are counted: a damaged block must not keep the head
//! from being flushed, nor the disk from being freed.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use sqlx::{PgPool, Row};
use tokio::time::{MissedTickBehavior, sleep};
use tracing::{debug, error, info, warn};

use super::{
    Shared,
    delete::{self, DeleteError},
    exemplar,
    flush::{self, FlushError, Flushed},
    lease::{self, Keeper, Kept, Lease},
    merge,
    metrics::Step,
    partition::{self, Dropped, Table},
    recover, retention,
    rollup::{self, RollupError},
    start,
    writer::{self, Writer},
};

/// How often to look whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// However often a flush is asked for.
const TICK_MIN: Duration = Duration::from_millis(50);
/// Flush earlier when the head holds this much.
const FLUSH_BYTES: usize = 64 << 20;
/// How long after another receiver's deletion we may still show what it hides.
const DELETIONS_EVERY: Duration = Duration::from_secs(3);
/// Between two looks whether the lease is still ours, and the longest that other work waits for rewriting.
const REWRITE_SPAN: Duration = Duration::from_secs(10);
/// More deletions than this while we merge: the next time, then.
const MERGE_TRIES: usize = 3;
/// Batches stay this long after they were flushed, for readers with an older snapshot and for replicas.
const BATCH_BUCKETS_KEPT: i32 = 1;
/// Blocks stay this long after they were seen to be superseded: whoever has an older snapshot may not have looked yet.
const MERGED_KEPT_MS: i64 = 10 * 60 * 1000;
/// Between two tries to register anew.
const REGISTER_AGAIN: Duration = Duration::from_secs(2);

/// Runs until the storage is closed.
pub(super) async fn run(shared: Weak<Shared>, every: Duration) {
    let mut ticks = tokio::time::interval(TICK.min(every).max(TICK_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_flush = Instant::now();
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        if last_flush.elapsed() < every {
            continue;
        }
        let started = Instant::now();
        last_flush = started;
        // Nothing is lost by a failure: what could not be done is done the next time.
        // In a task of its own: even a bug there must not end this loop, while the lease is kept and writes are taken.
        let working = Arc::clone(&shared);
        let working = tokio::spawn(async move { all(&working, working.clock.now_ms()).await });
        let Done { flushed, failures } = match working.await {
            Ok(done) => done,
            Err(err) => {
                error!("housekeeping ended in the middle, which is a bug: {err}");
                shared.metrics.failed(Step::Whole);
                continue;
            }
        };
        for failure in &failures {
            warn!("housekeeping: {}", service::error::chain(failure));
        }
        if flushed.blocks > 0 {
            info!(
                blocks = flushed.blocks,
                samples = flushed.samples,
                bytes = flushed.bytes,
                duration_ms = started.elapsed().as_millis() as u64,
                "flushed {} samples",
                flushed.samples
            );
        }
    }
}

/// Flushes when the head holds much, also while a merge takes its time. Runs until the storage is closed.
pub(super) async fn flush_when_full(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.head.n_bytes() < FLUSH_BYTES {
            continue;
        }
        if let Err(source) = shared.flush(shared.clock.now_ms()).await {
            let failure = HousekeepingError::Flush { source };
            shared.metrics.failed(failure.step());
            warn!("flush: {}", service::error::chain(&failure));
        }
    }
}

/// Keeps this process's lease, whatever else is going on; registers anew when another receiver took over. Runs until the
/// storage is closed.
pub(super) async fn keep_alive(shared: Weak<Shared>, db: PgPool, host: String) {
    let mut keeper = Keeper::new(db.clone());
    let mut ticks = tokio::time::interval(lease::RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let writer = shared.writer.writer();
        if shared.writer.is_accepting() {
            match keeper.renew(Kept::Writer(writer)).await {
                Ok(true) => continue,
                Ok(false) => shared.writer.fence(writer),
                Err(err) => {
                    warn!("renew the writer's lease: {err}");
                    continue;
                }
            }
        }
        shared.metrics.fenced();
        error!(
            writer = writer.id,
            "another receiver took over as writer {}: no writes until this one is registered anew",
            writer.id
        );
        loop {
            match writer::register(&db, &host).await {
                Ok(writer) => {
                    info!(writer = writer.id, "registered anew as writer {}", writer.id);
                    shared.writer.replace(writer);
                    break;
                }
                Err(err) => warn!("register as a writer: {err}"),
            }
            if Arc::strong_count(&shared) == 1 {
                return;
            }
            sleep(REGISTER_AGAIN).await;
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HousekeepingError {
    #[error("make partitions ahead")]
    Ahead {
        #[source]
        source: sqlx::Error,
    },
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
    #[error("delete; what is to be deleted stays hidden")]
    Delete {
        #[source]
        source: DeleteError,
    },
    #[error("roll up; hours are computed from samples")]
    Rollup {
        #[source]
        source: RollupError,
    },
    #[error("drop partitions that nobody needs any more")]
    Drop {
        #[source]
        source: sqlx::Error,
    },
}

impl HousekeepingError {
    fn step(&self) -> Step {
        match self {
            Self::Ahead { .. } => Step::Ahead,
            Self::Flush { .. } => Step::Flush,
            Self::TakeOver { .. } | Self::Recover { .. } | Self::Adopt { .. } => Step::Adopt,
            Self::Merge { .. } | Self::Delete { .. } => Step::Merge,
            Self::Rollup { .. } => Step::Rollup,
            Self::Drop { .. } => Step::Drop,
        }
    }
}

/// What was done, and what could not be.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) flushed: Flushed,
    pub(super) failures: Vec<HousekeepingError>,
}

/// Everything that is due at `now`, in milliseconds.
pub(super) async fn all(shared: &Arc<Shared>, now: i64) -> Done {
    // One at a time: merges are numbered in the order of their commits.
    let _only = shared.housekeeping.lock().await;
    let mut failures = Vec::new();
    if let Err(source) = make_ahead(&shared.db, now).await {
        failures.push(HousekeepingError::Ahead { source });
    }
    let flushed = shared.flush(now).await.unwrap_or_else(|source| {
        failures.push(HousekeepingError::Flush { source });
        Flushed::default()
    });
    adopt(shared, now, &mut failures).await;
    as_leader(shared, now, &mut failures).await;
    for failure in &failures {
        shared.metrics.failed(failure.step());
    }
    Done { flushed, failures }
}

/// So that whoever commits or flushes need not wait for a partition to be made.
async fn make_ahead(db: &PgPool, now: i64) -> Result<(), sqlx::Error> {
    for table in [Table::Batch, Table::BlockRecent, Table::Exemplar] {
        partition::ensure(db, table, table.bucket_of(now)).await?;
    }
    Ok(())
}

/// Flushes what writers left behind whose lease has run out.
async fn adopt(shared: &Arc<Shared>, now: i64, failures: &mut Vec<HousekeepingError>) {
    let dead = match take_over(shared).await {
        Ok(dead) => dead,
        Err(source) => return failures.push(HousekeepingError::TakeOver { source }),
    };
    for writer in dead {
        match adopt_one(shared, writer, now).await {
            Ok(flushed) => info!(
                writer = writer.id,
                samples = flushed.samples,
                "adopted the batches of writer {}",
                writer.id
            ),
            Err(err) => failures.push(err),
        }
    }
    if let Err(source) = forget_flushed(shared).await {
        failures.push(HousekeepingError::TakeOver { source });
    }
}

/// Takes over writers that have batches and no lease.
async fn take_over(shared: &Shared) -> Result<Vec<Writer>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE watchpost.writer w SET term = term + 1, lease_until = now() + $2
          WHERE w.id <> $1 AND w.lease_until < now()
            AND EXISTS (SELECT FROM watchpost.batch b WHERE b.writer = w.id AND b.seq > w.flushed_seq)
        RETURNING w.id, w.term",
    )
    .bind(shared.writer.writer().id)
    .bind(writer::LEASE)
    .fetch_all(&shared.db)
    .await?;
    rows.iter()
        .map(|row| Ok(Writer { id: row.try_get("id")?, term: row.try_get("term")? }))
        .collect()
}

async fn adopt_one(
    shared: &Arc<Shared>,
    writer: Writer,
    now: i64,
) -> Result<Flushed, HousekeepingError> {
    let id = writer.id;
    let adopting = async {
        let take_over = |source| HousekeepingError::TakeOver { source };
        forget_flushed(shared).await.map_err(take_over)?;
        shared.learn_of_deletions().await.map_err(take_over)?;
        shared.catalogue.refresh().await.map_err(take_over)?;
        recover::read_back(&shared.db, &shared.catalogue, &shared.head, Some(id))
            .await
            .map_err(|source| HousekeepingError::Recover { writer: id, source })?;
        flush::flush(&shared.db, &shared.head, writer, now)
            .await
            .map_err(|source| HousekeepingError::Adopt { writer: id, source })
    };
    let lost =
        || HousekeepingError::Adopt { writer: id, source: FlushError::Fenced { writer: id } };
    lease::keeping(&shared.db, Kept::Writer(writer), lost, adopting).await
}

/// Lets the head forget what others have flushed: batches that were read back while their writer still lived.
async fn forget_flushed(shared: &Shared) -> Result<(), sqlx::Error> {
    let mut others: Vec<i32> = shared.head.runs().iter().map(|run| run.writer).collect();
    others.sort_unstable();
    others.dedup();
    let rows = sqlx::query("SELECT id, flushed_seq FROM watchpost.writer WHERE id = ANY($1)")
        .bind(&others)
        .fetch_all(&shared.db)
        .await?;
    for row in rows {
        shared.head.forget(row.try_get("id")?, row.try_get("flushed_seq")?);
    }
    Ok(())
}

/// What one receiver does for all.
async fn as_leader(shared: &Arc<Shared>, now: i64, failures: &mut Vec<HousekeepingError>) {
    let db = &shared.db;
    let lease = match Lease::take(db, "merge", shared.writer.writer()).await {
        Ok(Some(lease)) => lease,
        Ok(None) => return,
        Err(source) => {
            return failures.push(HousekeepingError::Merge { source: source.into() });
        }
    };
    let merged = merge(db, lease, now).await;
    failures.extend(merged.into_iter().map(|source| HousekeepingError::Merge { source }));
    if let Err(source) = delete(db, lease).await {
        failures.push(HousekeepingError::Delete { source });
    }
    // What is left when the time is up is for the next time.
    let Shared { catalogue, retention, .. } = &**shared;
    if let Err(source) = retention::thin(db, catalogue, retention, lease, now, REWRITE_SPAN).await {
        failures.push(HousekeepingError::Delete { source });
    }
    let days_of_hours = shared.rollups.map(retention::days);
    if let Err(source) = rollup::step(shared, lease, now, days_of_hours, REWRITE_SPAN).await {
        failures.push(HousekeepingError::Rollup { source });
    }
    let mut dropped = Vec::new();
    for table in Table::ALL {
        dropped.push(partition::drop_leftovers(db, table).await.map(drop));
    }
    dropped.push(drop_flushed(db, now).await);
    dropped.push(drop_merged(shared, now).await);
    let days = shared.retention.longest_days();
    for table in [Table::Block, Table::BlockWindow] {
        dropped.push(drop_old(db, table, days, now).await);
    }
    // Those that nobody wants any more go with their samples.
    dropped.push(drop_old(db, Table::Rollup, days_of_hours.or(days), now).await);
    let days_of_exemplars = days.unwrap_or(i32::MAX).min(exemplar::KEPT_DAYS);
    dropped.push(drop_old(db, Table::Exemplar, Some(days_of_exemplars), now).await);
    if let Some(days) = days {
        let oldest = now.saturating_sub(i64::from(days) * 86_400_000);
        dropped.push(start::drop_old(db, oldest).await);
    }
    failures.extend(
        dropped
            .into_iter()
            .filter_map(Result::err)
            .map(|source| HousekeepingError::Drop { source }),
    );
}

/// Merges; again, if something was deleted meanwhile.
async fn merge(db: &PgPool, lease: Lease, now: i64) -> Vec<merge::MergeError> {
    let mut failures = Vec::new();
    for _ in 0..MERGE_TRIES {
        failures.clear();
        let deletions = match delete::Known::default().refreshed(db).await {
            Ok(deletions) => deletions,
            Err(err) => return vec![err.into()],
        };
        for outcome in [
            merge::windows(db, lease, &deletions, now).await,
            merge::days(db, lease, &deletions, now).await,
        ] {
            failures.extend(outcome.unwrap_or_else(|err| vec![err]));
        }
        if !failures.iter().any(|failure| matches!(failure, merge::MergeError::Deleted)) {
            break;
        }
    }
    failures
}

/// Takes what is deleted out of merged blocks, and says what is done.
async fn delete(db: &PgPool, lease: Lease) -> Result<(), DeleteError> {
    while !delete::rewrite::rewrite(db, lease, REWRITE_SPAN).await? {
        if !lease.hold(db).await? {
            return Err(DeleteError::LeaseLost);
        }
    }
    Ok(delete::finish(db).await?)
}

/// Learns of deletions within seconds, and works on them; runs until the storage is closed.
pub(super) async fn run_deletions(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(DELETIONS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        if let Err(err) = shared.learn_of_deletions().await {
            debug!("learn of deletions: {err}");
            continue;
        }
        if shared.head.deletions().pending.is_empty() {
            continue;
        }
        let Ok(_only) = shared.housekeeping.try_lock() else { continue };
        let deleting = async {
            match Lease::take(&shared.db, "merge", shared.writer.writer()).await? {
                Some(lease) => delete(&shared.db, lease).await,
                None => Ok(()),
            }
        };
        if let Err(source) = deleting.await {
            let failure = HousekeepingError::Delete { source };
            shared.metrics.failed(failure.step());
            warn!("{}", service::error::chain(&failure));
        }
    }
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
        if !needed && drop_unless_used(db, Table::Batch, bucket, None).await? == Dropped::Busy {
            break;
        }
    }
    Ok(())
}

/// Drops partitions of blocks that a merge superseded a while ago.
async fn drop_merged(shared: &Shared, now: i64) -> Result<(), sqlx::Error> {
    let db = &shared.db;
    let mut marked: Vec<(Table, i32, Option<String>)> = Vec::new();
    let merged = merge::marks(db, Table::BlockRecent.name()).await?;
    for bucket in partition::list(db, Table::BlockRecent).await? {
        if merged.contains_key(&bucket) {
            marked.push((Table::BlockRecent, bucket, None));
        }
    }
    let merged = merge::marks(db, Table::BlockWindow.name()).await?;
    for bucket in partition::list(db, Table::BlockWindow).await? {
        let Some(upto) = merged.get(&bucket) else { continue };
        // Samples that came after their day was final stay here.
        let late = format!(
            "SELECT EXISTS (SELECT FROM watchpost.\"block_window_{bucket}\" WHERE job > {upto})"
        );
        marked.push((Table::BlockWindow, bucket, Some(late)));
    }
    let due: Vec<(Table, i32, Option<String>)> = {
        let mut seen = shared.superseded.lock().expect("no holder panics");
        seen.retain(|(table, bucket), _| marked.iter().any(|m| (m.0, m.1) == (*table, *bucket)));
        marked.retain(|(table, bucket, _)| {
            let since = *seen.entry((*table, *bucket)).or_insert(now);
            now.saturating_sub(since) >= MERGED_KEPT_MS
        });
        marked
    };
    let mut busy = None;
    for (table, bucket, late) in due {
        if busy != Some(table) && drop_unless_used(db, table, bucket, late).await? == Dropped::Busy
        {
            busy = Some(table);
        }
    }
    Ok(())
}

/// Drops what is older than so many days, if anything is to be dropped.
async fn drop_old(
    db: &PgPool,
    table: Table,
    days: Option<i32>,
    now: i64,
) -> Result<(), sqlx::Error> {
    let Some(days) = days else { return Ok(()) };
    let oldest = table.bucket_of(now).saturating_sub(days);
    for bucket in partition::list(db, table).await? {
        if bucket < oldest && drop_unless_used(db, table, bucket, None).await? == Dropped::Busy {
            break;
        }
    }
    Ok(())
}

/// Where one partition is busy, so are the others of its table, mostly: a backup reads them all.
async fn drop_unless_used(
    db: &PgPool,
    table: Table,
    bucket: i32,
    needed: Option<String>,
) -> Result<Dropped, sqlx::Error> {
    let name = table.name();
    let dropped = partition::drop(db, table, bucket, needed).await?;
    match dropped {
        Dropped::Yes => debug!(table = name, bucket, "dropped partition {name}_{bucket}"),
        Dropped::Busy => debug!(table = name, bucket, "partition {name}_{bucket} is in use"),
        Dropped::Needed => {}
    }
    Ok(dropped)
}
