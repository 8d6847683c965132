//! Asking the database for rows, as they are stored.

use std::{ops::RangeInclusive, pin::pin};

use futures_util::TryStreamExt;
use sqlx::{PgPool, Postgres, Row, pool::PoolConnection, postgres::PgRow};

use super::{Bounds, Range};
use crate::{
    model::PackId,
    storage::{partition::Table, writer::Writer},
};

/// The pack under which the statement gives batches, before all blocks.
pub(super) const BATCHES: i32 = -1;
/// Packs of the first statement, so that something arrives soon, and of the largest.
const STATEMENT_PACKS: RangeInclusive<usize> = 16..=1024;
/// Packs of the next statement, at most so many times those of the last one.
const GROWTH: usize = 4;
/// Bytes of bodies that a statement should give. Encoded samples take a byte or less each.
const STATEMENT_BYTES: usize = 8 << 20;

/// How rows are asked for.
pub(super) struct Fetch {
    pub(super) db: PgPool,
    pub(super) writer: Writer,
    pub(super) range: Range,
    pub(super) bounds: Bounds,
}

/// What a statement gave.
pub(super) struct Rows {
    /// In order of packs and, within a pack, of their commits and then of time; batches of other receivers before all packs.
    pub(super) rows: Vec<PgRow>,
    n_bytes: usize,
}

/// How many packs are asked for at a time: more if they were small.
pub(super) struct Pace {
    n_packs: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { n_packs: *STATEMENT_PACKS.start() }
    }

    pub(super) fn n_packs(&self) -> usize {
        self.n_packs
    }

    /// After a statement for so many packs.
    pub(super) fn after(&mut self, n_packs: usize, rows: &Rows) {
        let bytes_per_pack = (rows.n_bytes / n_packs.max(1)).max(1);
        let most = (self.n_packs * GROWTH).min(*STATEMENT_PACKS.end());
        self.n_packs = (STATEMENT_BYTES / bytes_per_pack).clamp(1, most);
    }
}

/// A connection that is closed unless everything was read that it was asked for: what is still on its way could be much.
struct Lent(Option<PoolConnection<Postgres>>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

impl Fetch {
    /// All rows that may hold wanted samples.
    pub(super) async fn rows(
        &self,
        packs: &[PackId],
        with_batches: bool,
    ) -> Result<Rows, sqlx::Error> {
        let mut fetched = Rows { rows: Vec::new(), n_bytes: 0 };
        let packs: Vec<i32> = packs.iter().map(|pack| pack.0).collect();
        let mut lent = Lent(Some(self.db.acquire().await?));
        let connection = lent.0.as_mut().expect("lent above");
        // A transaction of its own, whose snapshot is taken before its plan is made or looked up: see `partition::settle`.
        let query = sqlx::query(
            "SELECT pack, age, ord, ord2, writer, t_min, t_max, body FROM watchpost.live_block
              WHERE pack = ANY($1) AND t_min <= $3 AND t_max >= $2
                -- The partition of a day has samples of that day, and strays from before it.
                AND (age = 2 OR bucket >= $6)
             UNION ALL
             SELECT $5, 3, b.bucket, b.seq, b.writer, b.t_min, b.t_max, b.body
               FROM watchpost.writer w JOIN watchpost.batch b ON b.writer = w.id AND b.seq > w.flushed_seq
              WHERE w.id <> $4 AND b.t_min <= $3 AND b.t_max >= $2 AND $7
              ORDER BY pack, age, ord, ord2, t_min",
        )
        .bind(packs)
        .bind(self.range.from)
        .bind(self.range.to)
        .bind(self.writer.id)
        .bind(BATCHES)
        .bind(Table::Block.bucket_of(self.range.from))
        .bind(with_batches);
        {
            let mut rows = pin!(query.fetch(&mut **connection));
            while let Some(row) = rows.try_next().await? {
                fetched.n_bytes += row.try_get::<&[u8], _>("body")?.len();
                fetched.rows.push(row);
            }
        }
        drop(lent.0.take());
        Ok(fetched)
    }
}
