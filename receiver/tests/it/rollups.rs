//! Rollups: whatever comes late or is deleted, `hourly` says what follows from the samples, as long as there are any.

use std::time::Duration;

use proto::remote_write::stale_marker;
use receiver::{Config, db::testing, storage::delete};
use sqlx::{AssertSqlSafe, Row};

use crate::harness::{TestReceiver, now, series};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

async fn open(retention_days: Option<u64>) -> TestReceiver {
    let database = testing::database().await;
    let mut config = Config::new(database.url().to_owned());
    let days = |days: u64| Duration::from_secs(days * 86_400);
    config.storage.rollups = Some(days(365));
    config.storage.retention.all = retention_days.map(days);
    TestReceiver::with_config(database, config).await
}

async fn write(test: &TestReceiver, metric: &str, instance: &str, samples: &[(i64, f64)]) {
    let labels = [("__name__", metric), ("instance", instance)];
    test.write_surely(vec![series(&labels, samples)]).await;
}

async fn housekeep(test: &TestReceiver, now: i64) {
    test.receiver.storage().housekeep(now).await.unwrap();
}

async fn count(test: &TestReceiver, what: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
    sqlx::query_scalar(sql).fetch_one(&test.db).await.unwrap()
}

/// Rows as text.
async fn rows(test: &TestReceiver, sql: String) -> Vec<String> {
    let sql = AssertSqlSafe(format!("SELECT q::text FROM ({sql}) q ORDER BY 1"));
    let rows = sqlx::query(sql).fetch_all(&test.db).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Asks for spans that begin and end within hours and days, and compares with what the samples say.
async fn check(test: &TestReceiver, first: i64, step: &str) {
    let offsets =
        [0, 90_000, 5 * HOUR, DAY, DAY + HOUR / 2, 2 * DAY - 1, 2 * DAY, 3 * DAY + 7 * HOUR];
    for metric in ["requests", "odd"] {
        for (at, from) in offsets.iter().enumerate() {
            for to in &offsets[at..] {
                let (from, to) = (first + from, first + to);
                let hourly = format!(
                    "SELECT series_id, hour, n, sum, min, max, last, increase
                       FROM watchpost.hourly('{metric}', '{{}}', to_timestamp({from} / 1000.0), to_timestamp({to} / 1000.0))"
                );
                let samples = format!(
                    "SELECT series_id, to_timestamp(hour * 3600::float8), n, sum, min, max, last, increase
                       FROM watchpost.hours_of_samples('{metric}', '{{}}', {}, to_timestamp({to} / 1000.0))",
                    from.div_euclid(HOUR)
                );
                let (hourly, samples) = (rows(test, hourly).await, rows(test, samples).await);
                assert!(
                    hourly == samples,
                    "{step}, {metric}, {from} to {to}: {hourly:#?}, {samples:#?}"
                );
            }
        }
        let all = format!("SELECT n FROM watchpost.hourly('{metric}')");
        assert!(rows(test, all).await.len() > 24, "{step}: the spans have something to compare");
    }
}

#[tokio::test]
async fn rolled_up_days_say_what_their_samples_say() {
    let test = open(None).await;
    let first = (now() / DAY - 10) * DAY;
    for (metric, instance) in [("requests", "a"), ("requests", "b"), ("odd", "a")] {
        // Three and a half days, every five minutes, with holes, resets and everything that is no number.
        let samples: Vec<(i64, f64)> = (0..1000)
            .filter(|i| !(300..340).contains(i) && i % 97 != 5)
            .map(|i| {
                let value = match (metric, i % 50) {
                    ("odd", 3) => f64::NAN,
                    ("odd", 4) => f64::INFINITY,
                    ("odd", 5) => f64::NEG_INFINITY,
                    ("odd", 6) => -0.0,
                    (_, 49) => stale_marker(),
                    _ => (i % 140) as f64 * 0.5,
                };
                (first + i * 300_000 + 17, value)
            })
            .collect();
        write(&test, metric, instance, &samples).await;
    }
    write(&test, "nothing", "a", &[(first + 5, stale_marker())]).await;
    check(&test, first, "in batches").await;
    let mut clock = now();
    for _ in 0..2 {
        housekeep(&test, clock).await;
        clock += 4 * HOUR;
    }
    housekeep(&test, clock).await;
    assert_eq!(count(&test, "watchpost.rollup_day").await, 4);
    assert_eq!(
        count(&test, "watchpost.rollup").await,
        12,
        "a row of each series that has a value that day"
    );
    check(&test, first, "rolled up").await;
    // That they are used: a lie is believed.
    let lie = "BEGIN; UPDATE watchpost.rollup SET n = array_fill(7, ARRAY[24]);
               SELECT DISTINCT n FROM watchpost.hourly('requests')";
    let mut db = test.db.acquire().await.unwrap();
    let lied = sqlx::raw_sql(lie).fetch_all(&mut *db).await.unwrap();
    assert_eq!(lied.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>(), [7]);
    sqlx::raw_sql("ROLLBACK").execute(&mut *db).await.unwrap();
    drop(db);

    // Late: into a hole, into an hour before midnight that the next day counts from, and a new series.
    write(&test, "requests", "a", &[(first + 310 * 300_000, 4.5)]).await;
    write(
        &test,
        "requests",
        "b",
        &[(first + 2 * DAY - 1000, 11.0), (first + DAY + 3 * HOUR + 9, 2.0)],
    )
    .await;
    write(&test, "requests", "c", &[(first + DAY + HOUR, 2.0), (first + 2 * DAY + HOUR, 3.0)])
        .await;
    housekeep(&test, clock).await;
    check(&test, first, "late").await;
    assert_eq!(count(&test, "watchpost.rollup_stale").await, 0, "repaired");
    assert_eq!(count(&test, "watchpost.rollup").await, 14);

    // A deletion of parts of hours.
    let selector = vec!["requests{instance=\"a\"}".to_owned()];
    let deleted = delete::Request::new(selector, first + HOUR / 2, first + DAY + HOUR / 2).unwrap();
    assert_eq!(test.receiver.storage().delete(&deleted).await.unwrap(), 1);
    assert_eq!(count(&test, "watchpost.rollup_stale").await, 2);
    check(&test, first, "deleted").await;
    housekeep(&test, clock).await;
    assert_eq!(count(&test, "watchpost.rollup_stale").await, 0);
    check(&test, first, "deleted and repaired").await;
    for hours in [4, 4, 30] {
        clock += hours * HOUR;
        housekeep(&test, clock).await;
        check(&test, first, "later").await;
    }
    test.close().await;
}

#[tokio::test]
async fn rollups_outlive_their_samples_and_deletions_reach_them() {
    let test = open(Some(30)).await;
    let first = (now() / DAY - 10) * DAY;
    let samples: Vec<(i64, f64)> = (0..576).map(|i| (first + i * 300_000, i as f64)).collect();
    write(&test, "requests", "a", &samples).await;
    write(&test, "requests", "b", &samples).await;
    let mut clock = now();
    // Final and rolled up, and then long past the retention.
    for hours in [0, 4, 4, 30 * 24, 1] {
        clock += hours * HOUR;
        housekeep(&test, clock).await;
    }
    assert_eq!(count(&test, "watchpost.block").await, 0, "no samples are left");
    let hours = async |test: &TestReceiver, instance: &str| {
        count(test, &format!("watchpost.hourly('requests', '{{\"instance\": \"{instance}\"}}')"))
            .await
    };
    assert_eq!((hours(&test, "a").await, hours(&test, "b").await), (48, 48));
    // Part of an hour at both ends.
    let selector = vec!["requests{instance=\"a\"}".to_owned()];
    let (from, to) = (first + 10 * HOUR + 1, first + DAY + HOUR - 300_000);
    let deleted = delete::Request::new(selector, from, to).unwrap();
    assert_eq!(test.receiver.storage().delete(&deleted).await.unwrap(), 1);
    assert_eq!(hours(&test, "a").await, 0, "until it is repaired, nothing is said of these days");
    assert_eq!(hours(&test, "b").await, 48, "and others do not suffer");
    // What comes too late to be kept changes nothing.
    write(&test, "requests", "b", &[(first + HOUR + 1, 1e9)]).await;
    housekeep(&test, clock).await;
    housekeep(&test, clock).await;
    assert_eq!(count(&test, "watchpost.rollup_stale").await, 0);
    assert_eq!((hours(&test, "a").await, hours(&test, "b").await), (10 + 23, 48));
    let n: i64 = sqlx::query_scalar("SELECT max(max)::bigint FROM watchpost.hourly('requests')")
        .fetch_one(&test.db)
        .await
        .unwrap();
    assert_eq!(n, 575);
    // And they go, too.
    housekeep(&test, clock + 400 * DAY).await;
    let old = format!("watchpost.rollup_day WHERE bucket <= {}", first / DAY + 30);
    assert_eq!(count(&test, &old).await, 0);
    test.close().await;
}
