//! Which samples are stored, and that all of their bits are.

use axum::http::StatusCode;
use proto::remote_write::{self, v2};

use crate::sender::{Receiving, V2, bare, field, now, sample, v1_series};

/// Every odd float, alone and among others, through 2.0, read from the log and from blocks.
#[tokio::test]
async fn all_bits_of_every_float() {
    let mut test = Receiving::open().await;
    let ts = now() - 60_000;
    let odd: Vec<f64> = [
        0.0f64.to_bits(),
        (-0.0f64).to_bits(),
        remote_write::STALE_MARKER_BITS,
        0x7ff8_0000_0000_0001,
        0xfff8_dead_beef_0001,
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        1,
        f64::MAX.to_bits(),
        (0.1f64 + 0.2).to_bits(),
        9_007_199_254_740_993.0f64.to_bits(),
    ]
    .map(f64::from_bits)
    .to_vec();
    let together: Vec<(i64, f64)> =
        odd.iter().enumerate().map(|(at, value)| (ts + at as i64, *value)).collect();
    let mut request = V2::new().with(&[("__name__", "together")], &together);
    for (at, value) in odd.iter().enumerate() {
        let at = at.to_string();
        request = request.with(&[("__name__", "alone"), ("at", &at)], &[(ts, *value)]);
    }
    test.v2(&request).await.assert_written(2 * odd.len() as u64, 0, 0);
    for round in ["in the log", "in blocks"] {
        assert_eq!(test.stored("together").await, bare(&together), "{round}");
        let mut alone: Vec<u64> = test.stored("alone").await.iter().map(|row| row.2).collect();
        let mut sent: Vec<u64> = odd.iter().map(|value| value.to_bits()).collect();
        alone.sort_unstable();
        sent.sort_unstable();
        assert_eq!(alone, sent, "{round}");
        if round == "in the log" {
            test = test.restart().await;
        }
    }
}

/// The same body again is a success that changes nothing, in either version, before and after a restart.
#[tokio::test]
async fn repeats_succeed_and_change_nothing() {
    let mut test = Receiving::open().await;
    let ts = now();
    let samples = [(ts - 1000, 1.0), (ts, remote_write::stale_marker())];
    let request = V2::new()
        .with(&[("__name__", "again")], &samples)
        // And within one request.
        .with(&[("__name__", "again")], &samples);
    for round in 0..3 {
        test.v2(&request).await.assert_written(4, 0, 0);
        let answer = test.v1(vec![v1_series(&[("__name__", "again")], &samples)]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(test.stored("again").await, bare(&samples), "round {round}");
        if round == 1 {
            test = test.restart().await;
        }
    }
}

/// Another value for a time that is taken: what is stored stays, the rest is stored, the sender is told.
#[tokio::test]
async fn conflicts_are_told() {
    let test = Receiving::open().await;
    let ts = now();
    let labels = [("__name__", "taken"), ("a", "1")];
    test.v2(&V2::new().with(&labels, &[(ts, 1.0)])).await.assert_written(1, 0, 0);
    let answer = test.v2(&V2::new().with(&labels, &[(ts, 2.0), (ts + 1, 3.0)])).await;
    answer.assert_refused((1, 0, 0), "duplicate sample for timestamp");
    answer.assert_refused((1, 0, 0), &format!("taken{{a=\"1\"}} at {ts}"));
    // Bits count: a staleness marker is not any NaN.
    let nan = V2::new().with(&labels, &[(ts, f64::NAN)]);
    test.v2(&nan).await.assert_refused((0, 0, 0), "conflict");
    let stored: Vec<u64> = test.stored("taken").await.iter().map(|row| row.2).collect();
    assert_eq!(stored, [1.0f64.to_bits(), 3.0f64.to_bits()]);
}

/// Any order, within a series, a request and over time.
#[tokio::test]
async fn order_makes_no_difference() {
    let test = Receiving::open().await;
    let ts = now();
    let late = ts - 30 * 86_400_000;
    let labels = [("__name__", "unordered")];
    let request = V2::new().with(&labels, &[(ts, 3.0), (ts - 5, 1.0), (ts - 2, 2.0)]);
    test.v2(&request).await.assert_written(3, 0, 0);
    test.v2(&V2::new().with(&labels, &[(late, 0.5), (ts - 1, 2.5)])).await.assert_written(2, 0, 0);
    let expected = [(late, 0.5), (ts - 5, 1.0), (ts - 2, 2.0), (ts - 1, 2.5), (ts, 3.0)];
    assert_eq!(test.stored("unordered").await, bare(&expected));
}

/// Times that no clock shows, in both versions: refused one by one.
#[tokio::test]
async fn impossible_times_are_refused() {
    let test = Receiving::open().await;
    let ts = now();
    let hour = 3_600_000;
    for (time, reason) in [
        (ts + hour, "too_far_in_future"),
        (i64::MAX, "too_far_in_future"),
        (i64::MIN, "time_out_of_range"),
        (-62_135_596_800_001, "time_out_of_range"),
    ] {
        let request = V2::new().with(&[("__name__", "times")], &[(time, 1.0), (ts, 1.0)]);
        test.v2(&request).await.assert_refused((1, 0, 0), reason);
    }
    // Clocks differ, and the epoch is a time.
    let request = V2::new().with(&[("__name__", "times")], &[(0, 1.0), (ts + 9 * 60_000, 1.0)]);
    test.v2(&request).await.assert_written(2, 0, 0);
    assert_eq!(test.stored("times").await.len(), 3);
}

/// N9: fields of the future are stepped over, and both encodings of repeated numbers are read.
#[tokio::test]
async fn unknown_fields_and_unpacked_references() {
    let test = Receiving::open().await;
    let ts = now();
    let mut content = vec![0x09];
    content.extend_from_slice(&1.5f64.to_bits().to_le_bytes());
    content.push(0x10);
    prost::encoding::encode_varint(ts as u64, &mut content);
    // Of the sample: a field 9 that nobody knows.
    content.extend_from_slice(&[0x4a, 1, b'?']);
    let mut series = vec![0x08, 1, 0x08, 2];
    field(&mut series, 2, &content);
    field(&mut series, 15, b"from the future");
    let mut body = Vec::new();
    // The series before the strings, which is no usual order either.
    field(&mut body, 5, &series);
    for symbol in ["", "__name__", "odd_fields"] {
        field(&mut body, 4, symbol.as_bytes());
    }
    field(&mut body, 9, b"?");
    test.post_v2(&body).await.assert_written(1, 0, 0);
    assert_eq!(test.stored("odd_fields").await, bare(&[(ts, 1.5)]));
}

/// A series that brings nothing is told; whatever else is in the request is stored.
#[tokio::test]
async fn series_without_samples_are_told() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new().with(&[("__name__", "full")], &[(ts, 1.0)]);
    request.series(&[("__name__", "empty")]);
    test.v2(&request).await.assert_refused((1, 0, 0), "no_samples");
    assert_eq!(test.stored("full").await, bare(&[(ts, 1.0)]));
}

