//! Exemplars of both versions: stored with their samples, once, readable by SQL and by the query API's reader.

use axum::http::StatusCode;
use proto::remote_write::{v1, v2};
use receiver::{ingest::Limits, model::SeriesId};
use sqlx::Row;

use crate::sender::{Receiving, V2, now, sample, v1_series};

/// Series, milliseconds, bits, labels: as stored.
async fn stored(test: &Receiving, metric: &str) -> Vec<(String, i64, u64, String)> {
    sqlx::query(
        "SELECT s.labels::text, e.ts, e.value, e.labels::text
           FROM watchpost.exemplar e JOIN watchpost.series s ON s.id = e.series_id
           JOIN watchpost.metric m ON m.id = s.metric_id
          WHERE m.name = $1 ORDER BY e.ts, e.labels::text",
    )
    .bind(metric)
    .fetch_all(&test.db)
    .await
    .unwrap()
    .iter()
    .map(|row| (row.get(0), row.get(1), row.get::<f64, _>(2).to_bits(), row.get(3)))
    .collect()
}

fn exemplar(request: &mut V2, labels: &[(&str, &str)], value: f64, timestamp: i64) -> v2::Exemplar {
    v2::Exemplar { labels_refs: request.refs(labels), value, timestamp }
}

#[tokio::test]
async fn exemplars_arrive_with_all_bits_and_once() {
    let mut test = Receiving::open().await;
    let ts = now();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let mut request = V2::new();
    let exemplars = vec![
        exemplar(&mut request, &[("trace_id", "abc"), ("span_id", "1")], 0.25, ts - 1000),
        exemplar(&mut request, &[("trace_id", "ünï\n\"x\"")], f64::INFINITY, ts - 60_000),
        exemplar(&mut request, &[], stale, ts - 2),
        // Twice in one request.
        exemplar(&mut request, &[], stale, ts - 2),
        // Another one of the same time.
        exemplar(&mut request, &[("trace_id", "def")], 0.25, ts - 1000),
    ];
    let series = request.series(&[("__name__", "latency"), ("le", "0.5")]);
    series.samples = vec![sample(ts, 5.0)];
    series.exemplars = exemplars;
    let le = r#"{"le": "0.5"}"#.to_owned();
    let row =
        |at: i64, value: f64, labels: &str| (le.clone(), at, value.to_bits(), labels.to_owned());
    let expected = [
        row(ts - 60_000, f64::INFINITY, r#"{"trace_id": "ünï\n\"x\""}"#),
        row(ts - 1000, 0.25, r#"{"span_id": "1", "trace_id": "abc"}"#),
        row(ts - 1000, 0.25, r#"{"trace_id": "def"}"#),
        row(ts - 2, stale, "{}"),
    ];
    for round in 0..3 {
        test.v2(&request).await.assert_written(1, 0, 5);
        assert_eq!(stored(&test, "latency").await, expected, "round {round}");
        if round == 1 {
            test = test.restart().await;
        }
    }
    let by_function = test
        .number("SELECT count(*) FROM watchpost.exemplars('latency', '{\"le\": \"0.5\"}', now() - interval '30 s')")
        .await;
    assert_eq!(by_function, 3);
    // As the query API reads them.
    let reader = test.receiver.storage().reader();
    let matcher = promql::model::Matcher::equal("__name__", "latency");
    let ids = reader.select(&[matcher], 10);
    let found = reader.exemplars(&ids, ts - 1000, ts, 100).await.unwrap();
    assert_eq!(found.len(), 1);
    let seen: Vec<_> = found[0]
        .exemplars
        .iter()
        .map(|exemplar| (exemplar.ts, exemplar.value.to_bits(), exemplar.labels.to_string()))
        .collect();
    assert_eq!(seen.len(), 3);
    assert!(seen.contains(&(ts - 2, stale.to_bits(), "{}".to_owned())), "{seen:?}");
    assert_eq!(reader.exemplars(&ids, i64::MIN, i64::MAX, 2).await.unwrap()[0].exemplars.len(), 2);
    assert_eq!(reader.exemplars(&[SeriesId(99)], i64::MIN, i64::MAX, 9).await.unwrap(), []);
}

/// Prometheus sends an exemplar as a series of its own, which has nothing else.
#[tokio::test]
async fn exemplars_may_come_alone() {
    let test = Receiving::open().await;
    let ts = now();
    for labels in [&[("__name__", "alone")][..], &[("__name__", "alone"), ("x", "1")]] {
        let mut request = V2::new();
        let exemplars = vec![exemplar(&mut request, &[("trace_id", "abc")], 1.0, ts)];
        request.series(labels).exemplars = exemplars;
        // Of a new series, and of a known one.
        test.v2(&request).await.assert_written(0, 0, 1);
        test.v2(&request).await.assert_written(0, 0, 1);
    }
    let mut series = v1_series(&[("__name__", "alone")], &[]);
    let label = v1::Label { name: "trace_id".to_owned(), value: "v1".to_owned() };
    series.exemplars = vec![v1::Exemplar { labels: vec![label], value: 2.0, timestamp: ts + 1 }];
    let answer = test.v1(vec![series]).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, None));
    assert_eq!(stored(&test, "alone").await.len(), 3);
    assert_eq!(test.metric("receiver_exemplars_total").await.to_bits(), 5.0f64.to_bits());
}

#[tokio::test]
async fn bad_exemplars_harm_nothing_else() {
    let test = Receiving::open().await;
    let ts = now();
    let long = "x".repeat(1100);
    for (at, (labels, timestamp, reason)) in [
        (&[("trace_id", "a")][..], 0, "no timestamp"),
        (&[("trace_id", "a")], ts + 3_600_000, "too_far_in_future"),
        (&[("trace_id", "a"), ("trace_id", "b")], ts, "invalid_exemplar"),
        (&[("trace_id", "nul\0")], ts, "invalid_exemplar"),
        (&[("", "a")], ts, "invalid_exemplar"),
        (&[("trace_id", &long)], ts, "1024 bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = ts + at as i64;
        let mut request = V2::new();
        let bad = exemplar(&mut request, labels, 1.0, timestamp);
        let good = exemplar(&mut request, &[("trace_id", "good")], 1.0, at);
        let series = request.series(&[("__name__", "some")]);
        series.samples = vec![sample(at, 1.0)];
        series.exemplars = vec![bad, good];
        test.v2(&request).await.assert_refused((1, 0, 1), reason);
    }
    let mut request = V2::new();
    let nowhere = v2::Exemplar { labels_refs: vec![1, 99], value: 1.0, timestamp: ts };
    request.series(&[("__name__", "some")]).exemplars = vec![nowhere];
    test.v2(&request).await.assert_refused((0, 0, 0), "reference");
    assert_eq!(stored(&test, "some").await.len(), 6);
    assert_eq!(test.stored("some").await.len(), 6);
}

/// The exemplars of a series that is refused are refused with it, and counted.
#[tokio::test]
async fn exemplars_of_bad_series_are_counted() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    let exemplars =
        vec![exemplar(&mut request, &[], 1.0, ts), exemplar(&mut request, &[], 2.0, ts)];
    let series = request.series(&[("job", "nameless")]);
    series.samples = vec![sample(ts, 1.0)];
    series.exemplars = exemplars;
    test.v2(&request).await.assert_refused((0, 0, 0), "3 × the series has no __name__");
}

#[tokio::test]
async fn too_many_exemplars_are_too_many() {
    let limits = Limits { exemplars_per_request_max: 2, ..Limits::default() };
    let test = Receiving::with_limits(limits).await;
    let mut request = V2::new();
    let exemplars = (0..3).map(|at| exemplar(&mut request, &[], 1.0, now() + at)).collect();
    request.series(&[("__name__", "some")]).exemplars = exemplars;
    let answer = test.v2(&request).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::PAYLOAD_TOO_LARGE, Some((0, 0, 0))));
    assert_eq!(test.number("SELECT count(*) FROM watchpost.exemplar").await, 0);
}

