//! What senders are told about how much was written: exactly, on 2.0 only, and never twice.

use axum::http::StatusCode;
use proto::remote_write::v2;

use crate::sender::{Receiving, V2, now, sample, v1_series};

/// On success and on failure alike; the middle of a request is what was stored of it.
#[tokio::test]
async fn counts_are_exact() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    let histogram = |timestamp| v2::Histogram { timestamp, ..Default::default() };
    let exemplar = |timestamp| v2::Exemplar { timestamp, value: 1.0, ..Default::default() };
    let series = request.series(&[("__name__", "a")]);
    series.samples = vec![sample(ts, 1.0), sample(ts + 1, 1.0), sample(i64::MAX, 1.0)];
    series.exemplars = vec![exemplar(ts), exemplar(0)];
    request.series(&[("__name__", "b")]).histograms = vec![histogram(ts), histogram(i64::MAX)];
    let series = request.series(&[("nameless", "c")]);
    series.histograms = vec![histogram(ts); 4];
    let answer = test.v2(&request).await;
    answer.assert_refused((2, 1, 1), "3 samples and 1 exemplars stored, 7 refused");
    answer.assert_refused((2, 1, 1), "4 × the series has no __name__");
    // Again: what is there already counts as written, as the sender never learned of it.
    test.v2(&request).await.assert_refused((2, 1, 1), "3 samples and 1 exemplars stored");
}

/// 1.0 has no such headers, and senders that find them misread them.
#[tokio::test]
async fn no_counts_on_1_0() {
    let test = Receiving::open().await;
    let good = v1_series(&[("__name__", "a")], &[(now(), 1.0)]);
    let bad = v1_series(&[], &[(now(), 1.0)]);
    for (series, status) in
        [(vec![good.clone()], StatusCode::NO_CONTENT), (vec![good, bad], StatusCode::BAD_REQUEST)]
    {
        let answer = test.v1(series).await;
        assert_eq!(answer.status, status);
        let headers = format!("{:?}", answer.headers);
        assert!(!headers.contains("written"), "{headers}");
    }
}

/// Every reason has its words, its count and its first series in the first KiB.
#[tokio::test]
async fn refusals_are_told_within_a_kibibyte() {
    let test = Receiving::open().await;
    let ts = now();
    let long = "x".repeat(900);
    let mut request = V2::new();
    for at in 0..50i64 {
        let a = at.to_string();
        request.series(&[("__name__", &long), ("a", &a)]).samples = vec![sample(i64::MAX, 1.0)];
        request.series(&[("job", &long), ("a", &a)]).samples = vec![sample(ts, 1.0)];
        request.series(&[("__name__", "x"), ("a", "nul\0")]).samples = vec![sample(ts, 1.0)];
        request.series(&[("__name__", "x"), ("a", &a), ("a", &a)]).samples = vec![sample(ts, 1.0)];
        request.series(&[("__name__", "x"), ("a", &a)]).samples = vec![sample(i64::MIN, 1.0)];
        request.series(&[("__name__", "x"), ("b", &a)]);
    }
    let answer = test.v2(&request).await;
    for reason in [
        "too_far_in_future",
        "no_metric_name",
        "nul_byte",
        "duplicate_label",
        "time_out_of_range",
        "no_samples",
    ] {
        answer.assert_refused((0, 0, 0), reason);
    }
    assert_eq!(answer.text.matches("50 × ").count(), 6, "{}", answer.text);
    assert_eq!(answer.text.matches("first: ").count(), 6, "{}", answer.text);
}