/// One label set in several series of a request, as the specification allows.
#[tokio::test]
async fn a_series_may_come_in_pieces() {
    let test = Receiving::open().await;
    let ts = now();
    let labels = [("__name__", "pieces")];
    let request = V2::new()
        .with(&labels, &[(ts, 1.0)])
        .with(&labels, &[(ts + 2, 3.0)])
        .with(&labels, &[(ts + 1, 2.0)]);
    test.v2(&request).await.assert_written(3, 0, 0);
    assert_eq!(test.stored("pieces").await, bare(&[(ts, 1.0), (ts + 1, 2.0), (ts + 2, 3.0)]));
    assert_eq!(test.n_series().await, 1);
}

/// Many of everything, by many senders at once.
#[tokio::test]
async fn many_senders_at_once() {
    let test = Receiving::open().await;
    let ts = now();
    let senders = (0..8i64).map(|sender| {
        let test = &test;
        async move {
            for round in 0..5 {
                let mut request = V2::new();
                for series in 0..100 {
                    let series = series.to_string();
                    let samples = vec![sample(ts + sender * 10 + round, sender as f64)];
                    request.series(&[("__name__", "many"), ("i", &series)]).samples = samples;
                }
                test.v2(&request).await.assert_written(100, 0, 0);
            }
        }
    });
    futures_util::future::join_all(senders).await;
    assert_eq!(test.stored("many").await.len(), 8 * 5 * 100);
    assert_eq!(test.n_series().await, 100);
}

/// What a 2.0 sample is in full, so that a new field is not overlooked.
#[test]
fn samples_have_three_fields() {
    let v2::Sample { value: _, timestamp: _, start_timestamp: _ } = v2::Sample::default();
}

/// What retention would drop at once is not acknowledged.
#[tokio::test]
async fn samples_older_than_what_is_kept_are_told() {
    let test = Receiving::keeping_days(7).await;
    let ts = now();
    let day = 86_400_000;
    let request =
        V2::new().with(&[("__name__", "old")], &[(ts - 9 * day, 1.0), (ts - 6 * day, 2.0)]);
    test.v2(&request).await.assert_refused((1, 0, 0), "too_old");
    assert_eq!(test.stored("old").await, bare(&[(ts - 6 * day, 2.0)]));
}
