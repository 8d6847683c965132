//! SQL for people: the report, views, hours, and everything that `docs/sql.md` shows.

use proto::remote_write::v1;
use sqlx::Row;

use crate::harness::{TestReceiver, now, series};

const HOUR: i64 = 3_600_000;

async fn execute(test: &TestReceiver, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(&test.db)
        .await
        .unwrap_or_else(|err| panic!("{sql}: {err}"));
}

/// What a query says, as JSON.
async fn ask(test: &TestReceiver, sql: &str) -> serde_json::Value {
    let sql = format!("SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]') FROM ({sql}) q");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).fetch_one(&test.db).await;
    row.unwrap_or_else(|err| panic!("{sql}: {err}")).get(0)
}

async fn write(test: &TestReceiver, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    test.write_surely(vec![series(labels, samples)]).await;
}

#[tokio::test]
async fn views_of_metrics_quote_every_name() {
    let test = TestReceiver::open().await;
    let t = now();
    let evil = "x'; DROP TABLE watchpost.series; --\"";
    for metric in ["node_load1", "Order by", "läuft \"?\"", "'; DROP SCHEMA watchpost CASCADE; --"]
    {
        let labels =
            [("__name__", metric), (evil, "a"), ("instance", "i"), ("ts", "label"), ("value", "v")];
        write(&test, &labels, &[(t - 1000, 1.5), (t - 30 * HOUR, 2.5)]).await;
        let name: String = sqlx::query_scalar("SELECT watchpost.create_view($1)")
            .bind(metric)
            .fetch_one(&test.db)
            .await
            .unwrap();
        let rows = ask(&test, &format!("SELECT * FROM {name}")).await;
        let row = &rows[0];
        assert_eq!((rows.as_array().unwrap().len(), &row["value"]), (1, &1.5.into()), "{metric}");
        assert_eq!((&row["instance"], &row[evil]), (&"i".into(), &"a".into()));
        assert_eq!((&row["label_ts"], &row["label_value"]), (&"label".into(), &"v".into()));
        let longer =
            format!("SELECT count(*) AS n FROM {name} WHERE ts > now() - interval '2 days'");
        assert_eq!(ask(&test, &longer).await[0]["n"], 1);
        let mut db = test.db.acquire().await.unwrap();
        sqlx::raw_sql("SET watchpost.view_interval = '2 days'").execute(&mut *db).await.unwrap();
        let n: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(longer)).fetch_one(&mut *db).await.unwrap();
        assert_eq!(n, 2);
        sqlx::raw_sql("RESET watchpost.view_interval").execute(&mut *db).await.unwrap();
    }
    // A view that others depend on grows by new labels.
    execute(&test, "CREATE VIEW mine AS SELECT instance, value FROM metrics.node_load1").await;
    write(&test, &[("__name__", "node_load1"), ("az", "eu")], &[(t, 7.0)]).await;
    execute(&test, "SELECT watchpost.create_view('node_load1')").await;
    let rows = ask(&test, "SELECT az, instance FROM metrics.node_load1 WHERE az = 'eu'").await;
    assert_eq!(rows, serde_json::json!([{"az": "eu", "instance": null}]));
    assert_eq!(ask(&test, "SELECT * FROM mine").await.as_array().unwrap().len(), 2);
    // Names that Postgres would cut are not mixed up.
    let long = "a".repeat(70);
    for end in ["b", "c"] {
        write(&test, &[("__name__", &format!("{long}{end}"))], &[(t, 1.0)]).await;
    }
    execute(&test, &format!("SELECT watchpost.create_view('{long}b')")).await;
    let second = sqlx::query("SELECT watchpost.create_view($1)").bind(format!("{long}c"));
    let refused = second.execute(&test.db).await.unwrap_err().to_string();
    assert!(refused.contains("is of something else"), "{refused}");
    let unknown = sqlx::query("SELECT watchpost.create_view('no such')").execute(&test.db).await;
    assert!(unknown.unwrap_err().to_string().contains("there is no metric 'no such'"));
}

