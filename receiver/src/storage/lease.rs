//! Work that only one receiver may do at a time, however many share the database.
//!
//! A lease is a row with a term. Who takes it over raises the term, and who commits checks that the term is still its
//! own: a holder that was paused for longer than its lease finds out before it can do harm. While it works, [`keeping`]
//! extends the lease from another connection: the work may take minutes, the lease is short.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection, PgPool, Postgres};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::writer::{self, LEASE, Writer};

/// Several tries before a lease runs out.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(8);
/// One try.
const RENEW_TIMEOUT: Duration = Duration::from_secs(6);

/// A lease that was ours when we asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    name: &'static str,
    term: i64,
}

impl Lease {
    /// Takes or keeps the lease; `None`: somebody else has it.
    pub(super) async fn take(
        db: &PgPool,
        name: &'static str,
        holder: Writer,
    ) -> Result<Option<Self>, sqlx::Error> {
        let term: Option<i64> = sqlx::query_scalar(
            "UPDATE watchpost.lease SET holder = $2, lease_until = now() + $3,
                    term = term + CASE WHEN holder = $2 THEN 0 ELSE 1 END
              WHERE name = $1 AND (holder = $2 OR lease_until < now())
             RETURNING term",
        )
        .bind(name)
        .bind(holder.id)
        .bind(LEASE)
        .fetch_optional(db)
        .await?;
        Ok(term.map(|term| Self { name, term }))
    }

    /// To be called inside of the transaction that commits the work: locks the row and extends the lease. `false`: it is
    /// not ours any more, roll back.
    pub(super) async fn hold(
        self,
        db: impl Executor<'_, Database = Postgres>,
    ) -> Result<bool, sqlx::Error> {
        let held = sqlx::query(
            "UPDATE watchpost.lease SET lease_until = now() + $3 WHERE name = $1 AND term = $2",
        )
        .bind(self.name)
        .bind(self.term)
        .bind(LEASE)
        .execute(db)
        .await?;
        Ok(held.rows_affected() == 1)
    }
}

/// What is kept alive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    Lease(Lease),
    /// A writer's row: our own, or one that is being adopted.
    Writer(Writer),
}

/// A connection that is used for nothing but staying alive, so that it never waits for one of the pool.
#[derive(Debug)]
pub(super) struct Keeper {
    db: PgPool,
    connection: Option<PgConnection>,
}

impl Keeper {
    pub(super) fn new(db: PgPool) -> Self {
        Self { db, connection: None }
    }

    /// Extends a lease. `false`: somebody else has it.
    pub(super) async fn renew(&mut self, kept: Kept) -> Result<bool, sqlx::Error> {
        let outcome = timeout(RENEW_TIMEOUT, self.try_renew(kept))
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
        if outcome.is_err() {
            // In an unknown state: the next try gets a new one.
            self.connection = None;
        }
        outcome
    }

    async fn try_renew(&mut self, kept: Kept) -> Result<bool, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(PgConnection::connect_with(&self.db.connect_options()).await?),
        };
        match kept {
            Kept::Lease(lease) => lease.hold(connection).await,
            Kept::Writer(writer) => writer::renew(connection, writer).await,
        }
    }
}

/// Works, and keeps the lease meanwhile; gives up when it is lost.
pub(super) async fn keeping<T, E>(
    db: &PgPool,
    kept: Kept,
    lost: impl FnOnce() -> E,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let renewing = async {
        let mut keeper = Keeper::new(db.clone());
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and the lease is fresh.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            match keeper.renew(kept).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(err) => tracing::warn!("extend a lease while it is worked under: {err}"),
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = renewing => Err(lost()),
    }
}
