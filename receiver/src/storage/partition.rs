//! Partitions of the batch log: made ahead of time, without locking those who write or read.
//!
//! `CREATE TABLE … PARTITION OF` would lock the parent against everyone; a table of its own that is then attached only
//! keeps other attachments away. There is no DEFAULT partition: it would forbid detaching concurrently.

use sqlx::PgPool;

use crate::db::sqlstate;

/// How much arrival time one partition holds.
pub const BUCKET_SECONDS: i64 = 900;
/// Partitions made ahead of the present one.
const AHEAD: i32 = 2;

/// The bucket of an arrival time, in seconds since the Unix epoch.
pub fn bucket(unix_seconds: i64) -> i32 {
    (unix_seconds / BUCKET_SECONDS) as i32
}

/// Makes the partitions from `bucket` on, as far ahead as usual. Harmless to repeat, also at once from elsewhere.
pub async fn ensure(db: &PgPool, bucket: i32) -> Result<i32, sqlx::Error> {
    for wanted in bucket..=bucket + AHEAD {
        ensure_one(db, wanted).await?;
    }
    Ok(bucket + AHEAD)
}

async fn ensure_one(db: &PgPool, bucket: i32) -> Result<(), sqlx::Error> {
    let attached: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'watchpost.batch'::regclass AND c.relname = 'batch_' || $1)",
    )
    .bind(bucket)
    .fetch_one(db)
    .await?;
    if attached {
        return Ok(());
    }
    // `bucket` is a number: nothing of a user's gets into this text.
    let statements = format!(
        "SET LOCAL lock_timeout = '2s';
         SELECT pg_advisory_xact_lock(hashtext('watchpost.partition'));
         CREATE TABLE IF NOT EXISTS watchpost.batch_{bucket} (
             LIKE watchpost.batch INCLUDING ALL,
             CONSTRAINT batch_{bucket}_bucket CHECK (bucket = {bucket}));
         ALTER TABLE watchpost.batch ATTACH PARTITION watchpost.batch_{bucket} FOR VALUES FROM ({bucket}) TO ({});
         ALTER TABLE watchpost.batch_{bucket} DROP CONSTRAINT batch_{bucket}_bucket;",
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
