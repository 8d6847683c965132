//! Rollups: the hours of whole days as ordinary columns, `watchpost.rollup`, so that years can be read without decoding
//! every sample of them.
//!
//! A day is rolled up once it is final, from what every reader sees, into a partition that is loaded frozen. What changes
//! a day afterwards leaves a row in `watchpost.rollup_stale` in the same transaction: a flush of samples that came late
//! ([`late_days`]), or a deletion. Until the repair has taken it away, `watchpost.hourly` computes that day from its
//! samples. Samples that come for a day of which not all samples are kept any more do not count; deletions do.

mod hours;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgCopyIn};
use tracing::{debug, info};

use self::hours::{HOUR_MS, HOURS, Hour};
use super::{
    ReadError, Reader, Shared,
    copy::CopyRows,
    delete,
    lease::{self, Kept, Lease},
    partition::{self, Table},
};
use crate::{
    db,
    model::{PackId, SeriesId},
};

/// Packs read by one statement, which takes a second or two then.
const PACKS_AT_ONCE: usize = 256;
/// Packs repaired by one transaction.
const REPAIRED_AT_ONCE: i64 = 256;
/// COPY data is sent in pieces of this size.
const SEND_BYTES: usize = 1 << 20;
/// Samples older than this may belong to a day that is rolled up: half of what a day is given before it is final.
const LATE_MS: i64 = 3 * HOUR_MS;

#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    #[error("write rollups")]
    Database {
        #[from]
        source: sqlx::Error,
    },
    #[error("read the samples of a day")]
    Read {
        #[from]
        source: ReadError,
    },
    #[error("another receiver merges now")]
    LeaseLost,
    #[error("something was deleted meanwhile; to be done again")]
    Deleted,
}

/// Which days a flush at `now` has to mark if it writes a sample of that time; all in milliseconds. The time's own day,
/// and the next one if its first hour may count from that sample on.
pub(super) fn late_days(now: i64, ts: i64) -> Option<std::ops::RangeInclusive<i32>> {
    (ts < now.saturating_sub(LATE_MS))
        .then(|| Table::Rollup.bucket_of(ts)..=Table::Rollup.bucket_of(ts.saturating_add(HOUR_MS)))
}

/// Rolls up the days that are final and not older than `keep_days`, repairs what is stale, for as long as `budget` allows.
/// Nothing new is rolled up without `keep_days`.
pub(super) async fn step(
    shared: &Arc<Shared>,
    lease: Lease,
    now: i64,
    keep_days: Option<i32>,
    budget: Duration,
) -> Result<(), RollupError> {
    let begun = Instant::now();
    let db = &shared.db;
    // Of days that are not rolled up; they may be from now on.
    sqlx::query(
        "DELETE FROM watchpost.rollup_stale s
          WHERE NOT EXISTS (SELECT FROM watchpost.rollup_day d WHERE d.bucket = s.bucket)",
    )
    .execute(db)
    .await?;
    let today = Table::Rollup.bucket_of(now);
    let rolled = partition::list(db, Table::Rollup).await?;
    let sealed = partition::sealed(db, Table::Rollup).await?;
    let mut due = partition::list(db, Table::Block).await?;
    let oldest = keep_days.map_or(i32::MAX, |days| today.saturating_sub(days));
    due.retain(|day| *day >= oldest && !rolled.contains(day) && !sealed.contains(day));
    // What is asked for most is young.
    for day in due.into_iter().rev() {
        if begun.elapsed() > budget {
            return Ok(());
        }
        until_undisturbed(shared, || {
            let work = async { build(shared, lease, day).await };
            lease::keeping(db, Kept::Lease(lease), || RollupError::LeaseLost, work)
        })
        .await?;
    }
    while begun.elapsed() < budget {
        let Some(stale) = Stale::next(shared, &sealed).await? else { break };
        let all_kept = shared
            .retention
            .shortest_days()
            .is_none_or(|days| today.saturating_sub(stale.day) <= days);
        until_undisturbed(shared, || {
            let work = async { repair(shared, lease, &stale, all_kept).await };
            lease::keeping(db, Kept::Lease(lease), || RollupError::LeaseLost, work)
        })
        .await?;
    }
    Ok(())
}

