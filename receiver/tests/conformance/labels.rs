//! What labels may be, and what becomes of a request some of whose series have others.

use axum::http::StatusCode;
use proto::remote_write::v2;
use receiver::ingest::Limits;

use crate::sender::{Receiving, V2, bare, now, sample, v1_series};

/// The order in which labels come makes no difference, nor does an empty one, nor the version.
#[tokio::test]
async fn one_series_however_it_is_sent() {
    let test = Receiving::open().await;
    let ts = now();
    let orders: [&[(&str, &str)]; 4] = [
        &[("__name__", "same"), ("a", "1"), ("b", "2")],
        &[("b", "2"), ("__name__", "same"), ("a", "1")],
        &[("a", "1"), ("gone", ""), ("b", "2"), ("__name__", "same")],
        &[("b", "2"), ("a", "1"), ("__name__", "same")],
    ];
    for (at, labels) in orders.iter().enumerate() {
        let at = at as i64 * 2;
        test.v2(&V2::new().with(labels, &[(ts + at, 1.0)])).await.assert_written(1, 0, 0);
        let answer = test.v1(vec![v1_series(labels, &[(ts + at + 1, 1.0)])]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(test.n_series().await, 1);
    assert_eq!(test.stored("same").await.len(), 8);
}

/// The same symbols under other numbers, and the other way round.
#[tokio::test]
async fn references_mean_what_this_request_says() {
    let test = Receiving::open().await;
    let ts = now();
    let symbols = |names: [&str; 5]| names.map(str::to_owned).to_vec();
    let series = |labels_refs: Vec<u32>, value| v2::TimeSeries {
        labels_refs,
        samples: vec![sample(ts, value)],
        ..Default::default()
    };
    let mut request = V2::new();
    request.request = v2::Request {
        symbols: symbols(["", "__name__", "numbers", "a", "b"]),
        timeseries: vec![series(vec![1, 2, 3, 4], 1.0), series(vec![1, 2, 4, 3], 2.0)],
    };
    test.v2(&request).await.assert_written(2, 0, 0);
    // The same numbers, other strings: what was 1 before is 2 now.
    request.request = v2::Request {
        symbols: symbols(["", "__name__", "numbers", "b", "a"]),
        timeseries: vec![series(vec![1, 2, 3, 4], 2.0), series(vec![1, 2, 4, 3], 1.0)],
    };
    test.v2(&request).await.assert_written(2, 0, 0);
    let expected = [(r#"{"a": "b"}"#, 1.0f64), (r#"{"b": "a"}"#, 2.0)];
    let expected = expected.map(|(labels, value)| (labels.to_owned(), ts, value.to_bits()));
    assert_eq!(test.stored("numbers").await, expected);
}

/// All of UTF-8, in names as in values.
#[tokio::test]
async fn any_text_is_a_label() {
    let test = Receiving::open().await;
    let ts = now();
    for (at, text) in
        ["new\nline", "dots.and-dashes", "two words", "日本語 🦀", "\"quoted\\\"", "\u{1}"]
            .into_iter()
            .enumerate()
    {
        let labels = [("__name__", text), (text, text)];
        test.v2(&V2::new().with(&labels, &[(ts, at as f64)])).await.assert_written(1, 0, 0);
        let json = serde_json::json!({ text: text }).to_string().replacen(':', ": ", 1);
        assert_eq!(test.stored(text).await, [(json, ts, (at as f64).to_bits())]);
    }
}

/// Each bad series is named and counted, the good ones are kept; the same in both versions.
#[tokio::test]
async fn bad_series_harm_only_themselves() {
    let test = Receiving::open().await;
    let ts = now();
    let long = "x".repeat(10_000);
    let bad: [(&[(&str, &str)], &str); 9] = [
        (&[("job", "a")], "no_metric_name"),
        (&[("__name__", ""), ("job", "a")], "no_metric_name"),
        (&[], "no_metric_name"),
        (&[("__name__", "bad"), ("a", "1"), ("a", "2")], "duplicate_label"),
        (&[("__name__", "bad"), ("a", "1"), ("a", "1")], "duplicate_label"),
        (&[("__name__", "bad"), ("", "1")], "empty_label_name"),
        (&[("__name__", "bad"), ("a", "nul\0byte")], "nul_byte"),
        (&[("__name__", "bad"), ("a", &long)], "label_value_too_long"),
        (&[("__name__", "bad"), (&long, "1")], "label_name_too_long"),
    ];
    for (at, (labels, reason)) in bad.iter().enumerate() {
        let ts = ts + 2 * at as i64;
        let request = V2::new()
            .with(&[("__name__", "good")], &[(ts, 1.0)])
            .with(labels, &[(ts, 1.0), (ts + 1, 2.0)])
            .with(&[("__name__", "good"), ("after", "too")], &[(ts, 2.0)]);
        let answer = test.v2(&request).await;
        answer.assert_refused((2, 0, 0), "2 × ");
        answer.assert_refused((2, 0, 0), reason);
        let series = vec![
            v1_series(&[("__name__", "good")], &[(ts + 1, 1.0)]),
            v1_series(labels, &[(ts, 1.0)]),
        ];
        let answer = test.v1(series).await;
        assert_eq!((answer.status, answer.written()), (StatusCode::BAD_REQUEST, None));
        assert!(answer.text.starts_with("1 samples stored, 1 refused\n"), "{}", answer.text);
        assert!(answer.text.contains(reason), "{}", answer.text);
    }
    assert_eq!(test.stored("good").await.len(), 3 * bad.len());
    assert_eq!(test.stored("bad").await, []);
    let counted = test.metric("receiver_samples_refused_total{reason=\"duplicate_label\"}").await;
    assert_eq!(counted.to_bits(), 6.0f64.to_bits());
}

/// References that are odd or lead nowhere, for labels, help and unit, with and without strings: no panic, a word, and the
/// good series is kept.
#[tokio::test]
async fn references_that_lead_nowhere() {
    let test = Receiving::open().await;
    let ts = now();
    let bad = |labels_refs: Vec<u32>, metadata: Option<v2::Metadata>| v2::TimeSeries {
        labels_refs,
        metadata,
        samples: vec![sample(ts, 1.0)],
        ..Default::default()
    };
    let metadata = |help_ref, unit_ref| Some(v2::Metadata { r#type: 1, help_ref, unit_ref });
    let cases = [
        bad(vec![1], None),
        bad(vec![1, 2, 1], None),
        bad(vec![1, 99], None),
        bad(vec![u32::MAX, 2], None),
        bad(vec![1, 2], metadata(99, 0)),
        bad(vec![1, 2], metadata(0, u32::MAX)),
    ];
    for (at, case) in cases.into_iter().enumerate() {
        let ts = ts + at as i64;
        let mut request = V2::new().with(&[("__name__", "kept")], &[(ts, 1.0)]);
        request.request.timeseries.insert(0, case.clone());
        test.v2(&request).await.assert_refused((1, 0, 0), "bad_reference");
        // Without any strings.
        request.request = v2::Request { symbols: vec![], timeseries: vec![case] };
        test.v2(&request).await.assert_refused((0, 0, 0), "bad_reference");
    }
    request_without_strings(&test).await;
    assert_eq!(test.stored("kept").await.len(), 6);
    assert_eq!(test.n_series().await, 1);
}

async fn request_without_strings(test: &Receiving) {
    let mut request = V2::new();
    let series = v2::TimeSeries {
        samples: vec![sample(now(), 1.0)],
        metadata: Some(v2::Metadata::default()),
        ..Default::default()
    };
    request.request = v2::Request { symbols: vec![], timeseries: vec![series] };
    test.v2(&request).await.assert_refused((0, 0, 0), "no_metric_name");
}

/// The first string should be the empty one, but nobody depends on it.
#[tokio::test]
async fn the_first_string_may_be_any() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    request.request = v2::Request {
        symbols: vec!["__name__".to_owned(), "first".to_owned()],
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![0, 1],
            samples: vec![sample(ts, 1.0)],
            ..Default::default()
        }],
    };
    test.v2(&request).await.assert_written(1, 0, 0);
    assert_eq!(test.stored("first").await, bare(&[(ts, 1.0)]));
}

/// Strings that are no UTF-8 concern only those who refer to them.
#[tokio::test]
async fn invalid_utf8_harms_only_who_refers_to_it() {
    let test = Receiving::open().await;
    let ts = now();
    let request = V2::new()
        .with(&[("__name__", "kept")], &[(ts, 1.0)])
        .with(&[("__name__", "bad"), ("a", "????")], &[(ts, 1.0)]);
    let mut bytes = request.bytes();
    let at = bytes.windows(4).position(|four| four == b"????").unwrap();
    bytes[at] = 0xff;
    test.post_v2(&bytes).await.assert_refused((1, 0, 0), "invalid_utf8");
    assert_eq!(test.stored("kept").await, bare(&[(ts, 1.0)]));
}

#[tokio::test]
async fn too_many_labels_are_refused_by_series() {
    let limits = Limits { labels_per_series_max: 3, ..Limits::default() };
    let test = Receiving::with_limits(limits).await;
    let ts = now();
    let many: Vec<(String, String)> =
        (0..5000).map(|i| (format!("l{i}"), "v".to_owned())).collect();
    let mut labels = vec![("__name__", "many")];
    labels.extend(many.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    for n in [4, 5001] {
        let request = V2::new()
            .with(&[("__name__", "few"), ("a", "1"), ("b", "2")], &[(ts + n as i64, 1.0)])
            .with(&labels[..n], &[(ts, 1.0)]);
        test.v2(&request).await.assert_refused((1, 0, 0), "too_many_labels");
    }
    assert_eq!(test.stored("few").await.len(), 2);
}
