//! This receiver's row in `watchpost.writer`: its number, and the lease that says it lives.
//!
//! A receiver that was paused for longer than its lease may find that another one took over: it is *fenced*. What it
//! still commits under its old number is adopted by whoever watches over that number, so nothing is lost, but it stops
//! taking writes, registers under a new number, and goes on.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use sqlx::{Executor, Postgres};
use tokio::sync::watch;

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

/// Who this process writes as now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Current(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: RwLock<Writer>,
    /// `false` while the process is fenced and has no new number yet.
    accepting: watch::Sender<bool>,
}

impl Current {
    pub fn new(writer: Writer) -> Self {
        let accepting = watch::Sender::new(true);
        Self(Arc::new(Inner { writer: RwLock::new(writer), accepting }))
    }

    /// The number, also of a fenced writer.
    pub fn writer(&self) -> Writer {
        *self.0.writer.read().expect("no holder panics")
    }

    /// The number to commit as; `None`: another receiver took it over.
    pub fn committing(&self) -> Option<Writer> {
        self.is_accepting().then(|| self.writer())
    }

    pub fn is_accepting(&self) -> bool {
        *self.0.accepting.borrow()
    }

    /// Tells when [`is_accepting`](Self::is_accepting) changes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.accepting.subscribe()
    }

    /// Stops committing as `writer`, if that is who we still are.
    pub(super) fn fence(&self, writer: Writer) {
        if self.writer() == writer {
            self.0.accepting.send_replace(false);
        }
    }

    /// Goes on under another number.
    pub(super) fn replace(&self, writer: Writer) {
        *self.0.writer.write().expect("no holder panics") = writer;
        self.0.accepting.send_replace(true);
    }
}

/// Registers a new writer.
pub async fn register(db: &sqlx::PgPool, host: &str) -> Result<Writer, sqlx::Error> {
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
pub async fn renew(
    db: impl Executor<'_, Database = Postgres>,
    writer: Writer,
) -> Result<bool, sqlx::Error> {
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
pub async fn release(db: &sqlx::PgPool, writer: Writer) -> Result<(), sqlx::Error> {
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
