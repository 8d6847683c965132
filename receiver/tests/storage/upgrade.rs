//! What earlier versions stored can be read, and moving to this version stops nobody who writes.
//!
//! `tests/fixtures/storage-<n>.sql` is a plain `pg_dump` of a small database with samples in every stage: batches, recent
//! blocks, windows, and a final day. A new one is written when a format or the schema changes, and the old ones stay:
//!
//! ```text
//! WATCHPOST_WRITE_FIXTURE=storage-2.sql cargo test -p receiver --test storage upgrade
//! ```

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use receiver::db::testing;
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::{
    programs::program,
    simulated::{
        DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Samples, Simulated, assert_same, by_sql,
        expire_leases,
    },
};

const SERIES: u32 = 70;
/// When samples come, so that in the end there are some in every stage.
const STAGES: [(&str, i64); 4] = [
    ("final", 12 * HOUR_MS),
    ("window", DAY_MS + 8 * HOUR_MS),
    ("recent", DAY_MS + 23 * HOUR_MS),
    ("batch", DAY_MS + 23 * HOUR_MS + 30 * MINUTE_MS),
];
/// As many as chunks have that are packed.
const SAMPLES_PER_STAGE: i64 = 16;
/// The first schema that fixtures may have been made with.
const FIRST_SCHEMA: i64 = 7;
/// Nobody who writes waits longer because of a migration.
const GAP_MAX: Duration = Duration::from_millis(200);

/// The value of a series at a time: integers, decimals, sums, and what is neither.
fn bits(n: u32, ts: i64) -> u64 {
    let minute = ts / MINUTE_MS;
    match n % 5 {
        // Memory, in pages, but for a staleness marker now and then.
        0 if minute % 11 > 0 => {
            return (4096.0 * (minute * minute % 13 + i64::from(n)) as f64).to_bits();
        }
        // Some are a unit in the last place away from the decimal.
        1 => return ((1 + minute % 100) as f64 * 0.1).to_bits(),
        _ => {}
    }
    match (i64::from(n) + minute) % 7 {
        0 => 0x7ff0_0000_0000_0002,
        1 => (-0.0f64).to_bits(),
        2 => 0x7ff8_0000_0000_0abc,
        3 => f64::NEG_INFINITY.to_bits(),
        4 => (1.0 / f64::from(n + 3)).to_bits(),
        5 => (f64::from(n) * 1.25).to_bits(),
        _ => ((ts / 1000) as f64).to_bits(),
    }
}

fn of_stage(from: i64) -> Vec<(u32, i64)> {
    let times = (0..SAMPLES_PER_STAGE).map(|i| START_MS + from + i * MINUTE_MS);
    times.flat_map(|ts| (0..SERIES).map(move |n| (n, ts))).collect()
}

