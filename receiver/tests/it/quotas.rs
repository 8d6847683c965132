//! Limits of series by job: what is beyond them is refused alone, and by name.

use std::path::Path;

use axum::http::StatusCode;
use receiver::{Config, config::Rules, db::testing};

use crate::harness::{TestReceiver, now, series};

fn rules(text: &str) -> Rules {
    service::config::parse(text, Path::new("x.yml")).unwrap()
}

async fn open(text: &str) -> TestReceiver {
    let database = testing::database().await;
    let config = Config { rules: rules(text), ..Config::new(database.url().to_owned()) };
    TestReceiver::with_config(database, config).await
}

/// A sample for each of these series of a job.
async fn write(
    receiver: &TestReceiver,
    job: &str,
    range: std::ops::Range<u32>,
    ts: i64,
) -> (u16, String) {
    let of = |n: u32| {
        let n = n.to_string();
        series(&[("__name__", "m"), ("job", job), ("n", &n)], &[(ts, 1.0)])
    };
    let (status, text) = receiver.write(range.map(of).collect()).await;
    (status.as_u16(), text)
}

#[tokio::test]
async fn a_job_that_explodes_harms_itself_alone() {
    let receiver =
        open("limits: { active_series: 10, jobs: { big: { active_series: 50 } } }\n").await;
    let ts = now() - 60_000;
    assert_eq!(write(&receiver, "a", 0..8, ts).await.0, 204);
    let (status, text) = write(&receiver, "a", 5..20, ts + 1).await;
    assert_eq!(status, 400);
    assert!(text.starts_with("5 samples stored, 10 refused\n10 × the job has as many active series as it may (too_many_active_series), first: "), "{text}");
    assert!(text.contains("job=\"a\""), "{text}");
    // What is active stays welcome, also when it is spelled in another way; what was refused was not made.
    assert_eq!(write(&receiver, "a", 0..10, ts + 2).await.0, 204);
    let labels = [("job", "a"), ("n", "3"), ("__name__", "m"), ("empty", "")];
    let answer = receiver.write(vec![series(&labels, &[(ts + 3, 1.0)])]).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT);
    let n_series: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.series")
        .fetch_one(&receiver.db)
        .await
        .unwrap();
    assert_eq!(n_series, 10);
    // Other jobs have limits of their own.
    assert_eq!(write(&receiver, "b", 0..10, ts).await.0, 204);
    assert_eq!(write(&receiver, "big", 0..50, ts).await.0, 204);
    assert_eq!(write(&receiver, "big", 50..51, ts).await.0, 400);
    let metrics = receiver.receiver.metrics().text();
    let counted = "receiver_samples_refused_total{reason=\"too_many_active_series\"} 11\n";
    assert!(metrics.contains(counted), "{metrics}");

    // More is allowed, from the next request on; then nothing is limited.
    receiver.receiver.set_rules(rules("limits: { active_series: 12 }\n"));
    assert_eq!(write(&receiver, "a", 0..12, ts + 4).await.0, 204);
    assert_eq!(write(&receiver, "a", 12..13, ts + 4).await.0, 400);
    receiver.receiver.set_rules(Rules::default());
    assert_eq!(write(&receiver, "a", 0..100, ts + 5).await.0, 204);
    // Limits that come later count from then on: who comes first is let in.
    receiver.receiver.set_rules(rules("limits: { active_series: 20 }\n"));
    let (status, text) = write(&receiver, "c", 0..30, ts + 6).await;
    assert!(status == 400 && text.starts_with("20 samples stored, 10 refused"), "{text}");
}

#[tokio::test]
async fn new_series_are_limited_by_the_minute() {
    let receiver = open("limits: { new_series_per_minute: 5 }\n").await;
    let ts = now() - 60_000;
    let (status, text) = write(&receiver, "a", 0..8, ts).await;
    assert_eq!(status, 400);
    assert!(text.starts_with("5 samples stored, 3 refused\n3 × the job has made as many series in this minute as it may (too_many_new_series)"), "{text}");
    // Those that are there are not new.
    assert_eq!(write(&receiver, "a", 0..5, ts + 1).await.0, 204);
    assert_eq!(write(&receiver, "b", 0..5, ts).await.0, 204);
}
