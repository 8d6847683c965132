//! Deletion by selector: samples lie in every table at once, a part is deleted, and SQL and our own reader must agree
//! with a plain list at every step until the deletion is done and after.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use proto::remote_write::{STALE_MARKER_BITS, v1};
use receiver::storage::delete;

use crate::harness::{Stored, TestReceiver, now, series};

const HOUR: i64 = 3_600_000;
const METRIC: &str = "gone";

/// What must be there: (job, instance, time, value).
#[derive(Default)]
struct Ledger(Vec<(&'static str, u8, i64, f64)>);

impl Ledger {
    fn delete(&mut self, job: &str, from: i64, to: i64) {
        self.0.retain(|(of, _, ts, _)| *of != job || !(from..=to).contains(ts));
    }

    async fn write(
        &mut self,
        test: &TestReceiver,
        job: &'static str,
        start: i64,
        n: i64,
        add: f64,
    ) {
        let mut sent = Vec::new();
        for instance in 0..3 {
            let name = format!("i{instance}");
            let labels = [("__name__", METRIC), ("box", &*name), ("job", job)];
            let value = |i: i64| match i {
                7 => f64::from_bits(STALE_MARKER_BITS),
                i => i as f64 * 0.5 + f64::from(instance) + add,
            };
            let samples: Vec<(i64, f64)> = (0..n).map(|i| (start + i * 1000, value(i))).collect();
            self.0.extend(samples.iter().map(|(ts, value)| (job, instance, *ts, *value)));
            sent.push(series(&labels, &samples));
        }
        test.write_surely(sent).await;
    }

    async fn check(&self, test: &TestReceiver, step: &str) {
        let mut expected: Vec<Stored> = self
            .0
            .iter()
            .map(|(job, instance, ts, value)| {
                let labels = format!("{{\"box\": \"i{instance}\", \"job\": \"{job}\"}}");
                (labels, *ts, value.to_bits())
            })
            .collect();
        expected.sort();
        for (reader, mut stored) in
            [("Rust", test.read(METRIC).await), ("SQL", test.stored(METRIC).await)]
        {
            stored.sort();
            let first = stored.iter().zip(&expected).find(|(a, b)| a != b);
            assert!(
                stored == expected,
                "{step}, {reader}: {} samples, {} expected, first difference {first:?}",
                stored.len(),
                expected.len()
            );
        }
    }
}

fn request(selector: &str, from: i64, to: i64) -> delete::Request {
    delete::Request::new(vec![selector.to_owned()], from, to).unwrap()
}

async fn housekeep(test: &TestReceiver, now: i64) {
    test.receiver.storage().housekeep(now).await.unwrap();
}

async fn pending(test: &TestReceiver) -> i64 {
    let sql = "SELECT count(*) FROM watchpost.deletion WHERE done_at IS NULL";
    sqlx::query_scalar(sql).fetch_one(&test.db).await.unwrap()
}

#[tokio::test]
async fn what_is_deleted_is_gone_at_once_from_every_table_and_for_good() {
    let mut test = TestReceiver::open().await;
    let mut ledger = Ledger::default();
    // Noon of a day that is long over: which day is final does not depend on when this runs.
    let t = (now() / (24 * HOUR) - 10) * 24 * HOUR + 12 * HOUR;
    let starts = [t - 72 * HOUR, t + 2 * HOUR, t + 6 * HOUR, t + 9 * HOUR];
    let mut clock = t;
    for (phase, start) in starts.into_iter().enumerate() {
        for job in ["debug", "app"] {
            ledger.write(&test, job, start, 1000, 0.0).await;
        }
        // The first becomes final, the second merged, the third flushed, the last stays in batches.
        let steps: &[i64] = [&[0, 4][..], &[0, 4], &[0], &[]][phase];
        for step in steps {
            clock += step * HOUR;
            housekeep(&test, clock).await;
        }
    }
    for table in ["block", "block_window", "block_recent", "batch"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM watchpost.{table}"));
        let n: i64 = sqlx::query_scalar(sql).fetch_one(&test.db).await.unwrap();
        assert!(n > 0, "nothing in {table}");
    }
    ledger.check(&test, "written").await;

    // The middle of each stretch, then all of one; each previewed first.
    for (step, start) in starts.into_iter().enumerate() {
        let (from, to) = (start + 100_000, start + 899_000);
        let request = request("{job=~\"debu.\", __name__=\"gone\"}", from, to);
        let preview = test.receiver.storage().preview_deletion(&request).await.unwrap();
        assert_eq!((preview.series, preview.samples, preview.is_exact), (3, 2400, true));
        assert!(preview.bytes > 0);
        assert_eq!(test.receiver.storage().delete(&request).await.unwrap(), 3);
        ledger.delete("debug", from, to);
        ledger.check(&test, &format!("deletion {step}")).await;
        let again = test.receiver.storage().preview_deletion(&request).await.unwrap();
        assert_eq!((again.series, again.samples), (3, 0));
    }
    assert_eq!(pending(&test).await, 4);
    // What is sent again is new, whether its value is the same or another.
    for (nth, start) in starts.into_iter().enumerate() {
        let again = start + 300_000;
        for instance in 0..3u8 {
            let name = format!("i{instance}");
            let labels = [("__name__", METRIC), ("box", &*name), ("job", "debug")];
            let value = 300.0 * 0.5 + f64::from(instance) + (nth % 2) as f64;
            ledger.0.push(("debug", instance, again, value));
            test.write_surely(vec![series(&labels, &[(again, value)])]).await;
        }
    }
    ledger.check(&test, "sent again").await;
    test = test.restart().await;
    ledger.check(&test, "restarted").await;
    for hours in [0, 0, 6, 6, 60, 6, 60] {
        clock += hours * HOUR;
        // Those who died leave their lease for a while.
        sqlx::raw_sql(
            "UPDATE watchpost.writer SET lease_until = now() - interval '1 s';
             UPDATE watchpost.lease SET lease_until = now() - interval '1 s'",
        )
        .execute(&test.db)
        .await
        .unwrap();
        housekeep(&test, clock).await;
        ledger.check(&test, &format!("{hours} hours later")).await;
    }
    assert_eq!(pending(&test).await, 0);
    // Nothing hangs on the record of the deletions.
    sqlx::raw_sql("DELETE FROM watchpost.deletion").execute(&test.db).await.unwrap();
    test = test.restart().await;
    ledger.check(&test, "deletions forgotten").await;
    test.close().await;
}

#[tokio::test]
async fn a_receiver_that_did_not_hear_of_a_deletion_does_not_bring_it_back() {
    let test = TestReceiver::open().await;
    let mut ledger = Ledger::default();
    let start = now() - HOUR;
    ledger.write(&test, "debug", start, 100, 0.0).await;
    ledger.write(&test, "app", start, 100, 0.0).await;
    // Somebody else deletes: as the command line does, without a receiver.
    let db = sqlx::PgPool::connect_with((*test.db.connect_options()).clone()).await.unwrap();
    let catalogue = receiver::storage::catalogue::Catalogue::load(db.clone()).await.unwrap();
    let request = request("gone{job=\"debug\"}", i64::MIN, i64::MAX);
    let (id, n_series) = delete::create(&db, &catalogue, &request).await.unwrap();
    assert_eq!((id, n_series), (Some(1), 3));
    ledger.delete("debug", i64::MIN, i64::MAX);
    // This flush finds out before it commits.
    housekeep(&test, now()).await;
    ledger.check(&test, "flushed").await;
    housekeep(&test, now() + 6 * HOUR).await;
    ledger.check(&test, "merged").await;
    assert_eq!(pending(&test).await, 0);
    test.close().await;
}

#[tokio::test]
async fn deletions_while_everything_moves() {
    let test = TestReceiver::open().await;
    let mut ledger = Ledger::default();
    let start = now() - 100 * HOUR;
    let mut clock = now();
    for round in 0..12 {
        let job = if round % 2 == 0 { "debug" } else { "app" };
        let at = start + i64::from(round) * 200_000;
        ledger.write(&test, job, at, 300, f64::from(round) * 1000.0).await;
        // Half of each stretch meets the next one of the same job: of two values, the first stands.
        let mut seen = std::collections::HashSet::new();
        ledger.0.retain(|(job, instance, ts, _)| seen.insert((*job, *instance, *ts)));
        clock += [0, 5, 30][round as usize % 3] * HOUR;
        let (from, to) = (at - 100_000, at + 40_000);
        let request = request(&format!("gone{{job=\"{job}\"}}"), from, to);
        let storage = test.receiver.storage();
        let (kept, deleted) = tokio::join!(storage.housekeep(clock), storage.delete(&request));
        kept.unwrap();
        assert_eq!(deleted.unwrap(), 3);
        ledger.delete(job, from, to);
        ledger.check(&test, &format!("round {round}")).await;
    }
    for hours in [5, 5, 100] {
        clock += hours * HOUR;
        housekeep(&test, clock).await;
        ledger.check(&test, "at rest").await;
    }
    assert_eq!(pending(&test).await, 0);
    test.close().await;
}

#[tokio::test]
async fn prometheus_way_of_asking() {
    let test = TestReceiver::open().await;
    let mut ledger = Ledger::default();
    let start = (now() - HOUR) / 1000 * 1000;
    ledger.write(&test, "debug", start, 100, 0.0).await;
    ledger.write(&test, "app", start, 100, 0.0).await;
    let ask = async |method: &str, query: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/admin/tsdb/delete_series?{query}"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::from(body.to_owned()))
            .unwrap();
        test.send(request).await
    };
    let (from, to) = (start / 1000 + 10, start / 1000 + 19);
    let range = format!("match[]=gone%7Bjob%3D%22debug%22%7D&start={from}&end={to}");
    let (status, answer) = ask("POST", &format!("{range}&dry_run=true"), "").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &"success".into()));
    assert_eq!((&answer["data"]["series"], &answer["data"]["samples"]), (&3.into(), &30.into()));
    ledger.check(&test, "after the dry run").await;
    assert_eq!(ask("PUT", &range, "").await, (StatusCode::NO_CONTENT, String::new()));
    ledger.delete("debug", from * 1000, to * 1000);
    ledger.check(&test, "after PUT").await;
    // As a form, with several selectors, one of which selects nothing, and for all time.
    let form = "match[]=gone%7Bjob%3D%22app%22%7D&match[]=nothing";
    assert_eq!(ask("POST", "", form).await.0, StatusCode::NO_CONTENT);
    ledger.delete("app", i64::MIN, i64::MAX);
    ledger.check(&test, "after POST").await;
    for wrong in
        ["", "match[]=up%7B", "match[]=%7B%7D", "match[]=up&start=noon", "match[]=up&start=5&end=4"]
    {
        let (status, answer) = ask("POST", wrong, "").await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &answer["errorType"]), (StatusCode::BAD_REQUEST, &"bad_data".into()));
    }
    let disabled = receiver::Config::new(test.url().to_owned());
    assert!(!disabled.admin_api);
    test.close().await;
}