/// All that a fixture holds.
fn everything() -> Samples {
    let samples = STAGES.iter().flat_map(|(_, from)| of_stage(*from));
    samples.map(|(n, ts)| ((n, ts), bits(n, ts))).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Makes a database with samples in every stage and dumps it.
async fn write(fixture: &str) {
    let database = testing::database().await;
    let clock = Arc::new(AtomicI64::new(START_MS));
    let receiver = Simulated::open(database.url(), &clock, None).await;
    let numbers: Vec<u32> = (0..SERIES).collect();
    let known = receiver.series(&numbers).await;
    for (stage, from) in STAGES {
        clock.store(START_MS + from, Ordering::Relaxed);
        let samples: Vec<_> = of_stage(from)
            .into_iter()
            .map(|(n, ts)| (known[n as usize], ts, bits(n, ts)))
            .collect();
        receiver.append(&samples).await.unwrap();
        match stage {
            "final" => {
                receiver.housekeep().await;
                // Late enough for its day to be final.
                receiver.storage.housekeep(START_MS + 2 * DAY_MS - 14 * HOUR_MS).await.unwrap();
            }
            "window" => {
                receiver.housekeep().await;
                receiver.storage.housekeep(START_MS + from + 6 * HOUR_MS).await.unwrap();
            }
            "recent" => drop(receiver.housekeep().await),
            _ => {}
        }
    }
    let output = program("pg_dump")
        .args(["--no-owner", "--no-privileges", "--schema=watchpost", database.url()])
        .output()
        .expect("pg_dump runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("SQL is text");
    // Only the newest psql knows this command, and the words about versions differ from machine to machine.
    let kept: Vec<&str> = text
        .lines()
        .filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict"))
        .filter(|l| !l.starts_with("-- Dumped "))
        .collect();
    fs::create_dir_all(folder()).unwrap();
    fs::write(folder().join(fixture), format!("{}\n", kept.join("\n"))).unwrap();
    receiver.close().await;
}

fn restore(fixture: &Path, url: &str) {
    let output = program("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file"])
        .arg(fixture)
        .arg(url)
        .output()
        .expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_earlier_versions_stored_is_all_there() {
    if let Ok(fixture) = env::var("WATCHPOST_WRITE_FIXTURE") {
        Box::pin(write(&fixture)).await;
    }
    let mut fixtures: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    fixtures.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    assert!(!fixtures.is_empty());
    for fixture in fixtures {
        let how = |step: &str| format!("{}, {step}", fixture.display());
        let database = testing::database().await;
        restore(&fixture, database.url());
        let db = PgPool::connect(database.url()).await.unwrap();
        let clock = Arc::new(AtomicI64::new(START_MS + 2 * DAY_MS));
        let receiver = Simulated::open(database.url(), &clock, None).await;
        let stages: Vec<i64> = sqlx::query_scalar(
            "SELECT count(*) FROM watchpost.live_block GROUP BY age ORDER BY age",
        )
        .fetch_all(&db)
        .await
        .unwrap();
        assert_eq!(stages.len(), 3, "blocks of every age");
        let numbers: Vec<u32> = (0..SERIES).collect();
        let mut expected = everything();
        assert_same(&how("as it came: SQL"), &expected, &by_sql(&db).await);
        assert_same(&how("as it came: reader"), &expected, &receiver.read(&numbers).await);
        // And it is a database to go on with.
        let known = receiver.series(&[1]).await[0];
        receiver.append(&[(known, START_MS + 2 * DAY_MS, 7)]).await.unwrap();
        expected.insert((1, START_MS + 2 * DAY_MS), 7);
        expire_leases(&db).await;
        receiver.housekeep().await;
        clock.fetch_add(2 * DAY_MS, Ordering::Relaxed);
        receiver.housekeep().await;
        assert_same(&how("merged: SQL"), &expected, &by_sql(&db).await);
        assert_same(&how("merged: reader"), &expected, &receiver.read(&numbers).await);
        receiver.close().await;
        db.close().await;
    }
}

#[tokio::test]
async fn moving_to_this_version_stops_nobody_who_writes() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.dangerous_set_table_name("watchpost.migration");
    db.execute("CREATE SCHEMA watchpost").await.unwrap();
    migrator.run_to(FIRST_SCHEMA, &db).await.unwrap();
    db.execute(
        "CREATE TABLE watchpost.batch_0 PARTITION OF watchpost.batch FOR VALUES FROM (0) TO (1)",
    )
    .await
    .unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write_until(database.url().to_owned(), Arc::clone(&done)));
    // Somebody reads for a while: a lock that has to wait for this reader would have the writer wait behind it.
    let mut reader = PgConnection::connect(database.url()).await.unwrap();
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    for table in ["batch", "series", "metric", "writer", "live_block", "merged", "lease"] {
        let statement = format!("SELECT count(*) FROM watchpost.{table}");
        reader.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    let reading = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        reader.execute("COMMIT").await.unwrap();
    });
    let clock = Arc::new(AtomicI64::new(START_MS));
    let receiver = Simulated::open(database.url(), &clock, None).await;
    reading.await.unwrap();
    done.store(true, Ordering::Relaxed);
    let (batches, slowest) = writing.await.unwrap();
    eprintln!("{batches} batches were written meanwhile, the slowest took {slowest:?}");
    assert!(batches > 0 && slowest < GAP_MAX, "a batch took {slowest:?}");
    receiver.close().await;
}

/// What the committer of an earlier version does, until told to stop: how often, and how long the slowest took.
async fn write_until(url: String, done: Arc<AtomicBool>) -> (i64, Duration) {
    let mut db = PgConnection::connect(&url).await.unwrap();
    let (mut seq, mut slowest) = (0, Duration::ZERO);
    while !done.load(Ordering::Relaxed) {
        seq += 1;
        let started = Instant::now();
        sqlx::query(
            "INSERT INTO watchpost.batch (bucket, writer, seq, n_samples, t_min, t_max, body)
             VALUES (0, 1, $1, 0, 0, 0, '\\x01')",
        )
        .bind(seq)
        .execute(&mut db)
        .await
        .unwrap();
        slowest = slowest.max(started.elapsed());
    }
    (seq, slowest)
}
