//! Live updates of what really went into PostgreSQL: the promise that a subscriber sees a sample within a second of its
//! acknowledgement, and that a snapshot knows what was committed before.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use crate::{
    harness::{TestReceiver, now, series},
    watcher::Watcher,
};

#[tokio::test]
async fn a_subscriber_sees_a_sample_within_a_second_of_its_acknowledgement() {
    let test = TestReceiver::open().await;
    let start = now() - 60_000;
    let write = |n: i64| {
        let labels = [("__name__", "node_load1"), ("instance", "a:1")];
        test.write(vec![series(&labels, &[(start + n * 1_000, n as f64)])])
    };
    for n in 0..3 {
        assert_eq!(write(n).await.0, StatusCode::NO_CONTENT);
    }
    let mut client = Watcher::open(test.receiver.hub());
    assert_eq!(client.read().await["op"], "hello");
    client.send(json!({"op": "sub", "id": 1, "match": ["node_load1"], "range": "5m"})).await;
    assert_eq!(client.read().await["op"], "ok");
    let snap = client.read().await;
    assert_eq!(snap["cols"], json!([[0.0, 1.0, 2.0]]), "{snap}");
    for n in 3..13 {
        assert_eq!(write(n).await.0, StatusCode::NO_CONTENT);
        let acknowledged = Instant::now();
        let update = client.read().await;
        assert_eq!((&update["t"], &update["v"]), (&json!(start + n * 1_000), &json!([n as f64])));
        assert!(acknowledged.elapsed() < Duration::from_secs(1), "{:?}", acknowledged.elapsed());
    }
    // A series that nobody knew before.
    let labels = [("__name__", "node_load1"), ("instance", "b:1")];
    let written = test.write(vec![series(&labels, &[(start, 7.0)])]).await;
    assert_eq!(written.0, StatusCode::NO_CONTENT);
    let acknowledged = Instant::now();
    assert_eq!(client.read().await["add"][0]["m"]["instance"], "b:1");
    assert_eq!(client.read().await["v"], json!([7.0]));
    assert!(acknowledged.elapsed() < Duration::from_secs(1), "{:?}", acknowledged.elapsed());
    drop(client);
    test.close().await;
}

/// Series of one metric and of another take turns in the order of their numbers, and not in that of their packs.
#[tokio::test]
async fn a_commit_of_many_series_reaches_each_subscriber() {
    let test = TestReceiver::open().await;
    let label = |at: usize| format!("i{at}");
    // Metrics with packs of their own, and series created in two rounds.
    let round = async |instances: std::ops::Range<usize>, ts: i64, value: f64| {
        let mut request = Vec::new();
        for at in instances {
            let instance = label(at);
            for name in ["zeta", "alpha", "mu"] {
                request.push(series(
                    &[("__name__", name), ("instance", &instance)],
                    &[(ts, value + at as f64)],
                ));
            }
        }
        assert_eq!(test.write(request).await.0, StatusCode::NO_CONTENT);
    };
    let ts = now();
    round(0..40, ts - 2000, 0.0).await;
    round(40..80, ts - 1000, 0.0).await;
    let mut client = Watcher::open(test.receiver.hub());
    client
        .send(json!({"op": "sub", "id": 1, "match": ["{instance=~\"i3|i41|i77\"}"], "range": "1m"}))
        .await;
    while client.read().await["op"] != "snap" {}
    round(0..80, ts, 1000.0).await;
    let mut told = String::new();
    while !["1003.0", "1041.0", "1077.0"].iter().all(|value| told.matches(value).count() == 3) {
        told += &client.read().await.to_string();
    }
    drop(client);
    test.close().await;
}
