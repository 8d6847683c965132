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

/// How long somebody is waited for. From planning to snapshot takes a statement milliseconds; who holds a lock for longer
/// is a transaction of many statements or reads for long, and has its plan and its snapshot mostly.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until everybody is done who had locked the table before, within [`PATIENCE`].
///
/// To be called on a connection that is in no transaction, after partitions were attached and before anything is marked as
/// superseded by what is in them.
pub async fn settle(connection: &mut PgConnection, table: Table) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    let mut before: Option<Vec<String>> = None;
    loop {
        let holders: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT virtualtransaction FROM pg_locks
              WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid()
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND relation = ('watchpost.' || $1)::regclass
                AND ($2::text[] IS NULL OR virtualtransaction = ANY($2))",
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
                "{} transactions use {} for long",
                holders.len(),
                table.name()
            );
            return Ok(());
        }
        before = Some(holders);
        db::pause_before_retry().await;
    }
}
