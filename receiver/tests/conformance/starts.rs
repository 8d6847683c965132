//! Start timestamps: stored, readable beside every sample, and harmless where they make no sense.

use sqlx::Row;

use crate::sender::{Receiving, V2, bare, field, now, sample};

/// Milliseconds of each sample, and since when it counts.
async fn stored(test: &Receiving, metric: &str) -> Vec<(i64, Option<i64>)> {
    sqlx::query(
        "SELECT ts_ms, watchpost.start_at(series_id, ts_ms) FROM watchpost.samples_raw($1) ORDER BY ts_ms",
    )
    .bind(metric)
    .fetch_all(&test.db)
    .await
    .unwrap()
    .iter()
    .map(|row| (row.get(0), row.get(1)))
    .collect()
}

/// One sample for each time and start.
fn counting(metric: &str, samples: &[(i64, i64)]) -> V2 {
    let mut request = V2::new();
    let of = |(at, (ts, start_timestamp)): (usize, &(i64, i64))| proto::remote_write::v2::Sample {
        start_timestamp: *start_timestamp,
        ..sample(*ts, at as f64)
    };
    request.series(&[("__name__", metric)]).samples = samples.iter().enumerate().map(of).collect();
    request
}

#[tokio::test]
async fn starts_are_told_for_every_sample() {
    let mut test = Receiving::open().await;
    let ts = now() - 60_000;
    let first = ts - 500_000;
    // The counter is reset once, in the middle.
    let samples = [(ts, first), (ts + 1000, first), (ts + 2000, ts + 1500), (ts + 3000, ts + 1500)];
    let expected = samples.map(|(ts, start)| (ts, Some(start)));
    for round in 0..3 {
        test.v2(&counting("counter", &samples)).await.assert_written(4, 0, 0);
        assert_eq!(stored(&test, "counter").await, expected, "round {round}");
        // A row for each change, not for each sample.
        assert_eq!(test.number("SELECT count(*) FROM watchpost.start").await, 2);
        if round == 1 {
            test = test.restart().await;
        }
    }
    // One by one, as real senders do, of a series that is known.
    let mut later = expected.to_vec();
    for (ts, start) in [(ts + 4000, ts + 1500), (ts + 5000, ts + 4500), (ts + 6000, ts + 4500)] {
        test.v2(&counting("counter", &[(ts, start)])).await.assert_written(1, 0, 0);
        later.push((ts, Some(start)));
    }
    assert_eq!(stored(&test, "counter").await, later);
    assert_eq!(test.number("SELECT count(*) FROM watchpost.start").await, 3);
}

/// Samples that come late bring the start of their time.
#[tokio::test]
async fn late_samples_bring_their_own_start() {
    let test = Receiving::open().await;
    let ts = now() - 60_000;
    test.v2(&counting("late", &[(ts, ts - 10)])).await.assert_written(1, 0, 0);
    test.v2(&counting("late", &[(ts - 2000, ts - 9000), (ts - 1000, ts - 9000)]))
        .await
        .assert_written(2, 0, 0);
    let expected = [(ts - 2000, ts - 9000), (ts - 1000, ts - 9000), (ts, ts - 10)];
    assert_eq!(stored(&test, "late").await, expected.map(|(ts, start)| (ts, Some(start))));
}

/// Nothing said says nothing; what makes no sense is counted, and costs no sample.
#[tokio::test]
async fn senseless_starts_are_counted() {
    let test = Receiving::open().await;
    let ts = now() - 60_000;
    test.v2(&counting("silent", &[(ts, 0)])).await.assert_written(1, 0, 0);
    assert_eq!(stored(&test, "silent").await, [(ts, None)]);
    for (at, start) in [(0, ts + 1), (1, ts + 99), (2, i64::MIN), (3, i64::MAX)] {
        test.v2(&counting("senseless", &[(ts + at, start)])).await.assert_written(1, 0, 0);
    }
    assert_eq!(test.stored("senseless").await.len(), 4);
    assert_eq!(test.number("SELECT count(*) FROM watchpost.start").await, 0);
    // Backwards.
    for (at, start) in [(0, ts - 10), (1, ts - 20)] {
        test.v2(&counting("backwards", &[(ts + at, start)])).await.assert_written(1, 0, 0);
    }
    assert_eq!(stored(&test, "backwards").await, [(ts, Some(ts - 10)), (ts + 1, Some(ts - 10))]);
    let ignored = test.metric("receiver_start_timestamps_ignored_total").await;
    assert_eq!(ignored.to_bits(), 5.0f64.to_bits());
}

/// Drafts up to rc.3, which Prometheus spoke until 3.7, told the start once for the whole series.
#[tokio::test]
async fn the_older_field_of_the_series_counts_too() {
    let test = Receiving::open().await;
    let ts = now() - 60_000;
    let mut request = counting("older", &[(ts, 0), (ts + 1, 0), (ts + 2, ts - 5)]);
    let mut series = {
        use proto::remote_write::Message;
        request.request.timeseries.pop().unwrap().encode_to_vec()
    };
    series.push(0x30);
    prost::encoding::encode_varint((ts - 7) as u64, &mut series);
    let mut body = request.bytes();
    field(&mut body, 5, &series);
    test.post_v2(&body).await.assert_written(3, 0, 0);
    let expected = [(ts, ts - 7), (ts + 1, ts - 7), (ts + 2, ts - 5)];
    assert_eq!(stored(&test, "older").await, expected.map(|(ts, start)| (ts, Some(start))));
    assert_eq!(test.stored("older").await, bare(&[(ts, 0.0), (ts + 1, 1.0), (ts + 2, 2.0)]));
}