#[tokio::test]
async fn series_are_kept_as_long_as_the_first_rule_says() {
    let database = receiver::db::testing::database().await;
    let mut config = receiver::Config::new(database.url().to_owned());
    config.storage.retention.all = Some(std::time::Duration::from_secs(10 * 86_400));
    config.storage.retention.rules =
        ["gone{box=\"i1\"}=30d", "{job=\"debug\"}=2d", "{job=\"app\",box=\"i2\"}=3d"]
            .map(|rule| rule.parse().unwrap())
            .to_vec();
    let test = TestReceiver::with_config(database, config).await;
    let mut ledger = Ledger::default();
    let day = 24 * HOUR;
    let today = now() / day;
    let ages = [28, 20, 8, 3, 1];
    for age in ages {
        for job in ["debug", "app"] {
            ledger.write(&test, job, (today - age) * day + HOUR, 100, 0.0).await;
        }
    }
    for name in ["i0", "i1"] {
        let mut series = series(&[("__name__", METRIC), ("box", name), ("job", "debug")], &[]);
        let timestamp = (today - 8) * day + HOUR;
        series.exemplars = vec![v1::Exemplar { timestamp, value: 1.0, labels: Vec::new() }];
        test.write_surely(vec![series]).await;
    }
    let exemplars = async || -> Vec<String> {
        let query = "SELECT s.labels->>'box' FROM watchpost.exemplar e JOIN watchpost.series s ON s.id = e.series_id ORDER BY 1";
        sqlx::query_scalar(query).fetch_all(&test.db).await.unwrap()
    };
    assert_eq!(exemplars().await, ["i0", "i1"]);
    let mut check = async |clock: i64, step: &str| {
        for hours in [0, 4] {
            housekeep(&test, clock + hours * HOUR).await;
        }
        let today = (clock + 4 * HOUR) / day;
        ledger.0.retain(|(job, number, ts, _)| {
            let age = today - ts / day;
            let keep = match (*job, *number) {
                (_, 1) => 30,
                ("debug", _) => 2,
                (_, 2) => 3,
                _ => 10,
            };
            age <= keep
        });
        ledger.check(&test, step).await;
    };
    let noon = today * day + 12 * HOUR;
    check(noon, "today").await;
    assert_eq!(exemplars().await, ["i1"], "exemplars go with their samples");
    check(noon + day, "tomorrow").await;
    // Late samples into a day that was thinned.
    for job in ["debug", "app"] {
        let name = [("__name__", METRIC), ("box", "i0"), ("job", job)];
        test.write_surely(vec![series(&name, &[((today - 8) * day + 5 * HOUR, 1.0)])]).await;
    }
    for days in [2, 3, 8, 20] {
        let clock = noon + days * day;
        for hours in [0, 4] {
            housekeep(&test, clock + hours * HOUR).await;
        }
    }
    assert_eq!(test.stored(METRIC).await.len(), test.read(METRIC).await.len());
    let left = test.stored(METRIC).await;
    let oldest = today + 20 - 30;
    assert!(
        left.iter().all(|(labels, ts, _)| labels.contains("i1") && ts / day >= oldest),
        "{left:?}"
    );
    assert!(!left.is_empty());
    test.close().await;
}
