//! This receiver's row in `watchpost.writer`: its number, and the lease that says it lives.

use std::time::Duration;

use sqlx::PgPool;

use super::catalogue;

/// How long a writer counts as alive after it last said so.
pub const LEASE: Duration = Duration::from_secs(30);

/// The number under which this process writes batches. Every run of a receiver gets a new one, so that sequence numbers
/// never meet those of an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    pub id: i32,
    pub term: i64,
}

/// Registers a new writer.
pub async fn register(db: &PgPool, host: &str) -> Result<Writer, sqlx::Error> {
    let id = catalogue::claim(db, "writer", 1).await?.start;
    let id = i32::try_from(id).map_err(|err| sqlx::Error::Decode(Box::new(err)))?;
    sqlx::query(
        "INSERT INTO watchpost.writer (id, term, lease_until, flushed_seq, host)
         VALUES ($1, 1, now() + $2, 0, $3)",
    )
    .bind(id)
    .bind(LEASE)
    .bind(host)
    .execute(db)
    .await?;
    Ok(Writer { id, term: 1 })
}

/// Says that the writer lives. `false`: somebody took it over, and this process must not write as it any more.
pub async fn renew(db: &PgPool, writer: Writer) -> Result<bool, sqlx::Error> {
    let renewed = sqlx::query(
        "UPDATE watchpost.writer SET lease_until = now() + $3 WHERE id = $1 AND term = $2",
    )
    .bind(writer.id)
    .bind(writer.term)
    .bind(LEASE)
    .execute(db)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Says that the writer is done: whatever it left can be adopted at once, and what it alone did is for others to do.
pub async fn release(db: &PgPool, writer: Writer) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE watchpost.lease SET lease_until = now() WHERE holder = $1")
        .bind(writer.id)
        .execute(db)
        .await?;
    sqlx::query("UPDATE watchpost.writer SET lease_until = now() WHERE id = $1 AND term = $2")
        .bind(writer.id)
        .bind(writer.term)
        .execute(db)
        .await?;
    Ok(())
}
