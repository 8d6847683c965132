//! Pairs of Prometheus servers: one is taken, the other stands by and takes over; nothing is doubled, nothing of the time
//! that a former leader collected is lost.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use receiver::{Config, Receiver, config::Rules, db::testing};

use crate::harness::{TestReceiver, now, series};

fn rules(timeout: &str) -> Rules {
    let text = format!("replicas: {{ timeout: {timeout} }}\n");
    service::config::parse(&text, Path::new("x.yml")).unwrap()
}

async fn open(timeout: &str) -> TestReceiver {
    let database = testing::database().await;
    let config = Config { rules: rules(timeout), ..Config::new(database.url().to_owned()) };
    TestReceiver::with_config(database, config).await
}

/// A sample of `up` as a replica sends it. A success, whether it is taken or not.
async fn send(receiver: &TestReceiver, replica: &str, ts: i64, value: f64) {
    let labels = [("__name__", "up"), ("__replica__", replica), ("cluster", "eu")];
    let answer = receiver.write(vec![series(&labels, &[(ts, value)])]).await;
    assert_eq!(answer, (StatusCode::NO_CONTENT, String::new()));
}

/// Times and values of all samples of `up`, which is one series without its replica.
async fn stored(receiver: &TestReceiver) -> Vec<(i64, f64)> {
    let stored = receiver.stored("up").await;
    assert!(stored.iter().all(|(labels, ..)| labels == "{\"cluster\": \"eu\"}"), "{stored:?}");
    stored.iter().map(|(_, ts, bits)| (*ts, f64::from_bits(*bits))).collect()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < Duration::from_secs(30), "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn terms(receiver: &TestReceiver) -> Vec<(i64, String, i64)> {
    sqlx::query_as(
        "SELECT term, replica, (extract(epoch FROM since) * 1000)::bigint FROM watchpost.replica_term ORDER BY term",
    )
    .fetch_all(&receiver.db)
    .await
    .unwrap()
}

#[tokio::test]
async fn one_of_two_is_taken_and_the_other_is_no_failure() {
    let receiver = open("1h").await;
    let start = now() - 60_000;
    for n in 0..5 {
        send(&receiver, "a", start + n * 1000, 1.0).await;
        send(&receiver, "b", start + n * 1000 + 300, 2.0).await;
    }
    let taken = stored(&receiver).await;
    assert_eq!(taken, (0..5).map(|n| (start + n * 1000, 1.0)).collect::<Vec<_>>());
    let metrics = receiver.receiver.metrics().text();
    assert!(metrics.contains("receiver_samples_dropped_total{cause=\"replica\"} 5\n"), "{metrics}");
    until("the leader is in the database", async || terms(&receiver).await.len() == 1).await;

    // Who has only one of the labels is no replica, and keeps what it has.
    let labels = [("__name__", "other"), ("__replica__", "b")];
    let answer = receiver.write(vec![series(&labels, &[(start, 1.0)])]).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT);
    assert_eq!(receiver.stored("other").await[0].0, "{\"__replica__\": \"b\"}");
}

#[tokio::test]
async fn replicas_are_not_told_apart_unless_that_is_wanted() {
    let receiver = TestReceiver::open().await;
    let ts = now();
    send(&receiver, "a", ts, 1.0).await;
    send(&receiver, "b", ts, 2.0).await;
    let stored = receiver.stored("up").await;
    assert_eq!(stored.len(), 2, "two series, with the label that they came with");
}

#[tokio::test]
async fn a_silent_leader_is_replaced_and_delivers_later_what_it_had() {
    let receiver = open("2s").await;
    let start = now() - 60_000;
    send(&receiver, "a", start, 1.0).await;
    until("a leads", async || terms(&receiver).await.len() == 1).await;
    // `a` is cut off, `b` goes on sending.
    until("b leads", async || {
        send(&receiver, "b", now(), 2.0).await;
        stored(&receiver).await.iter().any(|(_, value)| *value == 2.0)
    })
    .await;
    let changes = terms(&receiver).await;
    assert_eq!((changes.len(), &*changes[1].1), (2, "b"));
    let since = changes[1].2;
    assert!(stored(&receiver).await.iter().all(|(ts, value)| *value == 1.0 || *ts >= since));

    // Back again, `a` delivers what it collected: taken up to the change, not after it.
    send(&receiver, "a", since - 1000, 3.0).await;
    send(&receiver, "a", since + 1000, 4.0).await;
    // What `b` collected before it led was collected by `a`.
    send(&receiver, "b", since - 1500, 5.0).await;
    let taken = stored(&receiver).await;
    assert!(taken.contains(&(since - 1000, 3.0)), "{taken:?}");
    assert!(!taken.iter().any(|(_, value)| *value == 4.0 || *value == 5.0), "{taken:?}");

    // A reload forgets what was remembered of labels, not who leads.
    receiver.receiver.set_rules(rules("2s"));
    send(&receiver, "a", now(), 6.0).await;
    send(&receiver, "b", since + 100, 7.0).await;
    let taken = stored(&receiver).await;
    assert!(taken.contains(&(since + 100, 7.0)), "{taken:?}");
    assert!(!taken.iter().any(|(_, value)| *value == 6.0), "{taken:?}");
}

#[tokio::test]
async fn receivers_agree() {
    let first = open("1h").await;
    let ts = now() - 60_000;
    send(&first, "a", ts, 1.0).await;
    until("a leads", async || terms(&first).await.len() == 1).await;
    // One that starts knows at once, one that runs learns within seconds.
    let config = Config { rules: rules("1h"), ..Config::new(first.url().to_owned()) };
    let (second, closing) = Receiver::open(config).await.unwrap();
    let send_second = async |replica: &str, cluster: &str, ts: i64, value: f64| {
        use axum::{body::Body, http::Request};
        use proto::remote_write::{Message, v1::WriteRequest};
        use tower::ServiceExt;
        let labels = [("__name__", "up"), ("__replica__", replica), ("cluster", cluster)];
        let timeseries = vec![series(&labels, &[(ts, value)])];
        let body = WriteRequest { timeseries, ..Default::default() }.encode_to_vec();
        let request = Request::post("/api/v1/write")
            .header("Content-Type", "application/x-protobuf")
            .body(Body::from(proto::snappy::compress(&body)))
            .unwrap();
        let router = second.router(&service::Shutdown::new());
        assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::NO_CONTENT);
    };
    send_second("b", "eu", ts + 1, 2.0).await;
    send_second("a", "eu", ts + 2, 1.0).await;
    assert_eq!(stored(&first).await, [(ts, 1.0), (ts + 2, 1.0)]);

    // A cluster that is new to both, met by each with another replica: in the end one leads everywhere.
    let labels = |replica| [("__name__", "us_up"), ("__replica__", replica), ("cluster", "us")];
    first.write(vec![series(&labels("x"), &[(ts, 1.0)])]).await;
    send_second("y", "us", ts, 2.0).await;
    let leader = async || -> Option<String> {
        sqlx::query_scalar("SELECT replica FROM watchpost.replica_term WHERE cluster = 'us'")
            .fetch_optional(&first.db)
            .await
            .unwrap()
    };
    until("one of them leads", async || leader().await.is_some()).await;
    let loser = if leader().await.unwrap() == "x" { "y" } else { "x" };
    let mut at = ts + 1000;
    until("both drop the other", async || {
        at += 10;
        first.write(vec![series(&labels(loser), &[(at, 9.0)])]).await;
        let count = first.stored("us_up").await.iter().filter(|s| s.1 == at).count();
        count == 0
    })
    .await;
    drop(second);
    closing.finished().await;
}
