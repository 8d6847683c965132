//! Races and half-done work, each arranged on purpose. All of these lost samples, or space for ever, once.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, Instant},
};

use receiver::{
    db::testing,
    storage::partition::{self, Dropped, Table},
};
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::simulated::{
    DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Samples, Simulated, assert_same, by_sql, expire_leases,
};

async fn partitions(db: &PgPool, table: Table) -> Vec<i32> {
    partition::list(db, table).await.unwrap()
}

/// Tables of our names, attached or not.
async fn tables(db: &PgPool, like: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE $1")
        .bind(like)
        .fetch_one(db)
        .await
        .unwrap()
}

/// Appends one sample now and notes it.
async fn append(receiver: &Simulated, n: u32, expected: &mut Samples) {
    let known = receiver.series(&[n]).await[0];
    let (ts, bits) = (receiver.now(), f64::from(n).to_bits());
    receiver.append(&[(known, ts, bits)]).await.unwrap();
    expected.insert((n, ts), bits);
}

fn advance(clock: &AtomicI64, ms: i64) {
    clock.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
}

#[tokio::test]
async fn a_flush_by_a_slow_clock_is_not_written_where_nobody_looks() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let fast = Arc::new(AtomicI64::new(START_MS + 8 * HOUR_MS));
    let slow = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let ahead = Simulated::open(database.url(), &fast, None).await;
    let behind = Simulated::open(database.url(), &slow, None).await;
    append(&behind, 1, &mut expected).await;
    behind.housekeep().await;
    // Its bucket is hours old for the other, who merges and drops it as soon as it is its turn.
    expire_leases(&db).await;
    ahead.housekeep().await;
    advance(&fast, HOUR_MS);
    ahead.housekeep().await;
    let bucket = Table::BlockRecent.bucket_of(START_MS);
    assert!(!partitions(&db, Table::BlockRecent).await.contains(&bucket));
    append(&behind, 2, &mut expected).await;
    behind.housekeep().await;
    assert_same("after the second flush", &expected, &by_sql(&db).await);
    assert_same("by its own reader", &expected, &behind.read(&[1, 2]).await);
    behind.close().await;
    ahead.close().await;
}

#[tokio::test]
async fn a_writer_that_was_taken_over_loses_nothing_and_comes_back() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let zombie = Simulated::open(database.url(), &clock, None).await;
    let other = Simulated::open(database.url(), &clock, None).await;
    append(&zombie, 1, &mut expected).await;
    // Changes hands although its holder lives, as after a long pause.
    expire_leases(&db).await;
    other.housekeep().await;
    let mut accepting = zombie.storage.accepting();
    // It has not noticed yet, or is registered anew: either way what it acknowledges stays.
    for round in 0..8 {
        append(&zombie, 10 + round, &mut expected).await;
        advance(&clock, 20 * MINUTE_MS);
        expire_leases(&db).await;
        other.housekeep().await;
        assert_same("after a round", &expected, &by_sql(&db).await);
    }
    // Two looks at its lease later it must know.
    let noticed = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if accepting.has_changed().unwrap() && *accepting.borrow_and_update() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    noticed.await.expect("it registers anew");
    append(&zombie, 2, &mut expected).await;
    zombie.storage.housekeep(zombie.now()).await.unwrap();
    advance(&clock, 3 * DAY_MS);
    other.housekeep().await;
    assert_same("in the end", &expected, &by_sql(&db).await);
    let numbers: Vec<u32> = expected.keys().map(|(n, _)| *n).collect();
    assert_same("by its own reader", &expected, &zombie.read(&numbers).await);
    zombie.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_batch_that_comes_late_keeps_its_partition() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let receiver = Simulated::open(database.url(), &clock, None).await;
    append(&receiver, 1, &mut expected).await;
    let bucket = Table::Batch.bucket_of(START_MS);
    assert_eq!(partition::drop(&db, Table::Batch, bucket, None).await.unwrap(), Dropped::Needed);
    assert_same("after the attempt", &expected, &by_sql(&db).await);
    receiver.housekeep().await;
    assert_eq!(partition::drop(&db, Table::Batch, bucket, None).await.unwrap(), Dropped::Yes);
    // Whoever still means to write there finds another place.
    append(&receiver, 2, &mut expected).await;
    assert_same("after the drop", &expected, &by_sql(&db).await);
    receiver.close().await;
}

