//! Waiting until everybody knows of a new partition.
//!
//! Which partitions a statement looks at is decided when it is planned. A plan may be made before the statement's
//! snapshot is taken, or be kept from an earlier time; what is attached meanwhile it lacks, although its snapshot shows
//! the rows, and also a mark that says that they stand for others. Such a statement would find neither. So no mark is
//! written in the transaction that attaches: first the partition is attached and committed, then this is waited for, then
//! the mark is written. In between both are found, and told apart by series and time.
//!
//! Whoever locks the table after the attachment was committed learns of it before using any plan (the server reads what
//! was invalidated whenever it gets a lock). Whoever had locked it before may not have, and is waited for.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tracing::debug;

use super::Table;
use crate::db;

/// How long somebody is waited for. From planning to snapshot takes a statement milliseconds; who still holds a lock then
/// reads for long, with a plan and a snapshot that it has.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits until everybody is done who had locked the table before, within [`PATIENCE`].
///
/// To be called on a connection that is in no transaction, after partitions were attached and before anything is marked as
/// superseded by what is in them.
pub async fn settle(connection: &mut PgConnection, table: Table) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    let mut before: Option<Vec<String>> = None;
    loop {
        let holders: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT l.virtualtransaction FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
              WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.relation = ('watchpost.' || $1)::regclass
                AND ($2::text[] IS NULL OR l.virtualtransaction = ANY($2))
                -- Backups, and whoever else looks through one snapshot all the time, will see no mark of ours.
                AND a.application_name IS DISTINCT FROM 'pg_dump'
                AND (a.state = 'idle in transaction' AND a.backend_xmin IS NOT NULL) IS NOT TRUE",
        )
        .bind(table.name())
        .bind(&before)
        .fetch_all(&mut *connection)
        .await?;
        if holders.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            debug!(
                table = table.name(),
                "{} transactions read {} for long",
                holders.len(),
                table.name()
            );
            return Ok(());
        }
        before = Some(holders);
        db::pause_before_retry().await;
    }
}
