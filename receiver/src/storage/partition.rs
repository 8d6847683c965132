//! Partitions: made ahead of time and dropped whole, without locking those who write or read.
//!
//! `CREATE TABLE … PARTITION OF` would lock the parent against everyone; a table of its own that is then attached only
//! keeps other attachments away. `DETACH … CONCURRENTLY` waits for those who read without making others wait. There is
//! no DEFAULT partition: it would forbid that.

use sqlx::{Executor, PgPool};

use crate::db::sqlstate;

/// A partitioned table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// By arrival, a quarter of an hour each.
    Batch,
    /// By flush, two hours each.
    BlockRecent,
    /// By the time of the samples, a day each.
    BlockWindow,
    /// By the time of the samples, a day each.
    Block,
}

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BlockRecent => "block_recent",
            Self::BlockWindow => "block_window",
            Self::Block => "block",
        }
    }

    /// How much time one partition holds, in seconds.
    pub fn bucket_seconds(self) -> i64 {
        match self {
            Self::Batch => 900,
            Self::BlockRecent => 7200,
            Self::BlockWindow | Self::Block => 86_400,
        }
    }

    /// The bucket of a time in milliseconds since the Unix epoch.
    pub fn bucket_of(self, ts: i64) -> i32 {
        ts.div_euclid(self.bucket_seconds() * 1000) as i32
    }
}

/// Partitions made ahead of the present one.
const AHEAD: i32 = 2;

/// Makes the partitions from `bucket` on, as far ahead as usual, and gives the last of them. Harmless to repeat, also at
/// once from elsewhere.
pub async fn ensure(db: &PgPool, table: Table, bucket: i32) -> Result<i32, sqlx::Error> {
    ensure_all(db, table, bucket..=bucket + AHEAD).await?;
    Ok(bucket + AHEAD)
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

async fn attach(db: &PgPool, table: Table, bucket: i32) -> Result<(), sqlx::Error> {
    let name = table.name();
    // Names of ours and numbers: nothing of a user's gets into this text.
    let statements = format!(
        "SET LOCAL lock_timeout = '2s';
         SELECT pg_advisory_xact_lock(hashtext('watchpost.partition'));
         CREATE TABLE IF NOT EXISTS watchpost.\"{name}_{bucket}\" (
             LIKE watchpost.{name} INCLUDING ALL,
             CONSTRAINT \"{name}_{bucket}_bucket\" CHECK (bucket = {bucket}));
         ALTER TABLE watchpost.{name} ATTACH PARTITION watchpost.\"{name}_{bucket}\" FOR VALUES FROM ({bucket}) TO ({});
         ALTER TABLE watchpost.\"{name}_{bucket}\" DROP CONSTRAINT \"{name}_{bucket}_bucket\";",
        bucket + 1
    );
    let mut transaction = db.begin().await?;
    match sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut *transaction).await {
        Ok(_) => transaction.commit().await,
        // Somebody else attached it between the question and the lock: 42809 is "is already a partition".
        Err(err)
            if matches!(
                sqlstate::code(&err).as_deref(),
                Some("42809" | sqlstate::DUPLICATE_TABLE)
            ) =>
        {
            Ok(())
        }
        Err(err) => Err(err),
    }
}

/// Drops a partition that nobody needs any more. Gives up after a moment if somebody reads it; try again later.
pub async fn drop(db: &PgPool, table: Table, bucket: i32) -> Result<(), sqlx::Error> {
    let name = table.name();
    let mut connection = db.acquire().await?;
    connection.execute("SET lock_timeout = '200ms'").await?;
    let detach = format!(
        "ALTER TABLE watchpost.{name} DETACH PARTITION watchpost.\"{name}_{bucket}\" CONCURRENTLY"
    );
    let mut outcome = connection.execute(sqlx::AssertSqlSafe(detach)).await.map(std::mem::drop);
    // 55000: an earlier try was interrupted half-way, and has to be finished instead.
    if outcome.as_ref().is_err_and(|err| sqlstate::code(err).as_deref() == Some("55000")) {
        let finalize = format!(
            "ALTER TABLE watchpost.{name} DETACH PARTITION watchpost.\"{name}_{bucket}\" FINALIZE"
        );
        outcome = connection.execute(sqlx::AssertSqlSafe(finalize)).await.map(std::mem::drop);
    }
    if outcome.is_ok() {
        let drop = format!("DROP TABLE IF EXISTS watchpost.\"{name}_{bucket}\"");
        outcome = connection.execute(sqlx::AssertSqlSafe(drop)).await.map(std::mem::drop);
    }
    connection.execute("RESET lock_timeout").await?;
    outcome
}
