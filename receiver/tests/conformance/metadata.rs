//! What senders say about their metrics: per family in 1.0, per series in 2.0.

use axum::http::StatusCode;
use proto::remote_write::{
    Message,
    v1::{self, metric_metadata},
    v2::{self, metadata::MetricType},
};

use crate::sender::{Receiving, V2, now, sample};

/// Type, help and unit of a family.
pub(crate) async fn described(
    test: &Receiving,
    name: &str,
) -> Option<(String, String, Option<String>)> {
    sqlx::query_as(
        "SELECT type, help, unit FROM watchpost.metric WHERE name = $1 AND type IS NOT NULL",
    )
    .bind(name)
    .fetch_optional(&test.db)
    .await
    .unwrap()
}

pub(crate) fn metadata(
    request: &mut V2,
    kind: MetricType,
    help: &str,
    unit: &str,
) -> Option<v2::Metadata> {
    let (help_ref, unit_ref) = (request.symbol(help), request.symbol(unit));
    Some(v2::Metadata { r#type: kind as i32, help_ref, unit_ref })
}

#[tokio::test]
async fn series_describe_their_families() {
    let test = Receiving::open().await;
    let ts = now();
    for (at, (name, kind, help, unit, family, word)) in [
        (
            "http_requests_total",
            MetricType::Counter,
            "Requests.",
            "",
            "http_requests_total",
            "counter",
        ),
        ("temperature", MetricType::Gauge, "Line\n\"two\".", "celsius", "temperature", "gauge"),
        ("latency_bucket", MetricType::Histogram, "Latency.", "seconds", "latency", "histogram"),
        ("sizes_count", MetricType::Summary, "Sizes.", "bytes", "sizes", "summary"),
        ("ages_gsum", MetricType::Gaugehistogram, "Ages.", "", "ages", "gaugehistogram"),
        ("build_info", MetricType::Info, "", "", "build_info", "info"),
        ("state", MetricType::Stateset, "", "", "state", "stateset"),
        ("odd", MetricType::Unspecified, "No type.", "", "odd", "unknown"),
    ]
    .into_iter()
    .enumerate()
    {
        let ts = ts + 10 * at as i64;
        for change in 0..3 {
            // As a new series, as a known one, and with another help.
            let help = if change == 2 { format!("{help} Again.") } else { help.to_owned() };
            let mut request = V2::new();
            let metadata = metadata(&mut request, kind, &help, unit);
            let series = request.series(&[("__name__", name)]);
            (series.samples, series.metadata) = (vec![sample(ts + change, 1.0)], metadata);
            test.v2(&request).await.assert_written(1, 0, 0);
            let unit = (!unit.is_empty()).then(|| unit.to_owned());
            assert_eq!(described(&test, family).await, Some((word.to_owned(), help, unit)));
        }
    }
}

/// Usual senders of 2.0 say nothing; that takes nothing away.
#[tokio::test]
async fn nothing_said_changes_nothing() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    let known = metadata(&mut request, MetricType::Gauge, "Help.", "");
    let series = request.series(&[("__name__", "known")]);
    (series.samples, series.metadata) = (vec![sample(ts, 1.0)], known);
    test.v2(&request).await.assert_written(1, 0, 0);
    let expected = Some(("gauge".to_owned(), "Help.".to_owned(), None));
    for (at, nothing) in [None, Some(v2::Metadata::default())].into_iter().enumerate() {
        let series = &mut request.request.timeseries[0];
        (series.samples, series.metadata) = (vec![sample(ts + 1 + at as i64, 1.0)], nothing);
        test.v2(&request).await.assert_written(1, 0, 0);
        assert_eq!(described(&test, "known").await, expected);
    }
}

/// Series that contradict each other, and types that nobody knows, fail no sample.
#[tokio::test]
async fn contradictions_fail_no_sample() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new();
    for (job, kind) in [("a", MetricType::Gauge), ("b", MetricType::Counter)] {
        let metadata = metadata(&mut request, kind, job, "");
        let series = request.series(&[("__name__", "torn"), ("job", job)]);
        (series.samples, series.metadata) = (vec![sample(ts, 1.0)], metadata);
    }
    let series = request.series(&[("__name__", "odd")]);
    series.samples = vec![sample(ts, 1.0)];
    series.metadata = Some(v2::Metadata { r#type: 77, help_ref: 0, unit_ref: 0 });
    for _ in 0..2 {
        test.v2(&request).await.assert_written(3, 0, 0);
    }
    assert!(described(&test, "torn").await.is_some());
}

/// Help for reading is cut, and holds nothing that PostgreSQL cannot take.
#[tokio::test]
async fn long_and_odd_help_is_cut() {
    let test = Receiving::open().await;
    let mut request = V2::new();
    let metadata =
        metadata(&mut request, MetricType::Gauge, &format!("a\0b{}", "ä".repeat(9000)), "");
    let series = request.series(&[("__name__", "wordy")]);
    (series.samples, series.metadata) = (vec![sample(now(), 1.0)], metadata);
    test.v2(&request).await.assert_written(1, 0, 0);
    let (_, help, _) = described(&test, "wordy").await.unwrap();
    assert!(help.starts_with("abä") && help.len() <= 1024, "{} bytes", help.len());
}

/// N10: Prometheus sends metadata of 1.0 alone.
#[tokio::test]
async fn metadata_of_1_0_may_come_alone() {
    let test = Receiving::open().await;
    let metadata = v1::MetricMetadata {
        r#type: metric_metadata::MetricType::Counter as i32,
        metric_family_name: "alone_total".to_owned(),
        help: "Alone.".to_owned(),
        unit: String::new(),
    };
    let request = v1::WriteRequest { timeseries: vec![], metadata: vec![metadata] };
    let answer = test.post_v1(&request.encode_to_vec()).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, None));
    let expected = Some(("counter".to_owned(), "Alone.".to_owned(), None));
    assert_eq!(described(&test, "alone_total").await, expected);
}

/// A series with nothing but metadata is told, and what it says is kept.
#[tokio::test]
async fn metadata_of_2_0_alone_is_told_and_kept() {
    let test = Receiving::open().await;
    let mut request = V2::new();
    let metadata = metadata(&mut request, MetricType::Gauge, "Alone.", "");
    request.series(&[("__name__", "alone")]).metadata = metadata;
    test.v2(&request).await.assert_refused((0, 0, 0), "no_samples");
    let expected = Some(("gauge".to_owned(), "Alone.".to_owned(), None));
    assert_eq!(described(&test, "alone").await, expected);
    assert_eq!(test.n_series().await, 0);
}