#[tokio::test]
async fn a_sealed_partition_takes_nothing_and_stops_nobody() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let receiver = Simulated::open(database.url(), &clock, None).await;
    let bucket = Table::Batch.bucket_of(START_MS);
    // A reader of the table, though not of this partition, keeps the detachment pending.
    let mut reader = PgConnection::connect(database.url()).await.unwrap();
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let other = format!("SELECT count(*) FROM watchpost.batch WHERE bucket = {}", bucket + 1);
    reader.execute(sqlx::AssertSqlSafe(other)).await.unwrap();
    assert_eq!(partition::drop(&db, Table::Batch, bucket, None).await.unwrap(), Dropped::Busy);
    assert_eq!(partition::sealed(&db, Table::Batch).await.unwrap(), [bucket]);
    append(&receiver, 1, &mut expected).await;
    assert_same("while it is pending", &expected, &by_sql(&db).await);
    // Others of the table cannot go meanwhile, and that is no failure.
    receiver.housekeep().await;
    advance(&clock, 2 * HOUR_MS);
    receiver.housekeep().await;
    reader.execute("COMMIT").await.unwrap();
    receiver.housekeep().await;
    receiver.housekeep().await;
    assert_eq!(partition::sealed(&db, Table::Batch).await.unwrap(), Vec::<i32>::new());
    let left = partitions(&db, Table::Batch).await;
    assert!(left[0] > bucket, "{left:?}");
    assert_same("in the end", &expected, &by_sql(&db).await);
    receiver.close().await;
}

#[tokio::test]
async fn what_a_crash_left_detached_goes_and_what_is_not_ours_stays() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let receiver = Simulated::open(database.url(), &clock, None).await;
    let bucket = Table::Batch.bucket_of(START_MS);
    // Sealed by an attempt that a reader stopped, then detached by a process that died before the drop.
    let mut reader = PgConnection::connect(database.url()).await.unwrap();
    reader.execute("BEGIN; SELECT count(*) FROM watchpost.batch WHERE bucket = 0").await.unwrap();
    assert_eq!(partition::drop(&db, Table::Batch, bucket, None).await.unwrap(), Dropped::Busy);
    reader.execute("COMMIT").await.unwrap();
    let finalize =
        format!("ALTER TABLE watchpost.batch DETACH PARTITION watchpost.batch_{bucket} FINALIZE");
    db.execute(sqlx::AssertSqlSafe(finalize)).await.unwrap();
    assert_eq!(tables(&db, &format!("batch_{bucket}")).await, 1);
    // What somebody restores or prepares has no mark of ours.
    db.execute("CREATE TABLE watchpost.batch_7 (LIKE watchpost.batch)").await.unwrap();
    db.execute("CREATE TABLE watchpost.batch_notes (text text)").await.unwrap();
    receiver.housekeep().await;
    assert_eq!(tables(&db, &format!("batch_{bucket}")).await, 0);
    assert_eq!(tables(&db, "batch_7").await, 1);
    assert_eq!(tables(&db, "batch_notes").await, 1);
    receiver.close().await;
}