/// Tries again when something was deleted meanwhile; if that happens again and again, the next time.
async fn until_undisturbed<F: Future<Output = Result<(), RollupError>>>(
    shared: &Shared,
    mut work: impl FnMut() -> F,
) -> Result<(), RollupError> {
    const TRIES: usize = 3;
    let mut tries = 1;
    loop {
        shared.learn_of_deletions().await?;
        match work().await {
            Err(RollupError::Deleted) if tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

/// Rolls up a day for the first time.
async fn build(shared: &Arc<Shared>, lease: Lease, day: i32) -> Result<(), RollupError> {
    shared.catalogue.refresh().await?;
    let newest = shared.head.deletions().newest;
    let mut connection = db::work(&shared.db).await?;
    let mut transaction = connection.begin().await?;
    transaction.execute(AssertSqlSafe(db::set_local_lock_timeout())).await?;
    partition::create_loose(&mut transaction, Table::Rollup, day, "toast_tuple_target = 128, ")
        .await?;
    let statement =
        format!("COPY watchpost.\"rollup_{day}\" ({COLUMNS}) FROM STDIN (FORMAT binary, FREEZE)");
    let series = shared.catalogue.select(&[], usize::MAX - 1);
    let n_rows = copy(&mut transaction, &statement, shared, day, &series).await?;
    partition::attach_loaded(&mut transaction, Table::Rollup, day).await?;
    let unsettled = mark_all(&mut transaction, shared, day, &series).await?;
    commit(transaction, lease, newest).await?;
    partition::settle(&mut connection, Table::Rollup).await?;
    let mut transaction = connection.begin().await?;
    unmark(&mut transaction, &unsettled).await?;
    if !lease.hold(&mut *transaction).await? {
        return Err(RollupError::LeaseLost);
    }
    transaction.commit().await?;
    info!(day, rows = n_rows, "rolled up day {day}");
    Ok(())
}

/// Marks a day that is attached only now: until everybody knows of its partition, it is computed from samples. Gives the
/// rows that say so, which are repaired like others if nobody comes to take them away.
async fn mark_all(
    transaction: &mut PgConnection,
    shared: &Shared,
    day: i32,
    series: &[SeriesId],
) -> Result<Vec<i64>, sqlx::Error> {
    let packs: Vec<i32> = by_pack(shared, series).into_keys().map(|pack| pack.0).collect();
    sqlx::query_scalar(
        "INSERT INTO watchpost.rollup_stale (bucket, pack) SELECT $1, unnest($2::int[]) RETURNING id",
    )
    .bind(day)
    .bind(&packs)
    .fetch_all(transaction)
    .await
}

async fn unmark(transaction: &mut PgConnection, ids: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM watchpost.rollup_stale WHERE id = ANY($1)")
        .bind(ids)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Does a part of a day again.
async fn repair(
    shared: &Arc<Shared>,
    lease: Lease,
    stale: &Stale,
    all_kept: bool,
) -> Result<(), RollupError> {
    let newest = shared.head.deletions().newest;
    let mut connection = db::work(&shared.db).await?;
    let mut transaction = connection.begin().await?;
    if all_kept {
        let ids: Vec<i64> = stale.series.iter().map(|series| series.0).collect();
        sqlx::query("DELETE FROM watchpost.rollup WHERE bucket = $1 AND series_id = ANY($2)")
            .bind(stale.day)
            .bind(&ids)
            .execute(&mut *transaction)
            .await?;
        let statement = format!("COPY watchpost.rollup ({COLUMNS}) FROM STDIN (FORMAT binary)");
        copy(&mut transaction, &statement, shared, stale.day, &stale.series).await?;
    } else if let Some(deletion) = stale.deletion {
        blank(&mut transaction, stale.day, deletion).await?;
    }
    unmark(&mut transaction, &stale.ids).await?;
    commit(transaction, lease, newest).await?;
    debug!(
        day = stale.day,
        series = stale.series.len(),
        "rolled up a part of day {} again",
        stale.day
    );
    Ok(())
}

/// Takes out every hour that a deletion touches: there are no samples any more to say what is left of it.
async fn blank(transaction: &mut PgConnection, day: i32, deletion: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE watchpost.rollup r
            SET (n, sum, min, max, last, increase) = (
                SELECT watchpost.without(r.n, h.a, h.b), watchpost.without(r.sum, h.a, h.b),
                       watchpost.without(r.min, h.a, h.b), watchpost.without(r.max, h.a, h.b),
                       watchpost.without(r.last, h.a, h.b), watchpost.without(r.increase, h.a, h.b)
                  FROM (SELECT greatest(floor(d.t_from::numeric / 3600000) - $1::bigint * 24 + 1, 1)::int AS a,
                               least(floor(d.t_to::numeric / 3600000) - $1::bigint * 24 + 1, 24)::int AS b) h)
           FROM watchpost.deletion d
          WHERE d.id = $2 AND r.bucket = $1 AND r.series_id = ANY (d.series_ids)",
    )
    .bind(day)
    .bind(deletion)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM watchpost.rollup WHERE bucket = $1 AND array_remove(n, NULL) = '{}'")
        .bind(day)
        .execute(transaction)
        .await?;
    Ok(())
}

/// If nothing came in between.
async fn commit(
    mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
    lease: Lease,
    newest: i64,
) -> Result<(), RollupError> {
    if !lease.hold(&mut *transaction).await? {
        return Err(RollupError::LeaseLost);
    }
    if delete::is_news(&mut transaction, newest).await? {
        return Err(RollupError::Deleted);
    }
    Ok(transaction.commit().await?)
}

/// What is to be done again.
struct Stale {
    day: i32,
    /// The rows that say so.
    ids: Vec<i64>,
    /// In order.
    series: Vec<SeriesId>,
    deletion: Option<i64>,
}

impl Stale {
    /// The next, oldest day first. What is added to the table from here on counts once more.
    async fn next(shared: &Shared, sealed: &[i32]) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT s.bucket, s.deletion, d.series_ids, array_agg(s.id) AS ids, array_agg(DISTINCT s.pack) AS packs
               FROM (SELECT * FROM watchpost.rollup_stale WHERE bucket <> ALL ($1) ORDER BY bucket, pack LIMIT $2) s
               LEFT JOIN watchpost.deletion d ON d.id = s.deletion
              GROUP BY s.bucket, s.deletion, d.series_ids ORDER BY s.bucket LIMIT 1",
        )
        .bind(sealed)
        .bind(REPAIRED_AT_ONCE)
        .fetch_optional(&shared.db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let deletion: Option<i64> = row.try_get("deletion")?;
        let mut series: Vec<SeriesId> = match deletion {
            Some(_) => {
                let ids: Option<Vec<i64>> = row.try_get("series_ids")?;
                ids.unwrap_or_default().into_iter().map(SeriesId).collect()
            }
            None => {
                shared.catalogue.refresh().await?;
                let packs: Vec<Option<i32>> = row.try_get("packs")?;
                let packs: Vec<PackId> = packs.into_iter().flatten().map(PackId).collect();
                let all = shared.catalogue.select(&[], usize::MAX - 1);
                let by_pack = by_pack(shared, &all);
                packs.iter().filter_map(|pack| by_pack.get(pack)).flatten().copied().collect()
            }
        };
        series.sort_unstable();
        Ok(Some(Self { day: row.try_get("bucket")?, ids: row.try_get("ids")?, series, deletion }))
    }
}

fn by_pack(shared: &Shared, series: &[SeriesId]) -> BTreeMap<PackId, Vec<SeriesId>> {
    let index = shared.catalogue.index();
    let mut packs: BTreeMap<PackId, Vec<SeriesId>> = BTreeMap::new();
    for id in series {
        if let Some(position) = index.position(*id) {
            packs.entry(index.pack(position)).or_default().push(*id);
        }
    }
    packs
}

const COLUMNS: &str = "bucket, series_id, n, sum, min, max, last, increase";
/// Types of columns: <https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat>.
const INT4: i32 = 23;
const FLOAT8: i32 = 701;

/// Reads the day of these series and copies their hours. Gives the number of rows.
async fn copy(
    transaction: &mut PgConnection,
    statement: &str,
    shared: &Arc<Shared>,
    day: i32,
    series: &[SeriesId],
) -> Result<usize, RollupError> {
    let mut copy = transaction.copy_in_raw(statement).await?;
    match copy_hours(&mut copy, shared, day, series).await {
        Ok(n_rows) => {
            copy.finish().await?;
            Ok(n_rows)
        }
        Err(err) => {
            copy.abort("rolling up failed").await?;
            Err(err)
        }
    }
}

async fn copy_hours(
    copy: &mut PgCopyIn<&mut PgConnection>,
    shared: &Arc<Shared>,
    day: i32,
    series: &[SeriesId],
) -> Result<usize, RollupError> {
    let start = i64::from(day) * Table::Rollup.bucket_seconds() * 1000;
    let end = start + Table::Rollup.bucket_seconds() * 1000;
    let reader = Reader(Arc::clone(shared));
    let packs: Vec<Vec<SeriesId>> = by_pack(shared, series).into_values().collect();
    let mut rows = CopyRows::default();
    let mut n_rows = 0;
    copy.send(&CopyRows::HEADER[..]).await?;
    for some in packs.chunks(PACKS_AT_ONCE) {
        let mut stream = reader.stream(&some.concat(), start - HOUR_MS, end - 1);
        while let Some(pack) = stream.next().await {
            let pack = pack?;
            for series in &pack {
                if let Some(hours) = hours::of_day(start, series.samples()) {
                    n_rows += 1;
                    add_row(&mut rows, day, series.series, &hours);
                }
            }
            stream.give_back(pack.into_iter().map(|series| (series.timestamps, series.values)));
            if rows.len() >= SEND_BYTES {
                copy.send(rows.take()).await?;
            }
        }
    }
    copy.send(rows.take()).await?;
    copy.send(&CopyRows::TRAILER[..]).await?;
    Ok(n_rows)
}

fn add_row(rows: &mut CopyRows, day: i32, series: SeriesId, hours: &[Option<Hour>; HOURS]) {
    let floats = |of: fn(&Hour) -> f64| {
        hours.iter().map(move |hour| hour.as_ref().map(|hour| of(hour).to_be_bytes()))
    };
    rows.row(8)
        .int(day)
        .bigint(series.0)
        .array(INT4, hours.iter().map(|hour| hour.map(|hour| hour.n.to_be_bytes())))
        .array(FLOAT8, floats(|hour| hour.sum))
        .array(FLOAT8, floats(|hour| hour.min))
        .array(FLOAT8, floats(|hour| hour.max))
        .array(FLOAT8, floats(|hour| hour.last))
        .array(FLOAT8, floats(|hour| hour.increase));
}
