//! A row for each sample, as most programs that bring Prometheus' samples to PostgreSQL keep them: what a table, and what
//! TimescaleDB's hypertable, cost at least. Requests are decoded before the clock starts, and no program stands between.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use anyhow::Context;
use proto::{
    remote_write::{Message, v1},
    snappy,
};
use sqlx::{Connection, PgConnection, PgPool};

use super::{load::Sent, workload::Requests};

/// PostgreSQL counts time from the year 2000.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;

type Labels = BTreeMap<String, String>;

/// One request: rows of COPY, those of series as text.
struct Rows {
    series: String,
    samples: Vec<u8>,
}

/// Makes the tables. Gives the number of the server's first process, if it tells.
pub(crate) async fn prepare(url: &str, hypertable: bool) -> anyhow::Result<Option<u32>> {
    let mut db = PgConnection::connect(url).await?;
    sqlx::raw_sql(
        "DROP SCHEMA IF EXISTS watchpost_bench CASCADE;
         CREATE SCHEMA watchpost_bench;
         CREATE TABLE watchpost_bench.series (id bigint PRIMARY KEY, labels jsonb NOT NULL UNIQUE);
         CREATE TABLE watchpost_bench.sample (
             ts timestamptz NOT NULL, series_id bigint NOT NULL, value float8 NOT NULL, PRIMARY KEY (series_id, ts))",
    )
    .execute(&mut db)
    .await?;
    if hypertable {
        sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS timescaledb").execute(&mut db).await.context(
            "the server that WATCHPOST_BENCH_TIMESCALEDB names has no TimescaleDB, or it is not in shared_preload_libraries",
        )?;
        sqlx::raw_sql("SELECT create_hypertable('watchpost_bench.sample', 'ts')")
            .execute(&mut db)
            .await?;
    }
    // Superusers only; without it nothing is said of CPU and memory.
    let file = "SELECT pg_read_file(current_setting('data_directory') || '/postmaster.pid')";
    let text: Option<String> = sqlx::query_scalar(file).fetch_one(&mut db).await.ok();
    Ok(text.and_then(|text| text.lines().next()?.parse().ok()))
}

/// Bytes of the database.
pub(crate) async fn disk(url: &str) -> anyhow::Result<u64> {
    let mut db = PgConnection::connect(url).await?;
    let bytes: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
        .fetch_one(&mut db)
        .await?;
    Ok(bytes as u64)
}

/// Copies the requests of each connection in order, one transaction each, all connections at once.
pub(crate) async fn send(url: &str, connections: &[Requests]) -> anyhow::Result<Sent> {
    let db = PgPool::connect(url).await?;
    let mut ids: HashMap<Labels, i64> =
        sqlx::query_as::<_, (String, i64)>("SELECT labels::text, id FROM watchpost_bench.series")
            .fetch_all(&db)
            .await?
            .into_iter()
            .map(|(labels, id)| Ok((serde_json::from_str(&labels)?, id)))
            .collect::<anyhow::Result<_>>()?;
    let mut prepared: Vec<Vec<Rows>> = Vec::new();
    for requests in connections {
        let rows = requests.iter().map(|request| rows(request, &mut ids));
        prepared.push(rows.collect::<anyhow::Result<_>>()?);
    }
    let started = Instant::now();
    let mut sending = Vec::new();
    for requests in prepared {
        let db = db.clone();
        sending.push(tokio::spawn(async move {
            let mut acks: Vec<Duration> = Vec::with_capacity(requests.len());
            for request in requests {
                let begun = Instant::now();
                insert(&db, request).await?;
                acks.push(begun.elapsed());
            }
            anyhow::Ok(acks)
        }));
    }
    let mut acks = Vec::new();
    for task in sending {
        acks.extend(task.await??);
    }
    Ok(Sent::new(started.elapsed(), acks, 0))
}

fn rows(request: &[u8], ids: &mut HashMap<Labels, i64>) -> anyhow::Result<Rows> {
    let mut body = Vec::new();
    snappy::decompress(request, 64 << 20, &mut body)?;
    let request = v1::WriteRequest::decode(&body[..])?;
    let mut series = String::new();
    // https://www.postgresql.org/docs/current/sql-copy.html
    let mut samples = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for one in request.timeseries {
        let labels: Labels =
            one.labels.into_iter().map(|label| (label.name, label.value)).collect();
        let next = ids.len() as i64 + 1;
        let id = match ids.get(&labels) {
            Some(id) => *id,
            None => {
                // Of COPY's text format, only the backslash would have to be quoted once more.
                let text = serde_json::to_string(&labels)?.replace('\\', "\\\\");
                series.push_str(&format!("{next}\t{text}\n"));
                ids.insert(labels, next);
                next
            }
        };
        for sample in one.samples {
            samples.extend(3i16.to_be_bytes());
            let ts = (sample.timestamp - POSTGRES_EPOCH_MS) * 1000;
            for column in [ts.to_be_bytes(), id.to_be_bytes(), sample.value.to_be_bytes()] {
                samples.extend(8i32.to_be_bytes());
                samples.extend(column);
            }
        }
    }
    samples.extend((-1i16).to_be_bytes());
    Ok(Rows { series, samples })
}

async fn insert(db: &PgPool, rows: Rows) -> anyhow::Result<()> {
    let mut transaction = db.begin().await?;
    if !rows.series.is_empty() {
        let mut copy =
            transaction.copy_in_raw("COPY watchpost_bench.series (id, labels) FROM STDIN").await?;
        copy.send(rows.series.into_bytes()).await?;
        copy.finish().await?;
    }
    let statement = "COPY watchpost_bench.sample (ts, series_id, value) FROM STDIN (FORMAT binary)";
    let mut copy = transaction.copy_in_raw(statement).await?;
    copy.send(rows.samples).await?;
    copy.finish().await?;
    Ok(transaction.commit().await?)
}