#[tokio::test]
async fn a_damaged_block_keeps_nothing_else_from_being_done() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let receiver = Simulated::open(database.url(), &clock, None).await;
    append(&receiver, 1, &mut expected).await;
    receiver.housekeep().await;
    let damaged = Table::BlockRecent.bucket_of(receiver.now());
    db.execute("UPDATE watchpost.block_recent SET body = '\\x01ffffff'").await.unwrap();
    expected.clear();
    let batches = partitions(&db, Table::Batch).await[0];
    for n in 2..5 {
        advance(&clock, 4 * HOUR_MS);
        append(&receiver, n, &mut expected).await;
        let err = receiver.storage.housekeep(receiver.now()).await;
        assert_eq!(err.is_err(), n > 2 || receiver.now() > START_MS + 2 * HOUR_MS, "round {n}");
    }
    // Everything else was flushed, merged and dropped.
    let recent = partitions(&db, Table::BlockRecent).await;
    assert_eq!(recent[0], damaged);
    assert!(recent[1] > damaged + 1, "{recent:?}");
    assert!(partitions(&db, Table::Batch).await[0] > batches);
    db.execute("DELETE FROM watchpost.block_recent WHERE body = '\\x01ffffff'").await.unwrap();
    assert_same("besides the damage", &expected, &by_sql(&db).await);
    receiver.close().await;
}

#[tokio::test]
async fn the_first_of_two_values_stands_however_they_are_merged() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS + HOUR_MS));
    let mut expected = Samples::new();
    let ts = START_MS + HOUR_MS;
    let mut receiver = Simulated::open(database.url(), &clock, None).await;
    let known = receiver.series(&[1]).await[0];
    // Several batches first, so that the restarted receiver counts below them.
    for n in 0..5 {
        receiver.append(&[(known, ts + n * MINUTE_MS, n.cast_unsigned())]).await.unwrap();
        expected.insert((1, ts + n * MINUTE_MS), n.cast_unsigned());
    }
    receiver.close().await;
    receiver = Simulated::open(database.url(), &clock, None).await;
    let known = receiver.series(&[1]).await[0];
    // Begins earlier, so that its row comes before those of the first values.
    receiver.append(&[(known, ts - MINUTE_MS, 77), (known, ts + 3 * MINUTE_MS, 78)]).await.unwrap();
    expected.insert((1, ts - MINUTE_MS), 77);
    for step in ["flushed", "merged", "final"] {
        receiver.housekeep().await;
        assert_same(step, &expected, &by_sql(&db).await);
        assert_same(step, &expected, &receiver.read(&[1]).await);
        advance(&clock, if step == "flushed" { 5 * HOUR_MS } else { 2 * DAY_MS });
    }
    receiver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_beside_merges_have_no_holes() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let receiver = Simulated::open(database.url(), &clock, None).await;
    let mut reads = 0;
    for n in 0..6 {
        append(&receiver, n, &mut expected).await;
        advance(&clock, DAY_MS);
        let done = std::sync::atomic::AtomicBool::new(false);
        let working = async {
            receiver.housekeep().await;
            advance(&clock, HOUR_MS);
            receiver.housekeep().await;
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        let numbers: Vec<u32> = expected.keys().map(|(n, _)| *n).collect();
        let by_reader = async || {
            let mut n = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_same("reader", &expected, &receiver.read(&numbers).await);
                n += 1;
            }
            n
        };
        let by_statement = async || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_same("SQL", &expected, &by_sql(&db).await);
            }
        };
        let ((), first, second, ..) =
            tokio::join!(working, by_reader(), by_reader(), by_statement(), by_statement());
        reads += first + second;
    }
    eprintln!("{reads} reads beside 12 passes of housekeeping");
    receiver.close().await;
}

