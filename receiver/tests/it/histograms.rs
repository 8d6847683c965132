//! Native histograms by remote write, read back from every place in which they may lie: as sent, bit for bit.
//!
//! Requests are made of prost's messages; what comes back is turned into such messages again and compared.

use std::sync::Arc;

use axum::http::StatusCode;
use promql::{
    Features, Options, Outcome, Query, Times, evaluate,
    model::{
        Labels,
        histogram::{Buckets, CounterReset, Span},
    },
    source::{Source, memory::MemorySource},
};
use proto::remote_write::{
    stale_marker,
    v1::{self, BucketSpan, Histogram, histogram},
};
use receiver::{
    ingest::Limits,
    model::SeriesId,
    storage::histogram::{Counts, HistogramSample, ResetHint},
};
use sqlx::Row;

use crate::{
    harness::{TestReceiver, now, series},
    write::{count, flush_all},
};

fn span(offset: i32, length: u32) -> BucketSpan {
    BucketSpan { offset, length }
}

/// The i-th histogram of a busy service: counts grow, a bucket comes, counting starts anew.
fn latency(ts: i64, i: i64) -> Histogram {
    let (positive_spans, positive_deltas) = if i < 15 {
        (vec![span(-2, 2), span(3, 1)], vec![i, 2 * i, -i])
    } else {
        // With a bucket that is empty.
        (vec![span(-2, 3), span(2, 1), span(0, 0)], vec![i, 2 * i, -3 * i, i * i])
    };
    let mut count = 0;
    let mut total = 0;
    for delta in &positive_deltas {
        count += delta;
        total += count;
    }
    Histogram {
        count: Some(histogram::Count::CountInt((total + 3 * i + 1) as u64)),
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(1)),
        sum: i as f64 * 0.1 + 0.2,
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        positive_spans,
        positive_deltas,
        negative_spans: vec![span(4, 1)],
        negative_deltas: vec![3 * i],
        reset_hint: if i == 7 { histogram::ResetHint::Yes } else { histogram::ResetHint::No }
            as i32,
        timestamp: ts,
        ..Default::default()
    }
}

fn float(ts: i64, i: i64) -> Histogram {
    let i = i as f64;
    Histogram {
        count: Some(histogram::Count::CountFloat(i / 3.0)),
        zero_count: Some(histogram::ZeroCount::ZeroCountFloat(0.1 + 0.2)),
        // Not −0, which no sender's protobuf tells from 0.
        sum: if i == 4.0 { f64::NAN } else { -1.5 * i - 1.0 },
        schema: -4,
        zero_threshold: 0.001,
        positive_spans: vec![span(0, 2)],
        positive_counts: vec![i * 1e-3, 1e300],
        reset_hint: histogram::ResetHint::Gauge as i32,
        timestamp: ts,
        ..Default::default()
    }
}

fn custom(ts: i64, i: i64) -> Histogram {
    Histogram {
        count: Some(histogram::Count::CountInt(3 * i as u64)),
        // An integer histogram's zero count is told even if it is 0, as Prometheus does.
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(0)),
        sum: 1e9 + i as f64,
        schema: -53,
        positive_spans: vec![span(0, 1), span(1, 1)],
        positive_deltas: vec![i, i],
        custom_values: vec![0.005, 0.01, 2.5],
        timestamp: ts,
        ..Default::default()
    }
}

fn nothing(ts: i64) -> Histogram {
    Histogram {
        count: Some(histogram::Count::CountInt(0)),
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(0)),
        timestamp: ts,
        ..Default::default()
    }
}

fn stale(ts: i64) -> Histogram {
    Histogram { sum: stale_marker(), ..nothing(ts) }
}

fn with(labels: &[(&str, &str)], histograms: Vec<Histogram>) -> v1::TimeSeries {
    v1::TimeSeries { histograms, ..series(labels, &[]) }
}

