//! The storage engine by itself: what a life of samples costs, and how fast they are read.

use std::time::{Duration, Instant};

use receiver::{Closing, Config, Receiver, model::now_ms};
use sqlx::{PgPool, Row};

use super::usage;

pub(crate) const DAY_MS: i64 = 86_400_000;

/// Opens a database as a receiver would.
pub(crate) async fn open(url: &str) -> anyhow::Result<(Receiver, Closing)> {
    open_with(url, None).await
}

/// The same, with rollups kept for so long.
pub(crate) async fn open_with(
    url: &str,
    rollups: Option<Duration>,
) -> anyhow::Result<(Receiver, Closing)> {
    let mut config = Config::new(url.to_owned());
    config.storage.rollups = rollups;
    Ok(Receiver::open(config).await?)
}

/// Brings everything to where it stays: flushed, merged to windows, and to final days.
pub(crate) async fn settle(receiver: &Receiver) -> anyhow::Result<()> {
    for days in [0, 1, 2] {
        receiver.storage().housekeep(now_ms() + days * DAY_MS).await?;
    }
    Ok(())
}

/// Where the write-ahead log stands, in bytes.
pub(crate) async fn wal(db: &PgPool) -> anyhow::Result<i64> {
    let query = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";
    Ok(sqlx::query_scalar(query).fetch_one(db).await?)
}

/// Bytes of each table of ours, indexes and TOAST included.
pub(crate) async fn tables(db: &PgPool) -> anyhow::Result<Vec<(String, i64)>> {
    let rows = sqlx::query(
        "SELECT coalesce(p.relname, c.relname)::text AS name, sum(pg_total_relation_size(c.oid))::bigint AS size
           FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
          WHERE c.relnamespace = 'watchpost'::regnamespace AND c.relkind = 'r'
          GROUP BY 1 ORDER BY 2 DESC",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("size")?))).collect()
}

/// The shortest of some runs of `read`, and how many samples it gave.
pub(crate) async fn fastest(
    runs: u32,
    mut read: impl AsyncFnMut() -> anyhow::Result<usize>,
) -> anyhow::Result<(Duration, usize)> {
    let mut best = (Duration::MAX, 0);
    for _ in 0..runs {
        let started = Instant::now();
        let samples = read().await?;
        best = best.min((started.elapsed(), samples));
    }
    Ok(best)
}

/// How often each read is measured.
const RUNS: u32 = 5;

/// Used by this process and what it started.
fn cpu() -> Duration {
    usage::of(&[std::process::id()]).cpu
}

/// Reads of the sizes that dashboards ask for, by matcher.
pub(crate) async fn reads(receiver: &Receiver, db: &PgPool, end: i64) -> anyhow::Result<()> {
    let reader = receiver.storage().reader();
    let everything = reader.select(&[], usize::MAX);
    let hour = 3_600_000;
    for (n, hours) in [(1, 24), (1_000, 6), (10_000, 24)] {
        let wanted: Vec<_> = everything.iter().copied().take(n).collect();
        let before = cpu();
        let (took, samples) = fastest(RUNS, async || {
            // As the query engine reads: pack by pack.
            let mut packs = reader.stream(&wanted, end - hours * hour, end);
            let mut samples = 0;
            while let Some(pack) = packs.next().await {
                let pack = pack?;
                samples += pack.iter().map(|series| series.len()).sum::<usize>();
                packs.give_back(pack.into_iter().map(|series| (series.timestamps, series.values)));
            }
            Ok(samples)
        })
        .await?;
        let used = (cpu() - before) / RUNS;
        println!(
            "{} series × {hours} h: {samples} samples in {:.1} ms, {:.1} M samples/s; {:.0} ms of CPU, PostgreSQL's included",
            wanted.len(),
            took.as_secs_f64() * 1e3,
            samples as f64 / took.as_secs_f64() / 1e6,
            used.as_secs_f64() * 1e3
        );
    }
    // One metric with many series, for about two million samples.
    let (took, samples) = fastest(3, async || {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(value) FROM watchpost.samples('node_cpu_seconds_total', '{\"mode\": \"user\"}', to_timestamp($1), to_timestamp($2))",
        )
        .bind((end - 24 * hour) as f64 / 1e3)
        .bind(end as f64 / 1e3)
        .fetch_one(db)
        .await?;
        Ok(count as usize)
    })
    .await?;
    println!(
        "SQL samples(): {samples} samples in {:.2} s, {:.2} M samples/s",
        took.as_secs_f64(),
        samples as f64 / took.as_secs_f64() / 1e6
    );
    Ok(())
}

/// The hours of a day, from samples and from rollups.
pub(crate) async fn hours(url: &str, db: &PgPool, end: i64) -> anyhow::Result<()> {
    let ask = async || {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM watchpost.hourly('node_cpu_seconds_total', '{\"mode\": \"user\"}', to_timestamp($1), to_timestamp($2))",
        )
        .bind((end - DAY_MS) as f64 / 1e3)
        .bind(end as f64 / 1e3)
        .fetch_one(db)
        .await?;
        Ok(count as usize)
    };
    let (took, hours) = fastest(1, ask).await?;
    println!("SQL hourly() from samples: {hours} hours in {:.2} s", took.as_secs_f64());
    let (receiver, closing) =
        open_with(url, Some(Duration::from_millis(365 * DAY_MS as u64))).await?;
    let started = Instant::now();
    receiver.storage().housekeep(now_ms() + 2 * DAY_MS).await?;
    println!("rolled up in {:.1} s", started.elapsed().as_secs_f64());
    let (took, hours) = fastest(3, ask).await?;
    println!("SQL hourly() from rollups: {hours} hours in {:.3} s", took.as_secs_f64());
    for (table, size) in tables(db).await? {
        println!("  {table:14} {size:10} B");
    }
    drop(receiver);
    closing.finished().await;
    Ok(())
}
