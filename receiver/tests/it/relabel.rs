//! Relabelling of what comes in: what is stored, what is dropped, and what a reload changes.

use std::path::Path;

use axum::http::StatusCode;
use receiver::{Config, config::Rules, db::testing};

use crate::harness::{TestReceiver, now, series};

fn rules(text: &str) -> Rules {
    service::config::parse(text, Path::new("x.yml")).unwrap()
}

async fn with_rules(text: &str) -> TestReceiver {
    let database = testing::database().await;
    let config = Config { rules: rules(text), ..Config::new(database.url().to_owned()) };
    TestReceiver::with_config(database, config).await
}

const STORED: (StatusCode, String) = (StatusCode::NO_CONTENT, String::new());

#[tokio::test]
async fn series_are_relabelled_once_and_dropped_ones_are_no_failure() {
    let receiver = with_rules(
        "write_relabel_configs:
           - { source_labels: [__name__], regex: 'go_.*', action: drop }
           - { regex: 'pod', action: labeldrop }
           - { source_labels: [env], target_label: env, action: uppercase }\n",
    )
    .await;
    let start = now() - 60_000;
    for n in 0..3 {
        let ts = start + 1000 * n;
        let answer = receiver
            .write(vec![
                series(&[("__name__", "up"), ("env", "dev"), ("pod", "a")], &[(ts, 1.0)]),
                series(&[("__name__", "go_threads"), ("env", "dev")], &[(ts, 7.0), (ts + 1, 7.0)]),
                series(&[("__name__", "kept"), ("env", "dev")], &[(ts, 2.0)]),
            ])
            .await;
        assert_eq!(answer, STORED);
    }
    let up = receiver.stored("up").await;
    assert_eq!(up.len(), 3);
    assert!(up.iter().all(|(labels, ..)| labels == "{\"env\": \"DEV\"}"), "{up:?}");
    assert_eq!(receiver.stored("kept").await.len(), 3);
    assert_eq!(receiver.stored("go_threads").await, []);
    let metrics = receiver.receiver.metrics().text();
    assert!(
        metrics.contains("receiver_samples_dropped_total{cause=\"relabelling\"} 6\n"),
        "{metrics}"
    );
    assert!(metrics.contains("receiver_samples_total 6\n"), "{metrics}");
}

#[tokio::test]
async fn series_that_become_one_are_one() {
    let receiver =
        with_rules("write_relabel_configs: [{ regex: 'pod', action: labeldrop }]\n").await;
    let ts = now() - 60_000;
    let of_pod = |pod, ts, value| series(&[("__name__", "up"), ("pod", pod)], &[(ts, value)]);
    let answer = receiver.write(vec![of_pod("a", ts, 1.0), of_pod("b", ts + 1, 2.0)]).await;
    assert_eq!(answer, STORED);
    assert_eq!(receiver.stored("up").await.len(), 2);
    // At the same time they contradict each other, as in any store.
    let (status, text) = receiver.write(vec![of_pod("a", ts, 1.0), of_pod("b", ts, 2.0)]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("conflict"), "{text}");
}

#[tokio::test]
async fn what_rules_make_is_judged_as_what_senders_send() {
    let receiver = with_rules(
        "write_relabel_configs:
           - { source_labels: [bad], regex: name, target_label: __name__, replacement: '' }
           - { source_labels: [bad], regex: long, target_label: l, replacement: 'x' }\n",
    )
    .await;
    let ts = now();
    let answer = receiver
        .write(vec![
            series(&[("__name__", "up"), ("bad", "name")], &[(ts, 1.0)]),
            series(&[("__name__", "up"), ("bad", "no")], &[(ts, 1.0)]),
        ])
        .await;
    assert_eq!(answer.0, StatusCode::BAD_REQUEST);
    assert!(answer.1.starts_with("1 samples stored, 1 refused\n"), "{}", answer.1);
    assert!(answer.1.contains("no_metric_name"), "{}", answer.1);
}

#[tokio::test]
async fn other_rules_count_from_the_next_request_on() {
    let receiver = TestReceiver::open().await;
    let ts = now() - 60_000;
    let one = |ts| vec![series(&[("__name__", "up"), ("a", "1")], &[(ts, 1.0)])];
    assert_eq!(receiver.write(one(ts)).await, STORED);
    receiver
        .receiver
        .set_rules(rules("write_relabel_configs: [{ target_label: dc, replacement: eu }]\n"));
    assert_eq!(receiver.write(one(ts)).await, STORED);
    receiver.receiver.set_rules(rules("write_relabel_configs: [{ action: drop }]\n"));
    assert_eq!(receiver.write(one(ts + 1)).await, STORED);
    receiver.receiver.set_rules(Rules::default());
    assert_eq!(receiver.write(one(ts + 2)).await, STORED);
    let stored = receiver.stored("up").await;
    let times: Vec<(&str, i64)> =
        stored.iter().map(|(labels, ts, _)| (labels.as_str(), *ts)).collect();
    let (plain, eu) = ("{\"a\": \"1\"}", "{\"a\": \"1\", \"dc\": \"eu\"}");
    assert_eq!(times, [(plain, ts), (plain, ts + 2), (eu, ts)]);
}