/// A stored histogram as the message that it came from.
fn to_wire(sample: &HistogramSample) -> Histogram {
    let stored = &sample.histogram;
    let layout = stored.layout();
    let spans = |spans: &[Span]| spans.iter().map(|at| span(at.offset, at.length)).collect();
    let mut message = Histogram {
        sum: stored.sum,
        schema: layout.schema(),
        zero_threshold: layout.zero_threshold(),
        positive_spans: spans(layout.positive()),
        negative_spans: spans(layout.negative()),
        custom_values: layout.custom_bounds().to_vec(),
        reset_hint: match stored.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Yes => 1,
            ResetHint::No => 2,
            ResetHint::Gauge => 3,
        },
        timestamp: sample.ts,
        ..Default::default()
    };
    match stored.counts() {
        Counts::Integer { count, zero_count, buckets } => {
            message.count = Some(histogram::Count::CountInt(*count));
            message.zero_count = Some(histogram::ZeroCount::ZeroCountInt(*zero_count));
            let deltas = |counts: &[u64]| {
                let mut before = 0;
                counts
                    .iter()
                    .map(|n| *n as i64 - std::mem::replace(&mut before, *n as i64))
                    .collect()
            };
            let (positive, negative) = buckets.split_at(layout.n_positive());
            (message.positive_deltas, message.negative_deltas) =
                (deltas(positive), deltas(negative));
        }
        Counts::Float { count, zero_count, buckets } => {
            message.count = Some(histogram::Count::CountFloat(*count));
            message.zero_count = Some(histogram::ZeroCount::ZeroCountFloat(*zero_count));
            let (positive, negative) = buckets.split_at(layout.n_positive());
            (message.positive_counts, message.negative_counts) =
                (positive.to_vec(), negative.to_vec());
        }
    }
    message
}

/// What is told to be equal: text tells NaNs apart from numbers, and bits tell the rest.
fn shown(message: &Histogram) -> String {
    format!("{message:?} {:x}", message.sum.to_bits())
}

/// What our own reader says of the series of a metric: labels, floats, histograms.
async fn read(test: &TestReceiver, metric: &str) -> Vec<(String, Vec<(i64, u64)>, Vec<String>)> {
    let storage = test.receiver.storage().reader();
    let ids: Vec<SeriesId> =
        storage.select(&[promql::model::Matcher::equal("__name__", metric)], usize::MAX - 1);
    let mut found = Vec::new();
    for of in storage.read(&ids, i64::MIN, i64::MAX).await.unwrap() {
        let floats = of.samples.iter().map(|sample| (sample.ts, sample.value.to_bits())).collect();
        let histograms = of.histograms.iter().map(|sample| shown(&to_wire(sample))).collect();
        found.push((storage.labels(of.series).unwrap().to_string(), floats, histograms));
    }
    found.sort();
    found
}

