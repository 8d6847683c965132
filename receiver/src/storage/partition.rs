//! Partitions: made ahead of time and dropped whole, without locking those who write or read.
//!
//! `CREATE TABLE … PARTITION OF` would lock the parent against everyone; a table of its own that is then attached only
//! keeps other attachments away. [`drop`] is how they go. There is no DEFAULT partition: it would forbid that.

mod drop;
mod settle;

use sqlx::{Connection, Executor, PgConnection, PgPool};

pub use self::{
    drop::{Dropped, drop, drop_leftovers, sealed},
    settle::settle,
};
use crate::db::{self, sqlstate};

/// A partitioned table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// By arrival, a quarter of an hour each.
    Batch,
    /// By flush, two hours each.
    BlockRecent,
    /// By the time of the samples, a day each.
    BlockWindow,
    /// By the time of the samples, a day each.
    Block,
    /// Hours of samples, a day each.
    Rollup,
    /// By arrival, a day each.
    Exemplar,
}

impl Table {
    pub const ALL: [Self; 6] = [
        Self::Batch,
        Self::BlockRecent,
        Self::BlockWindow,
        Self::Block,
        Self::Rollup,
        Self::Exemplar,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BlockRecent => "block_recent",
            Self::BlockWindow => "block_window",
            Self::Block => "block",
            Self::Rollup => "rollup",
            Self::Exemplar => "exemplar",
        }
    }

    /// Whether marks elsewhere say that its rows stand for others.
    fn supersedes(self) -> bool {
        match self {
            Self::BlockRecent | Self::BlockWindow | Self::Block | Self::Rollup => true,
            Self::Batch | Self::Exemplar => false,
        }
    }

    /// How much time one partition holds, in seconds.
    pub fn bucket_seconds(self) -> i64 {
        match self {
            Self::Batch => 900,
            Self::BlockRecent => 7200,
            Self::BlockWindow | Self::Block | Self::Rollup | Self::Exemplar => 86_400,
        }
    }

    /// The bucket of a time in milliseconds since the Unix epoch.
    pub fn bucket_of(self, ts: i64) -> i32 {
        let bucket = ts.div_euclid(self.bucket_seconds() * 1000);
        // "From ever on" has no bucket of its own.
        bucket.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }
}

/// Partitions made ahead of the present one.
const AHEAD: i32 = 2;
/// How often a lock is tried for. Each try gives up after [`db::LOCK_TIMEOUT`], so that nobody queues behind us longer.
const TRIES: u32 = 10;
/// How often the lock for attaching a loaded day is tried for.
const ATTACH_TRIES: u32 = 50;

/// Makes the partitions from `bucket` on, as far ahead as usual, and gives the bucket to write to.
///
/// That is this one, or a later one where others, whose clocks are ahead of ours, are done with it. Harmless to repeat, also
/// at once from elsewhere.
pub async fn ensure(db: &PgPool, table: Table, bucket: i32) -> Result<i32, sqlx::Error> {
    let sealed = sealed(db, table).await?;
    let mut open = bucket;
    while sealed.contains(&open) {
        open += 1;
    }
    ensure_all(db, table, open..=open + AHEAD).await?;
    Ok(open)
}

/// Makes the partitions of these buckets.
pub async fn ensure_all(
    db: &PgPool,
    table: Table,
    buckets: impl IntoIterator<Item = i32>,
) -> Result<(), sqlx::Error> {
    let existing = list(db, table).await?;
    for wanted in buckets {
        if !existing.contains(&wanted) {
            attach(db, table, wanted).await?;
        }
    }
    Ok(())
}

/// The buckets that have a partition, in order.
pub async fn list(db: &PgPool, table: Table) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT substr(c.relname, length($1) + 2)::int AS bucket
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = ('watchpost.' || $1)::regclass AND NOT i.inhdetachpending
          ORDER BY bucket",
    )
    .bind(table.name())
    .fetch_all(db)
    .await
}