#[tokio::test]
async fn the_report_adds_up() {
    let test = TestReceiver::open().await;
    let empty = &ask(&test, "SELECT * FROM watchpost.storage_report()").await[0];
    assert_eq!((&empty["samples"], &empty["bytes_per_day"]), (&0.into(), &serde_json::Value::Null));
    let t = now() - 72 * HOUR;
    for job in ["a", "b"] {
        for n in 0..10 {
            let samples: Vec<(i64, f64)> =
                (0..500).map(|i| (t + i * 15_000, (i * n) as f64)).collect();
            let name = format!("m{}", n % 2);
            let instance = format!("i{n}");
            write(&test, &[("__name__", &name), ("instance", &instance), ("job", job)], &samples)
                .await;
        }
    }
    for hours in [0, 4] {
        test.receiver.storage().housekeep(now() + hours * HOUR).await.unwrap();
    }
    write(&test, &[("__name__", "m2")], &[(now(), 1.0)]).await;
    let report = &ask(&test, "SELECT * FROM watchpost.storage_report(1000000000)").await[0];
    assert_eq!((&report["samples"], &report["series"]), (&10_001.into(), &21.into()), "{report}");
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
    let parts = ["final", "merged", "recent", "log", "catalogue", "rollup", "other"];
    let sum: f64 = parts.iter().map(|part| number(&format!("{part}_bytes"))).sum();
    assert!((sum - number("total_bytes")).abs() < 0.5, "{report}");
    assert!(number("final_bytes") > 0.0 && number("bytes_per_sample") > 0.0, "{report}");
    let left = (1e9 - number("total_bytes")) / number("bytes_per_day");
    assert!((number("days_left") - left).abs() < 1.0, "{report}");
    let get = axum::http::Request::get("/api/v1/status/storage?limit_bytes=1000000000&top=1");
    let (status, answer) = test.send(get.body(axum::body::Body::empty()).unwrap()).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status.as_u16(), &answer["data"]["samples"]), (200, &10_001.into()), "{answer}");
    assert_eq!(answer["data"]["byMetric"].as_array().unwrap().len(), 1);
    assert!((answer["data"]["daysLeft"].as_f64().unwrap() - left).abs() < 1.0);
    let metrics = ask(&test, "SELECT * FROM watchpost.storage_by_metric()").await;
    let row = |name: &str| {
        let rows = metrics.as_array().unwrap();
        rows.iter().find(|row| row["metric"] == name).unwrap_or_else(|| panic!("{metrics}")).clone()
    };
    for name in ["m0", "m1"] {
        assert_eq!(row(name)["series"], 10);
        assert!((row(name)["samples"].as_f64().unwrap() - 5000.0).abs() < 600.0, "{metrics}");
    }
    let jobs = ask(&test, "SELECT * FROM watchpost.storage_by_job(1)").await;
    assert_eq!(jobs.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn hours_follow_from_samples() {
    let test = TestReceiver::open().await;
    let t = (now() / HOUR - 5) * HOUR;
    let stale = proto::remote_write::stale_marker();
    let samples = [
        (t - 10_000, 1.0),
        (t, 3.0),
        (t + 1000, 7.0),
        // A reset, a marker, and a gap of less than an hour, and one of more.
        (t + 2000, 2.0),
        (t + 3000, stale),
        (t + HOUR + 5000, 10.0),
        (t + 4 * HOUR, 100.0),
        (t + 4 * HOUR + 1, 101.5),
    ];
    write(&test, &[("__name__", "requests"), ("instance", "a")], &samples).await;
    let sql = format!(
        "SELECT extract(epoch FROM hour)::bigint * 1000 - {t} AS at, n, sum, avg, min, max, last, increase
           FROM watchpost.hourly('requests', '{{\"instance\": \"a\"}}', to_timestamp({t} / 1000.0)) ORDER BY hour"
    );
    let rows = ask(&test, &sql).await;
    assert_eq!(
        rows,
        serde_json::json!([
            {"at": 0, "n": 3, "sum": 12, "avg": 4, "min": 2, "max": 7, "last": 2, "increase": 8},
            {"at": HOUR, "n": 1, "sum": 10, "avg": 10, "min": 10, "max": 10, "last": 10, "increase": 8},
            {"at": 4 * HOUR, "n": 2, "sum": 201.5, "avg": 100.75, "min": 100, "max": 101.5, "last": 101.5, "increase": 1.5},
        ])
    );
}

/// Every statement in `docs/sql.md` runs, in order, in one session.
#[tokio::test]
async fn the_documented_statements_run() {
    let test = TestReceiver::open().await;
    let t = now() / 1000 * 1000;
    for (metric, label, job, samples) in [
        ("node_load1", ("instance", "db-1:9100"), "node", [(t - 60_000, 0.5), (t - 1000, 1.5)]),
        ("http_requests_total", ("instance", "a"), "app", [(t - 60_000, 5.0), (t - 1000, 9.0)]),
        ("probe_success", ("customer_id", "c1"), "customers", [(t - 60_000, 0.0), (t - 1000, 1.0)]),
        ("probe_success", ("customer_id", "c2"), "customers", [(t - 60_000, 1.0), (t - 1000, 1.0)]),
    ] {
        write(&test, &[("__name__", metric), label, ("job", job)], &samples).await;
    }
    let name = "http_request_duration_seconds_bucket";
    let mut slow = series(&[("__name__", name), ("job", "api")], &[]);
    let label = v1::Label { name: "trace_id".to_owned(), value: "4bf92f35".to_owned() };
    slow.exemplars = vec![v1::Exemplar { labels: vec![label], value: 0.75, timestamp: t - 1000 }];
    test.write_surely(vec![slow]).await;
    let mut db = test.db.acquire().await.unwrap();
    let text = include_str!("../../docs/sql.md");
    // What is reported are blocks.
    test.receiver.storage().housekeep(now()).await.unwrap();
    let mut n_statements = 0;
    let mut outages = Vec::new();
    for block in text.split("```sql\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for statement in block.split(';').map(str::trim).filter(|text| !text.is_empty()) {
            n_statements += 1;
            let rows = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).fetch_all(&mut *db);
            let rows = rows.await.unwrap_or_else(|err| panic!("{statement}: {err}"));
            if statement.contains("JOIN customer") {
                outages =
                    rows.iter().map(|row| (row.get("name"), row.get("failed_probes"))).collect();
            }
            let is_filled = !rows.is_empty()
                || !statement.starts_with("SELECT")
                || statement.contains("watchpost.deletion")
                || statement.contains("watchpost.rollup");
            assert!(is_filled, "nothing comes of {statement}");
        }
    }
    assert!(n_statements > 10, "{n_statements} statements found");
    assert_eq!(outages, [("Ada".to_owned(), 1i64)]);
}
