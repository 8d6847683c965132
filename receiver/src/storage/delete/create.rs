//! Making a deletion: in one short transaction that nothing can slip past.

use std::collections::{BTreeSet, HashMap};

use sqlx::{Executor, PgPool, Row};

use super::{Request, SeriesId};
use crate::storage::{catalogue::Catalogue, partition::Table};

/// Commits a deletion and gives its number and how many series it has; no number if it selects none.
///
/// From now on no reader sees what it hides; other receivers notice within seconds.
pub async fn create(
    db: &PgPool,
    catalogue: &Catalogue,
    request: &Request,
) -> Result<(Option<i64>, usize), sqlx::Error> {
    catalogue.refresh().await?;
    let series = request.series(catalogue);
    if series.is_empty() {
        return Ok((None, 0));
    }
    let packs: Vec<i32> = {
        let index = catalogue.index();
        let pack_of = |series: &SeriesId| index.position(*series).map(|at| index.pack(at).0);
        series.iter().filter_map(pack_of).collect::<BTreeSet<_>>().into_iter().collect()
    };
    // Before any lock: whoever commits a batch meanwhile is either included below or came after us.
    let mut seqs: HashMap<i32, i64> =
        sqlx::query("SELECT writer, max(seq) AS seq FROM watchpost.batch GROUP BY writer")
            .fetch_all(db)
            .await?
            .iter()
            .map(|row| Ok((row.try_get("writer")?, row.try_get("seq")?)))
            .collect::<Result<_, sqlx::Error>>()?;
    let mut transaction = db.begin().await?;
    transaction.execute("SET LOCAL lock_timeout = '10s'").await?;
    // One deletion at a time, so that their numbers follow the order of their commits.
    let id: i64 = sqlx::query_scalar(
        "UPDATE watchpost.id_range SET next = next + 1 WHERE name = 'deletion' RETURNING next - 1",
    )
    .fetch_one(&mut *transaction)
    .await?;
    // No flush commits from here on that does not know of us. Ingest does not touch these rows.
    let writers =
        sqlx::query("SELECT id, flushed_seq FROM watchpost.writer ORDER BY id FOR UPDATE")
            .fetch_all(&mut *transaction)
            .await?;
    let mut upto: Vec<(i32, i64)> = Vec::with_capacity(writers.len());
    for row in writers {
        let (writer, flushed): (i32, i64) = (row.try_get("id")?, row.try_get("flushed_seq")?);
        let logged = seqs.remove(&writer).unwrap_or(0);
        upto.push((writer, logged.max(flushed)));
    }
    // And no merge.
    sqlx::query("SELECT FROM watchpost.lease WHERE name = 'merge' FOR UPDATE")
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO watchpost.deletion (id, selectors, series_ids, packs, t_from, t_to, job, writers, seqs)
         SELECT $1, $2, $3, $4, $5, $6, r.next - 1, $7, $8 FROM watchpost.id_range r WHERE r.name = 'job'",
    )
    .bind(id)
    .bind(&request.selectors)
    .bind(series.iter().map(|series| series.0).collect::<Vec<_>>())
    .bind(packs)
    .bind(request.from)
    .bind(request.to)
    .bind(upto.iter().map(|(writer, _)| *writer).collect::<Vec<_>>())
    .bind(upto.iter().map(|(_, seq)| *seq).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    // Whoever rolls up a day commits under the lease, too.
    sqlx::query(
        "INSERT INTO watchpost.rollup_stale (bucket, deletion)
         SELECT d.bucket, $1 FROM watchpost.rollup_day d WHERE d.bucket BETWEEN $2 AND $3",
    )
    .bind(id)
    .bind(Table::Rollup.bucket_of(request.from))
    // The first hour of the next day may count from a deleted sample on.
    .bind(Table::Rollup.bucket_of(request.to.saturating_add(3_600_000)))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((Some(id), series.len()))
}