/// Makes a partition that is not attached yet, to be loaded frozen.
///
/// That rows were inserted is no reason to vacuum it. `settings` are settings of the table, each with a comma behind it.
pub async fn create_loose(
    transaction: &mut PgConnection,
    table: Table,
    bucket: i32,
    settings: &str,
) -> Result<(), sqlx::Error> {
    let name = table.name();
    let create = format!(
        "CREATE TABLE watchpost.\"{name}_{bucket}\" (LIKE watchpost.{name} INCLUDING ALL,
             CONSTRAINT \"{name}_{bucket}_bucket\" CHECK (bucket = {bucket}))
         WITH ({settings}autovacuum_vacuum_insert_threshold = -1)"
    );
    transaction.execute(sqlx::AssertSqlSafe(create)).await?;
    Ok(())
}

/// Attaches what [`create_loose`] made, trying several times rather than waiting: the work of minutes should not be lost
/// for a lock.
pub async fn attach_loaded(
    transaction: &mut PgConnection,
    table: Table,
    bucket: i32,
) -> Result<(), sqlx::Error> {
    let name = table.name();
    let attach = format!(
        "ALTER TABLE watchpost.{name} ATTACH PARTITION watchpost.\"{name}_{bucket}\" FOR VALUES FROM ({bucket}) TO ({});
         ALTER TABLE watchpost.\"{name}_{bucket}\" DROP CONSTRAINT \"{name}_{bucket}_bucket\"",
        bucket + 1
    );
    let mut tries = 1;
    loop {
        let mut savepoint = transaction.begin().await?;
        match sqlx::raw_sql(sqlx::AssertSqlSafe(attach.as_str())).execute(&mut *savepoint).await {
            Ok(_) => return savepoint.commit().await,
            Err(err)
                if sqlstate::is(&err, sqlstate::LOCK_NOT_AVAILABLE) && tries < ATTACH_TRIES =>
            {
                savepoint.rollback().await?;
                db::pause_before_retry().await;
                tries += 1;
            }
            Err(err) => return Err(err),
        }
    }
}

async fn attach(db: &PgPool, table: Table, bucket: i32) -> Result<(), sqlx::Error> {
    let name = table.name();
    // Names of ours and numbers: nothing of a user's gets into this text.
    let statements = format!(
        "SELECT pg_advisory_xact_lock(hashtext('watchpost.partition'));
         CREATE TABLE watchpost.\"{name}_{bucket}\" (
             LIKE watchpost.{name} INCLUDING ALL,
             CONSTRAINT \"{name}_{bucket}_bucket\" CHECK (bucket = {bucket}));
         ALTER TABLE watchpost.{name} ATTACH PARTITION watchpost.\"{name}_{bucket}\" FOR VALUES FROM ({bucket}) TO ({});
         ALTER TABLE watchpost.\"{name}_{bucket}\" DROP CONSTRAINT \"{name}_{bucket}_bucket\";",
        bucket + 1
    );
    let mut connection = db::work(db).await?;
    let mut tries = 1;
    let outcome = loop {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(db::set_local_lock_timeout()))
            .execute(&mut *transaction)
            .await?;
        let made = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.as_str()))
            .execute(&mut *transaction)
            .await;
        match made {
            Ok(_) => break transaction.commit().await,
            // Somebody else made it between the question and the lock.
            Err(err) if sqlstate::is(&err, sqlstate::DUPLICATE_TABLE) => break Ok(()),
            Err(err) if sqlstate::is(&err, sqlstate::LOCK_NOT_AVAILABLE) && tries < TRIES => {
                transaction.rollback().await?;
                db::pause_before_retry().await;
                tries += 1;
            }
            Err(err) => break Err(err),
        }
    };
    if outcome.is_ok() && table.supersedes() {
        settle(&mut connection, table).await?;
    }
    // The server notices by itself if this fails.
    let _ = connection.close().await;
    outcome
}