/// They go by partitions, and where a partition is missing it is made.
#[tokio::test]
async fn exemplars_go_with_time_and_by_deletion() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    let exemplars =
        vec![exemplar(&mut request, &[], 1.0, ts), exemplar(&mut request, &[], 1.0, ts - 9)];
    request.series(&[("__name__", "gone")]).exemplars = exemplars;
    let send = async || {
        for _ in 0..5 {
            // A partition of the log that housekeeping dropped is made anew.
            if test.v2(&request).await.status == StatusCode::NO_CONTENT {
                return;
            }
        }
        panic!("not stored");
    };
    send().await;
    let deletion =
        receiver::storage::delete::Request::new(vec!["gone".to_owned()], ts - 5, ts).unwrap();
    test.receiver.storage().delete(&deletion).await.unwrap();
    let left: Vec<i64> = stored(&test, "gone").await.iter().map(|row| row.1).collect();
    assert_eq!(left, [ts - 9]);
    test.receiver.storage().housekeep(ts + 89 * 86_400_000).await.unwrap();
    assert_eq!(stored(&test, "gone").await.len(), 1);
    test.receiver.storage().housekeep(ts + 92 * 86_400_000).await.unwrap();
    assert_eq!(stored(&test, "gone").await.len(), 0);
    send().await;
    assert_eq!(stored(&test, "gone").await.len(), 2);
}
