//! Dropping a partition that nobody needs any more, whoever writes, reads, dumps or crashes meanwhile.
//!
//! 1. *Seal*: under a lock that is taken only if it is free, look once more whether anything in it is needed, and forbid
//!    whatever a receiver that was paused may still want to write. What is sealed is marked as ours to drop.
//! 2. *Detach*, `CONCURRENTLY`: waits for those who read without making others wait. When somebody reads for long (a
//!    backup), the detachment stays pending, and is finished by a later [`drop_leftovers`].
//! 3. *Drop* the table, which stands alone now; but not while a `pg_dump` runs, which may have seen it and not locked it yet
//!    and would end with an error.
//!
//! Every step can be the last one before a crash: [`drop_leftovers`] goes on from there.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use super::{TRIES, Table};
use crate::db::{self, sqlstate};

/// What the comment of a sealed partition says. A table of our names that is attached nowhere and lacks it is not ours to
/// drop: somebody may be restoring a backup.
const MARK: &str = "watchpost: sealed, to be dropped";

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    Yes,
    /// Somebody uses it; what was begun is finished by [`drop_leftovers`].
    Busy,
    /// Something in it is needed after all.
    Needed,
}

impl Table {
    /// Whether something in the partition is still needed, given the name of the partition; `None`: who asks to drop it
    /// knows that nothing can be.
    fn needed(self, bucket: i32) -> Option<String> {
        match self {
            // A batch that is not in blocks.
            Self::Batch => Some(format!(
                "SELECT EXISTS (SELECT FROM watchpost.\"batch_{bucket}\" b JOIN watchpost.writer w ON w.id = b.writer
                                 WHERE b.bucket = {bucket} AND b.seq > w.flushed_seq)"
            )),
            Self::BlockRecent | Self::BlockWindow | Self::Block | Self::Rollup | Self::Exemplar => None,
        }
    }
}

/// Drops a partition. `needed` is a question of which the answer must be "false" for it to go, besides our own one.
pub async fn drop(
    db: &PgPool,
    table: Table,
    bucket: i32,
    needed: Option<String>,
) -> Result<Dropped, sqlx::Error> {
    let mut connection = db::work(db).await?;
    let outcome = seal_and_drop(&mut connection, table, bucket, needed).await;
    let _ = connection.close().await;
    match outcome {
        Err(err) if sqlstate::is(&err, sqlstate::LOCK_NOT_AVAILABLE) => Ok(Dropped::Busy),
        // Another partition waits for its detachment to be finished.
        Err(err) if sqlstate::is(&err, sqlstate::NOT_IN_STATE) => Ok(Dropped::Busy),
        // Somebody else was faster.
        Err(err) if sqlstate::is(&err, sqlstate::UNDEFINED_TABLE) => Ok(Dropped::Yes),
        other => other,
    }
}

async fn seal_and_drop(
    connection: &mut PgConnection,
    table: Table,
    bucket: i32,
    needed: Option<String>,
) -> Result<Dropped, sqlx::Error> {
    let questions: Vec<String> = table.needed(bucket).into_iter().chain(needed).collect();
    let mut tries = 1;
    loop {
        match seal(connection, table, bucket, &questions).await {
            Ok(true) => break,
            Ok(false) => return Ok(Dropped::Needed),
            Err(err) if sqlstate::is(&err, sqlstate::LOCK_NOT_AVAILABLE) && tries < TRIES => {
                db::pause_before_retry().await;
                tries += 1;
            }
            Err(err) => return Err(err),
        }
    }
    connection.execute(AssertSqlSafe(db::set_lock_timeout())).await?;
    let name = table.name();
    let detach = format!(
        "ALTER TABLE watchpost.{name} DETACH PARTITION watchpost.\"{name}_{bucket}\" CONCURRENTLY"
    );
    connection.execute(AssertSqlSafe(detach)).await?;
    Ok(if drop_table(connection, name, bucket).await? { Dropped::Yes } else { Dropped::Busy })
}

