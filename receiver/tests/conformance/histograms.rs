//! Native histograms over 2.0: integer, float, custom buckets, empty ones and staleness; those that make no sense are told.

use proto::remote_write::{
    self,
    v2::{BucketSpan, Histogram, histogram},
};
use sqlx::Row;

use crate::sender::{Receiving, V2, bare, now, sample};

fn span(offset: i32, length: u32) -> BucketSpan {
    BucketSpan { offset, length }
}

fn integer(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(histogram::Count::CountInt(11)),
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(1)),
        sum: 7.5,
        schema: 3,
        zero_threshold: 0.001,
        positive_spans: vec![span(-1, 2), span(1, 1)],
        positive_deltas: vec![3, -3, 5],
        negative_spans: vec![span(0, 1)],
        negative_deltas: vec![2],
        reset_hint: 2,
        timestamp,
        ..Default::default()
    }
}

fn float(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(histogram::Count::CountFloat(1.5)),
        zero_count: Some(histogram::ZeroCount::ZeroCountFloat(0.5)),
        sum: f64::INFINITY,
        positive_spans: vec![span(0, 2)],
        positive_counts: vec![0.25, 0.75],
        timestamp,
        start_timestamp: timestamp - 1000,
        ..Default::default()
    }
}

fn custom(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(histogram::Count::CountInt(3)),
        schema: -53,
        positive_spans: vec![span(0, 2)],
        positive_deltas: vec![1, 1],
        custom_values: vec![0.5],
        timestamp,
        ..Default::default()
    }
}

/// Everything that storage has of a metric's histograms, as debug text, with times.
async fn stored(test: &Receiving, metric: &str) -> Vec<(i64, String)> {
    let reader = test.receiver.storage().reader();
    let matcher = promql::model::Matcher::equal("__name__", metric);
    let ids = reader.select(&[matcher], 10);
    let found = reader.read(&ids, i64::MIN, i64::MAX).await.unwrap();
    let of_series = found.iter().flat_map(|series| &series.histograms);
    of_series.map(|sample| (sample.ts, format!("{:?}", sample.histogram))).collect()
}

#[tokio::test]
async fn all_kinds_are_stored_bit_for_bit() {
    let mut test = Receiving::open().await;
    let ts = now() - 60_000;
    let stale =
        Histogram { sum: remote_write::stale_marker(), timestamp: ts + 4, ..Default::default() };
    let empty = Histogram { timestamp: ts + 3, ..Default::default() };
    let sent = vec![integer(ts), float(ts + 1), custom(ts + 2), empty, stale];
    let mut request = V2::new();
    request.series(&[("__name__", "all")]).histograms = sent;
    let mut before = Vec::new();
    for round in 0..3 {
        test.v2(&request).await.assert_written(0, 5, 0);
        let found = stored(&test, "all").await;
        let times: Vec<i64> = found.iter().map(|(ts, _)| *ts).collect();
        assert_eq!(times, [ts, ts + 1, ts + 2, ts + 3, ts + 4]);
        for (at, word) in [
            (0, "Integer { count: 11, zero_count: 1, buckets: [3, 0, 5, 2] }"),
            (0, "reset_hint: No"),
            (0, "zero_threshold: 0.001"),
            (1, "Float { count: 1.5, zero_count: 0.5, buckets: [0.25, 0.75] }"),
            (1, "sum: inf"),
            (1, &format!("start_ts: {}", ts - 999)),
            (2, "schema: -53"),
            (2, "custom_bounds: [0.5]"),
            (2, "buckets: [1, 2]"),
            (3, "Integer { count: 0, zero_count: 0, buckets: [] }"),
            (4, "sum: NaN"),
        ] {
            assert!(found[at].1.contains(word), "{word} in {}", found[at].1);
        }
        if round > 0 {
            assert_eq!(found, before, "round {round}");
        }
        before = found;
        if round == 1 {
            test = test.restart().await;
        }
    }
    // SQL sees them too.
    let rows = sqlx::query("SELECT count FROM watchpost.histograms('all') ORDER BY ts")
        .fetch_all(&test.db)
        .await
        .unwrap();
    let counts: Vec<f64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(counts, [11.0, 1.5, 3.0, 0.0]);
}

/// Each is 400, never 5xx, and the good ones are kept.
#[tokio::test]
async fn senseless_ones_are_told() {
    let test = Receiving::open().await;
    let ts = now();
    let bad = [
        Histogram { count: Some(histogram::Count::CountInt(12)), ..integer(ts) },
        Histogram { positive_deltas: vec![3, -4, 5], ..integer(ts) },
        Histogram { positive_deltas: vec![3], ..integer(ts) },
        // Six bytes that claim four billion buckets.
        Histogram { positive_spans: vec![span(0, u32::MAX)], ..integer(ts) },
        Histogram { positive_spans: vec![span(0, 2), span(-1, 1)], ..integer(ts) },
        Histogram { schema: -5, ..integer(ts) },
        Histogram { schema: 53, ..integer(ts) },
        Histogram { custom_values: vec![1.0, 1.0], ..custom(ts) },
        Histogram { custom_values: vec![f64::NAN], ..custom(ts) },
        Histogram { custom_values: vec![], ..custom(ts) },
        Histogram { negative_spans: vec![span(0, 1)], negative_deltas: vec![1], ..custom(ts) },
        Histogram { positive_counts: vec![-1.0, 2.5], ..float(ts) },
    ];
    for (at, bad) in bad.into_iter().enumerate() {
        let mut request = V2::new();
        request.series(&[("__name__", "some")]).histograms = vec![bad, integer(ts + 1 + at as i64)];
        test.v2(&request).await.assert_refused((0, 1, 0), "invalid_histogram");
    }
    assert_eq!(stored(&test, "some").await.len(), 12);
}

/// A violation by the sender that costs nothing to accept.
#[tokio::test]
async fn samples_and_histograms_of_one_series_are_counted_apart() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    let series = request.series(&[("__name__", "both")]);
    series.samples = vec![sample(ts, 1.0), sample(ts + 1, 2.0)];
    series.histograms = vec![integer(ts + 2)];
    test.v2(&request).await.assert_written(2, 1, 0);
    assert_eq!(test.stored("both").await, bare(&[(ts, 1.0), (ts + 1, 2.0)]));
    assert_eq!(stored(&test, "both").await.len(), 1);
}

#[tokio::test]
async fn conflicts_are_told() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    request.series(&[("__name__", "some")]).histograms = vec![integer(ts)];
    test.v2(&request).await.assert_written(0, 1, 0);
    request.request.timeseries[0].histograms = vec![custom(ts), custom(ts + 1)];
    test.v2(&request).await.assert_refused((0, 1, 0), "conflict");
    let found = stored(&test, "some").await;
    assert!(found[0].1.contains("count: 11") && found[1].1.contains("-53"), "{found:?}");
}

/// Finer than we know: merged into the finest that we do.
#[tokio::test]
async fn finer_schemas_are_reduced() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    request.series(&[("__name__", "fine")]).histograms =
        vec![Histogram { schema: 9, ..integer(ts) }];
    test.v2(&request).await.assert_written(0, 1, 0);
    let found = stored(&test, "fine").await;
    assert!(found[0].1.contains("schema: 8") && found[0].1.contains("[3, 5, 2]"), "{found:?}");
}
