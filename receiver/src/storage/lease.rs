//! Work that only one receiver may do at a time, however many share the database.
//!
//! A lease is a row with a term. Who takes it over raises the term, and who commits checks that the term is still its
//! own: a holder that was paused for longer than its lease finds out before it can do harm.

use sqlx::{PgConnection, PgPool};

use super::writer::{LEASE, Writer};

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
    pub(super) async fn hold(self, transaction: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let held = sqlx::query(
            "UPDATE watchpost.lease SET lease_until = now() + $3 WHERE name = $1 AND term = $2",
        )
        .bind(self.name)
        .bind(self.term)
        .bind(LEASE)
        .execute(transaction)
        .await?;
        Ok(held.rows_affected() == 1)
    }
}
