//! What the receiver's own rules leave out is written as far as its sender is told: of 2.0, in counts that are exact.

use proto::remote_write::v2::{self, metadata::MetricType};

use crate::{
    metadata::{described, metadata},
    sender::{Receiving, V2, bare, now, sample},
};

/// Two samples, a histogram and an exemplar, all of different times.
fn fill(series: &mut v2::TimeSeries, ts: i64) {
    series.samples = vec![sample(ts, 1.0), sample(ts + 1, 1.0)];
    series.histograms = vec![v2::Histogram { timestamp: ts + 2, ..Default::default() }];
    let exemplar = v2::Exemplar { timestamp: ts, value: 1.0, ..Default::default() };
    series.exemplars = vec![exemplar];
}

#[tokio::test]
async fn dropped_series_count_as_written() {
    let test = Receiving::with_rules(
        "write_relabel_configs:\n  - { source_labels: [__name__], regex: 'go_.*', action: drop }\n",
    )
    .await;
    // As new label bytes, and as ones that are known to be dropped.
    for n in 1..=3 {
        let ts = now() + 10 * n;
        let mut request = V2::new();
        fill(request.series(&[("__name__", "up")]), ts);
        let described = metadata(&mut request, MetricType::Gauge, "Threads.", "");
        let series = request.series(&[("__name__", "go_threads")]);
        fill(series, ts);
        series.metadata = described;
        test.v2(&request).await.assert_written(4, 2, 2);
        assert_eq!(test.stored("up").await.len() as i64, 2 * n);
        assert_eq!(test.n_series().await, 1);
        let dropped = test.metric("receiver_samples_dropped_total{cause=\"relabelling\"}").await;
        assert_eq!(dropped.to_bits(), (3.0 * n as f64).to_bits());
    }
    assert_eq!(described(&test, "go_threads").await, None);
    assert_eq!(test.number("SELECT count(*) FROM watchpost.exemplar").await, 3);

    // Beside something that is refused it counts all the same.
    let mut request = V2::new();
    fill(request.series(&[("__name__", "go_threads")]), now());
    request.series(&[("nameless", "x")]).samples = vec![sample(now(), 1.0)];
    test.v2(&request).await.assert_refused((2, 1, 1), "1 × the series has no __name__");
}

#[tokio::test]
async fn what_another_replica_sends_counts_as_written() {
    let test = Receiving::with_rules("replicas: { timeout: 1h }\n").await;
    let start = now() - 60_000;
    for n in 0..3 {
        let ts = start + 10 * n;
        for replica in ["a", "b"] {
            let mut request = V2::new();
            let labels = [("__name__", "up"), ("__replica__", replica), ("cluster", "eu")];
            // Of `b`, other times: what is stored tells them apart.
            fill(request.series(&labels), if replica == "a" { ts } else { ts + 5 });
            test.v2(&request).await.assert_written(2, 1, 1);
        }
        let stored = test.stored("up").await;
        let expected = (0..=n).flat_map(|n| [start + 10 * n, start + 10 * n + 1]);
        assert_eq!(
            stored.iter().map(|one| one.1).collect::<Vec<_>>(),
            expected.collect::<Vec<_>>()
        );
    }
    assert_eq!(test.number("SELECT count(*) FROM watchpost.exemplar").await, 3);
    let standby = test.metric("receiver_samples_dropped_total{cause=\"replica\"}").await;
    assert_eq!(standby.to_bits(), 9.0f64.to_bits());
}

/// What a series says about its metric is said of the metric that it is stored under.
#[tokio::test]
async fn renamed_metrics_are_described_by_their_new_names() {
    let test = Receiving::with_rules(
        "write_relabel_configs:
           - { source_labels: [__name__], regex: 'old_(.*)', target_label: __name__, replacement: 'new_$1' }\n",
    )
    .await;
    let start = now();
    for (n, help) in ["Requests.", "Requests.", "Requests, all of them."].into_iter().enumerate() {
        let mut request = V2::new();
        let of_histogram = metadata(&mut request, MetricType::Histogram, help, "seconds");
        let series = request.series(&[("__name__", "old_latency_bucket"), ("le", "1")]);
        (series.samples, series.metadata) = (vec![sample(start + n as i64, 1.0)], of_histogram);
        test.v2(&request).await.assert_written(1, 0, 0);
        let (kind, text, unit) = described(&test, "new_latency").await.unwrap();
        assert_eq!((&*kind, &*text, unit.as_deref()), ("histogram", help, Some("seconds")));
        assert_eq!(described(&test, "old_latency").await, None);
    }
    assert_eq!(test.stored("new_latency_bucket").await.len(), 3);
    assert_eq!(test.stored("old_latency_bucket").await, bare(&[]));
}