/// `false`: something in it is needed.
async fn seal(
    connection: &mut PgConnection,
    table: Table,
    bucket: i32,
    questions: &[String],
) -> Result<bool, sqlx::Error> {
    let name = table.name();
    let mut transaction = connection.begin().await?;
    // Never queues, so that nobody can queue behind it.
    let lock = format!("LOCK TABLE watchpost.\"{name}_{bucket}\" IN ACCESS EXCLUSIVE MODE NOWAIT");
    transaction.execute(AssertSqlSafe(lock)).await?;
    for question in questions {
        let needed: bool = sqlx::query_scalar(AssertSqlSafe(question.as_str()))
            .fetch_one(&mut *transaction)
            .await?;
        if needed {
            transaction.rollback().await?;
            return Ok(false);
        }
    }
    let seal = format!(
        "ALTER TABLE watchpost.\"{name}_{bucket}\"
             DROP CONSTRAINT IF EXISTS \"{name}_{bucket}_sealed\",
             ADD CONSTRAINT \"{name}_{bucket}_sealed\" CHECK (false) NOT VALID;
         COMMENT ON TABLE watchpost.\"{name}_{bucket}\" IS '{MARK}'"
    );
    sqlx::raw_sql(AssertSqlSafe(seal)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// `false`: a backup runs.
async fn drop_table(
    connection: &mut PgConnection,
    name: &str,
    bucket: i32,
) -> Result<bool, sqlx::Error> {
    let is_dumped: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_stat_activity
                         WHERE datname = current_database() AND application_name = 'pg_dump')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_dumped {
        return Ok(false);
    }
    let statement = format!("DROP TABLE IF EXISTS watchpost.\"{name}_{bucket}\"");
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(true)
}

/// The buckets of a table that take no rows any more: sealed or half detached.
pub async fn sealed(db: &PgPool, table: Table) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT substr(c.relname, length($1) + 2)::int AS bucket
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = ('watchpost.' || $1)::regclass
            AND (i.inhdetachpending OR obj_description(c.oid, 'pg_class') = $2)
          ORDER BY bucket",
    )
    .bind(table.name())
    .bind(MARK)
    .fetch_all(db)
    .await
}

/// Goes on with what was interrupted: finishes pending detachments and drops tables that were detached but not dropped.
/// Gives how many tables are gone.
pub async fn drop_leftovers(db: &PgPool, table: Table) -> Result<usize, sqlx::Error> {
    let pending: Vec<i32> = sqlx::query_scalar(
        "SELECT substr(c.relname, length($1) + 2)::int
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = ('watchpost.' || $1)::regclass AND i.inhdetachpending",
    )
    .bind(table.name())
    .fetch_all(db)
    .await?;
    // A table that is being prepared to be attached is made in the same transaction and not seen here.
    let detached: Vec<i32> = sqlx::query_scalar(
        "SELECT substr(c.relname, length($1) + 2)::int
           FROM pg_class c
          WHERE c.relnamespace = 'watchpost'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
            AND c.relname ~ ('^' || $1 || '_-?[0-9]{1,10}$')
            AND obj_description(c.oid, 'pg_class') = $2",
    )
    .bind(table.name())
    .bind(MARK)
    .fetch_all(db)
    .await?;
    if pending.is_empty() && detached.is_empty() {
        return Ok(0);
    }
    let mut connection = db::work(db).await?;
    connection.execute(AssertSqlSafe(db::set_lock_timeout())).await?;
    let mut gone = 0;
    let name = table.name();
    for bucket in pending {
        let finalize = format!(
            "ALTER TABLE watchpost.{name} DETACH PARTITION watchpost.\"{name}_{bucket}\" FINALIZE"
        );
        gone += usize::from(
            if_free(connection.execute(AssertSqlSafe(finalize)).await.map(|_| true))?
                && if_free(drop_table(&mut connection, name, bucket).await)?,
        );
    }
    for bucket in detached {
        gone += usize::from(if_free(drop_table(&mut connection, name, bucket).await)?);
    }
    let _ = connection.close().await;
    Ok(gone)
}

/// `false`: somebody is in the way.
fn if_free(outcome: Result<bool, sqlx::Error>) -> Result<bool, sqlx::Error> {
    match outcome {
        Ok(done) => Ok(done),
        Err(err)
            if sqlstate::is(&err, sqlstate::LOCK_NOT_AVAILABLE)
                || sqlstate::is(&err, sqlstate::NOT_IN_STATE)
                || sqlstate::is(&err, sqlstate::UNDEFINED_TABLE) =>
        {
            Ok(false)
        }
        Err(err) => Err(err),
    }
}