#[tokio::test]
async fn as_sent_from_every_place() {
    let mut test = TestReceiver::open().await;
    let start = now() - 60_000;
    let at = |i: i64| start + i * 1000;
    let life = |i: i64| if i == 10 { stale(at(i)) } else { latency(at(i), i) };
    let mixed_floats: Vec<(i64, f64)> = (0..20).map(|i| (at(i) + 500, i as f64)).collect();
    let mixed = v1::TimeSeries {
        histograms: (0..20).map(|i| custom(at(i), i)).collect(),
        ..series(&[("__name__", "latency"), ("kind", "mixed")], &mixed_floats)
    };
    let name = |kind| [("__name__", "latency"), ("kind", kind)];
    let sent = vec![
        with(&name("integer"), (0..40).map(life).collect()),
        with(&name("float"), (0..20).map(|i| float(at(i), i)).collect()),
        with(&name("custom"), (0..20).map(|i| custom(at(i), i)).collect()),
        with(&name("empty"), vec![nothing(start), nothing(start + 5)]),
        mixed,
        series(&name("plain"), &mixed_floats),
    ];
    let mut expected: Vec<_> = sent
        .iter()
        .map(|series| {
            let kind = &series.labels[1].value;
            let floats: Vec<_> =
                series.samples.iter().map(|s| (s.timestamp, s.value.to_bits())).collect();
            let histograms: Vec<_> = series.histograms.iter().map(shown).collect();
            (format!("latency{{kind=\"{kind}\"}}"), floats, histograms)
        })
        .collect();
    expected.sort();
    // In two requests, and the second one twice.
    let halves = |first: bool| {
        let mut half = sent.clone();
        for series in &mut half {
            let (n_samples, n_histograms) = (series.samples.len() / 2, series.histograms.len() / 2);
            if first {
                series.samples.truncate(n_samples);
                series.histograms.truncate(n_histograms);
            } else {
                series.samples.drain(..n_samples);
                series.histograms.drain(..n_histograms);
            }
        }
        half
    };
    for half in [halves(true), halves(false), halves(false)] {
        assert_eq!(test.write(half).await, (StatusCode::NO_CONTENT, String::new()));
    }
    let n_sent: i64 = expected.iter().map(|(_, _, of)| of.len() as i64).sum();
    for round in
        ["head", "read back", "flushed", "flushed, restarted", "windows", "final", "closed"]
    {
        match round {
            "read back" | "flushed, restarted" => test = test.restart().await,
            "flushed" => flush_all(&test, now()).await,
            "windows" => {
                flush_all(&test, now() + 6 * 3_600_000).await;
                assert!(count(&test, "block_window").await > 0);
            }
            "final" => {
                flush_all(&test, now() + 3 * 86_400_000).await;
                assert!(count(&test, "block").await > 0);
            }
            "closed" => test = TestReceiver::on(test.close().await, Limits::default()).await,
            _ => {}
        }
        let found = read(&test, "latency").await;
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.0, &found.1), (&expected.0, &expected.1), "{round}");
            for (found, expected) in found.2.iter().zip(&expected.2) {
                assert_eq!(found, expected, "{round}");
            }
            assert_eq!(found.2.len(), expected.2.len(), "{round}, {}", found.0);
        }
        assert_eq!(found.len(), expected.len(), "{round}");
        // And SQL, without the marker.
        let n: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.histograms('latency')")
            .fetch_one(&test.db)
            .await
            .unwrap();
        assert_eq!(n, n_sent - 1, "{round}");
        let n: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.samples('latency')")
            .fetch_one(&test.db)
            .await
            .unwrap();
        assert_eq!(n, 40, "{round}");
    }
    // What was sent again after it was flushed and merged is there once.
    assert_eq!(test.write(halves(true)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(read(&test, "latency").await, expected);
}

#[tokio::test]
async fn people_see_buckets() {
    let test = TestReceiver::open().await;
    let ts = now();
    let labels = [("__name__", "request_seconds"), ("job", "api")];
    assert_eq!(
        test.write(vec![with(&labels, vec![custom(ts, 2)])]).await.0,
        StatusCode::NO_CONTENT
    );
    let row = sqlx::query(
        "SELECT labels ->> 'job', count, sum, schema, zero_count, lower, upper, counts, reset_hint, start IS NULL
           FROM watchpost.histograms('request_seconds', '{\"job\": \"api\"}', now() - interval '1 hour')",
    )
    .fetch_one(&test.db)
    .await
    .unwrap();
    assert_eq!(row.get::<String, _>(0), "api");
    assert_eq!(
        (row.get::<f64, _>(1), row.get::<f64, _>(2), row.get::<i32, _>(3)),
        (6.0, 1e9 + 2.0, -53)
    );
    assert_eq!(row.get::<f64, _>(4), 0.0);
    assert_eq!(row.get::<Vec<f64>, _>(5), [f64::NEG_INFINITY, 0.01]);
    assert_eq!(row.get::<Vec<f64>, _>(6), [0.005, 2.5]);
    assert_eq!(row.get::<Vec<f64>, _>(7), [2.0, 4.0]);
    assert_eq!((row.get::<String, _>(8), row.get::<bool, _>(9)), ("unknown".to_owned(), true));
    let none: i64 =
        sqlx::query_scalar("SELECT count(*) FROM watchpost.histograms('no such metric')")
            .fetch_one(&test.db)
            .await
            .unwrap();
    assert_eq!(none, 0);
    let n: f64 = sqlx::query_scalar(
        "SELECT sum(b.n) FROM watchpost.histograms('request_seconds') h, unnest(h.lower, h.upper, h.counts) b(lower, upper, n)
          WHERE b.upper <= 0.005",
    )
    .fetch_one(&test.db)
    .await
    .unwrap();
    assert_eq!(n, 2.0);
}

#[tokio::test]
async fn bad_ones_are_named_and_repeats_succeed() {
    let test = TestReceiver::open().await;
    let ts = now();
    let name = |kind| [("__name__", "latency"), ("kind", kind)];
    let bad_count = Histogram { count: Some(histogram::Count::CountInt(77)), ..latency(ts, 3) };
    let bad_spans = Histogram { positive_spans: vec![span(0, u32::MAX)], ..latency(ts, 3) };
    let (status, text) = test
        .write(vec![
            with(&name("good"), vec![latency(ts, 3)]),
            with(&name("bad"), vec![bad_count, latency(ts + 1, 4)]),
            with(&name("worse"), vec![bad_spans]),
            with(&name("future"), vec![latency(ts + 3_600_000, 1)]),
            with(&[("kind", "nameless")], vec![latency(ts, 1), latency(ts + 1, 1)]),
        ])
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.starts_with("2 samples stored, 5 refused\n"), "{text}");
    assert!(text.contains("2 × the native histogram makes no sense (invalid_histogram)"), "{text}");
    assert!(text.contains("but the count is 77: {__name__=\"latency\", kind=\"bad\"}"), "{text}");
    assert!(text.contains("too_far_in_future") && text.contains("no_metric_name"), "{text}");
    let found = read(&test, "latency").await;
    let kinds: Vec<&str> = found.iter().map(|(labels, _, _)| &labels[..]).collect();
    assert_eq!(kinds, ["latency{kind=\"bad\"}", "latency{kind=\"good\"}"]);

    let write = async |histogram: Histogram, floats: &[(i64, f64)]| {
        let of = v1::TimeSeries { histograms: vec![histogram], ..series(&name("good"), floats) };
        test.write(vec![of]).await
    };
    assert_eq!(write(latency(ts, 3), &[]).await.0, StatusCode::NO_CONTENT);
    let (status, text) = write(latency(ts, 4), &[]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("0 samples stored, 1 refused") && text.contains("(conflict)"), "{text}");
    // Late, before any other; and where a float is.
    assert_eq!(write(latency(ts - 5000, 1), &[(ts - 4000, 1.0)]).await.0, StatusCode::NO_CONTENT);
    assert_eq!(write(latency(ts - 4000, 1), &[]).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(write(latency(ts + 1, 1), &[(ts + 1, 1.0)]).await.0, StatusCode::BAD_REQUEST);
    // Two markers say the same.
    assert_eq!(write(stale(ts + 2), &[(ts + 2, stale_marker())]).await.0, StatusCode::NO_CONTENT);
    let good = &read(&test, "latency").await[1];
    let times: Vec<i64> = good.1.iter().map(|(ts, _)| *ts).collect();
    assert_eq!(times, [ts - 4000, ts + 1, ts + 2]);
    assert_eq!(good.2, [shown(&latency(ts - 5000, 1)), shown(&latency(ts, 3))]);
}

/// What a message means to the query language, without our own storage in between.
fn to_float(message: &Histogram) -> promql::model::Histogram {
    let buckets = |spans: &[BucketSpan], deltas: &[i64]| {
        let spans: Vec<Span> =
            spans.iter().map(|span| Span { offset: span.offset, length: span.length }).collect();
        let mut count = 0;
        let counts: Vec<f64> = deltas
            .iter()
            .map(|delta| {
                count += delta;
                count as f64
            })
            .collect();
        Buckets::from_spans(&spans, &counts).unwrap()
    };
    let integer = |count: Option<u64>| count.unwrap_or_default() as f64;
    promql::model::Histogram {
        counter_reset: match message.reset_hint() {
            histogram::ResetHint::Unknown => CounterReset::Unknown,
            histogram::ResetHint::Yes => CounterReset::Reset,
            histogram::ResetHint::No => CounterReset::NotReset,
            histogram::ResetHint::Gauge => CounterReset::Gauge,
        },
        schema: message.schema,
        zero_threshold: message.zero_threshold,
        zero_count: integer(match message.zero_count {
            Some(histogram::ZeroCount::ZeroCountInt(count)) => Some(count),
            _ => None,
        }),
        count: integer(match message.count {
            Some(histogram::Count::CountInt(count)) => Some(count),
            _ => None,
        }),
        sum: message.sum,
        positive: buckets(&message.positive_spans, &message.positive_deltas),
        negative: buckets(&message.negative_spans, &message.negative_deltas),
        custom_bounds: message.custom_values.clone().into(),
    }
}

/// The answers to queries about histograms, with every bit of their values.
fn answers(source: &dyn Source, start: i64, end: i64) -> Vec<String> {
    let queries = [
        "latency",
        "histogram_count(latency)",
        "histogram_quantile(0.9, rate(latency[10s]))",
        "histogram_fraction(0, 0.75, increase(latency{kind=\"integer\"}[7s]))",
        "sum by (kind) (histogram_sum(latency)) / histogram_avg(latency)",
        "count_over_time(latency[5s])",
    ];
    let mut told = Vec::new();
    for text in queries {
        let query = Query::new(text, Features::default()).unwrap();
        for times in [Times::Instant(end), Times::Range { start, end, step: 1500 }] {
            let answer = evaluate(&query, times, source, &Options::default(), &()).unwrap();
            let mut lines: Vec<String> = match answer.outcome {
                Outcome::Vector(elements) => {
                    elements.iter().map(|e| format!("{} {:?}", e.labels, e.value)).collect()
                }
                Outcome::Matrix(series) => series.iter().map(|of| format!("{of:?}")).collect(),
                outcome => vec![format!("{outcome:?}")],
            };
            lines.sort();
            told.extend(lines.into_iter().map(|line| format!("{text}: {line}")));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_see_them_in_head_and_blocks() {
    let test = TestReceiver::open().await;
    let start = now() - 60_000;
    let mut memory = MemorySource::default();
    let mut sent = Vec::new();
    for (kind, of) in [("integer", latency as fn(i64, i64) -> Histogram), ("custom", custom)] {
        let labels = [("__name__", "latency"), ("kind", kind)];
        let histograms: Vec<Histogram> = (0..40)
            .map(|i| (start + i * 1000, i))
            .map(|(ts, i)| if i == 10 { stale(ts) } else { of(ts, i) })
            .collect();
        let samples = memory.series(Labels::from_pairs(labels).unwrap());
        samples.histograms.extend(histograms.iter().map(|message| {
            promql::model::HistogramSample {
                ts: message.timestamp,
                value: Arc::new(to_float(message)),
                start_ts: 0,
            }
        }));
        sent.push(with(&labels, histograms));
    }
    assert_eq!(test.write(sent).await, (StatusCode::NO_CONTENT, String::new()));
    let end = start + 39_000;
    let expected = answers(&memory, start, end);
    assert!(expected.len() > 12, "{expected:#?}");
    for place in ["head", "blocks"] {
        if place == "blocks" {
            flush_all(&test, now()).await;
        }
        let reader = test.receiver.storage().reader().clone();
        let found =
            tokio::task::spawn_blocking(move || answers(&reader, start, end)).await.unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{place}");
        }
        assert_eq!(found.len(), expected.len(), "{place}");
    }
}

/// Deleting one series rewrites the block that others share with it: their histograms stay.
#[tokio::test]
async fn a_deletion_takes_what_it_names_and_nothing_else() {
    let test = TestReceiver::open().await;
    let start = now() / 86_400_000 * 86_400_000 - 86_400_000;
    let times: Vec<i64> = (0..30).map(|i| start + i * 15_000).collect();
    let floats: Vec<(i64, f64)> = times.iter().map(|ts| (*ts, 1.0)).collect();
    let histograms = || times.iter().zip(1..).map(|(ts, i)| latency(*ts, i)).collect();
    let written = test
        .write(vec![
            series(&[("__name__", "shared"), ("kind", "floats")], &floats),
            with(&[("__name__", "shared"), ("kind", "kept")], histograms()),
            with(&[("__name__", "shared"), ("kind", "taken")], histograms()),
        ])
        .await;
    assert_eq!(written, (StatusCode::NO_CONTENT, String::new()));
    let counts = async || {
        let reader = test.receiver.storage().reader();
        let ids = reader.select(&[promql::model::Matcher::equal("__name__", "shared")], 10);
        let read = reader.read(&ids, i64::MIN, i64::MAX).await.unwrap();
        let sql: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.histograms('shared')")
            .fetch_one(&test.db)
            .await
            .unwrap();
        let mut counts: Vec<usize> =
            read.iter().map(|series| series.samples.len() + series.histograms.len()).collect();
        counts.push(usize::try_from(sql).unwrap());
        counts
    };
    for days in [None, Some(0), Some(2), Some(3)] {
        if let Some(days) = days {
            flush_all(&test, now() + days * 86_400_000).await;
        }
        assert_eq!(counts().await, [30, 30, 30, 60], "after {days:?} days");
    }
    let half = start + 15 * 15_000;
    let delete = async |kind: &str, from: i64| {
        let selector = format!("shared{{kind=\"{kind}\"}}");
        let request =
            receiver::storage::delete::Request::new(vec![selector], from, i64::MAX).unwrap();
        test.receiver.storage().delete(&request).await.unwrap();
    };
    delete("taken", half).await;
    assert_eq!(counts().await, [30, 30, 15, 45], "hidden");
    delete("floats", i64::MIN).await;
    for round in 0..3 {
        flush_all(&test, now() + (4 + round) * 86_400_000).await;
        assert_eq!(counts().await, [0, 30, 15, 45], "rewritten, round {round}");
    }
    let pending = "SELECT count(*) FROM watchpost.deletion WHERE done_at IS NULL";
    let pending: i64 = sqlx::query_scalar(pending).fetch_one(&test.db).await.unwrap();
    assert_eq!(pending, 0);
}