/// What merges have marked: source and bucket.
async fn merged(db: &PgPool) -> Vec<(String, i32)> {
    sqlx::query_as(
        "SELECT source, bucket FROM watchpost.merged WHERE source LIKE 'block%' ORDER BY 1, 2",
    )
    .fetch_all(db)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_waits_for_those_who_may_not_know_of_the_partition() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let receiver = Simulated::open(database.url(), &clock, None).await;
    append(&receiver, 1, &mut expected).await;
    receiver.housekeep().await;
    advance(&clock, 6 * HOUR_MS);
    receiver.housekeep().await;
    let day = Table::Block.bucket_of(START_MS);
    // Its next statement takes a new snapshot, and may still use what it planned before.
    let mut older = PgConnection::connect(database.url()).await.unwrap();
    older.execute("BEGIN; SELECT count(*) FROM watchpost.block").await.unwrap();
    advance(&clock, 2 * DAY_MS);
    let loaded = async {
        let loaded = ("block".to_owned(), day);
        let mut unseen = Instant::now();
        loop {
            let looked = Instant::now();
            let marked = merged(&db).await;
            if marked.contains(&loaded) || marked.contains(&("block_window".to_owned(), day)) {
                break;
            }
            unseen = looked;
            tokio::task::yield_now().await;
        }
        // Attached and not marked: everything is there twice and shown once.
        assert_same("by SQL", &expected, &by_sql(&db).await);
        assert_same("by its own reader", &expected, &receiver.read(&[1]).await);
        // Unless all of this took us longer than anybody is waited for.
        let has_waited = merged(&db).await.contains(&loaded);
        assert!(has_waited || unseen.elapsed() >= Duration::from_secs(1), "the mark has come");
        older.execute("COMMIT").await.unwrap();
    };
    tokio::join!(receiver.housekeep(), loaded);
    let marked = merged(&db).await;
    assert!(marked.contains(&("block_window".to_owned(), day)), "{marked:?}");
    assert!(!marked.contains(&("block".to_owned(), day)), "{marked:?}");
    assert_same("in the end", &expected, &by_sql(&db).await);
    receiver.close().await;
}

#[tokio::test]
async fn a_day_that_was_loaded_before_a_crash_comes_into_force() {
    let database = testing::database().await;
    let db = PgPool::connect(database.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut expected = Samples::new();
    let receiver = Simulated::open(database.url(), &clock, Some(30)).await;
    for n in 1..4 {
        append(&receiver, n, &mut expected).await;
    }
    receiver.housekeep().await;
    advance(&clock, 2 * DAY_MS);
    receiver.housekeep().await;
    let day = Table::Block.bucket_of(START_MS);
    assert!(merged(&db).await.contains(&("block_window".to_owned(), day)));
    // As it is between the two commits of a day's merge, and of a day's rolling up.
    for statement in [
        "UPDATE watchpost.merged SET source = 'block' WHERE source = 'block_window'",
        "INSERT INTO watchpost.rollup_stale (bucket, pack)
         SELECT DISTINCT d.bucket, s.pack FROM watchpost.rollup_day d, watchpost.series s",
    ] {
        assert!(db.execute(statement).await.unwrap().rows_affected() > 0, "{statement}");
    }
    assert_same("before", &expected, &by_sql(&db).await);
    assert_same("before, by its own reader", &expected, &receiver.read(&[1, 2, 3]).await);
    receiver.crash();
    let receiver = Simulated::open(database.url(), &clock, Some(30)).await;
    // Comes late, and must not be taken for a part of what was loaded.
    let known = receiver.series(&[1]).await[0];
    receiver.append(&[(known, START_MS + 1, 7)]).await.unwrap();
    expected.insert((1, START_MS + 1), 7);
    expire_leases(&db).await;
    receiver.housekeep().await;
    advance(&clock, 6 * HOUR_MS);
    receiver.housekeep().await;
    let marked = merged(&db).await;
    assert!(marked.contains(&("block_window".to_owned(), day)), "{marked:?}");
    assert!(!marked.contains(&("block".to_owned(), day)), "{marked:?}");
    let stale: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.rollup_stale")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(stale, 0);
    assert_same("in the end", &expected, &by_sql(&db).await);
    assert_same("in the end, by its own reader", &expected, &receiver.read(&[1, 2, 3]).await);
    receiver.close().await;
}
