//! Native histograms as plain SQL reads them: batches and blocks with any histograms are decoded by the functions of the
//! schema and compared with what went in.

use std::sync::Arc;

use promql::model::histogram::Histogram;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use receiver::{
    model::{PackId, Sample, SeriesId},
    storage::{
        batch::{self, HistogramRow, Row},
        block,
        histogram::{Counts, HistogramSample, NativeHistogram, ResetHint, testing},
    },
};
use sqlx::{FromRow, PgPool};

use crate::harness::TestReceiver;

/// A histogram as SQL tells it.
#[derive(Clone, Debug, FromRow)]
struct Told {
    series_id: i64,
    ts: i64,
    start_ts: Option<i64>,
    reset_hint: i32,
    schema: i32,
    zero_threshold: f64,
    count: f64,
    sum: f64,
    sum_bits: Option<i64>,
    zero_count: f64,
    lower: Vec<f64>,
    upper: Vec<f64>,
    counts: Vec<f64>,
}

fn check(told: &Told, series: SeriesId, sample: &HistogramSample) {
    let stored = &sample.histogram;
    assert_eq!((told.series_id, told.ts), (series.0, sample.ts));
    assert_eq!(told.start_ts.unwrap_or(0), stored.start_ts);
    let hints = [ResetHint::Unknown, ResetHint::Yes, ResetHint::No, ResetHint::Gauge];
    assert_eq!(hints[told.reset_hint as usize], stored.reset_hint);
    let sum_bits = told.sum_bits.map_or(told.sum.to_bits(), |bits| bits as u64);
    assert_eq!(sum_bits, stored.sum.to_bits());
    let float = stored.to_float();
    assert_eq!(told.schema, float.schema);
    let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
    assert!(same(told.zero_threshold, float.zero_threshold));
    assert!(same(told.count, float.count), "{} {}", told.count, float.count);
    assert!(same(told.zero_count, float.zero_count));
    check_buckets(told, &float, stored);
}

/// SQL tells empty buckets, the query language does not.
fn check_buckets(told: &Told, float: &Histogram, stored: &NativeHistogram) {
    let n_zero = usize::from(!float.is_custom());
    let n_buckets = stored.layout().n_buckets() + n_zero;
    assert_eq!(
        (told.lower.len(), told.upper.len(), told.counts.len()),
        (n_buckets, n_buckets, n_buckets)
    );
    let close =
        |a: f64, b: f64| a == b || (a - b).abs() <= a.abs() * 1e-14 || a.is_nan() && b.is_nan();
    let populated = told.counts.iter().enumerate().filter(|(_, count)| **count != 0.0);
    let expected: Vec<_> = float.buckets().collect();
    assert_eq!(populated.clone().count(), expected.len(), "{told:?}\n{float:?}");
    for ((at, count), bucket) in populated.zip(expected) {
        assert!(close(told.lower[at], bucket.lower), "{} {}", told.lower[at], bucket.lower);
        assert!(close(told.upper[at], bucket.upper), "{} {}", told.upper[at], bucket.upper);
        assert!(close(*count, bucket.count), "{count} {}", bucket.count);
    }
}

/// Schemas and counts that ingestion takes; SQL's arithmetic does not wrap.
fn sensible(histogram: &NativeHistogram) -> bool {
    let is_small = match histogram.counts() {
        Counts::Integer { count, zero_count, buckets } => {
            buckets.iter().chain([count, zero_count]).all(|count| i64::try_from(*count).is_ok())
        }
        Counts::Float { .. } => true,
    };
    let schema = histogram.layout().schema();
    is_small && histogram.start_ts.abs() < 1 << 53 && (-4..=8).contains(&schema)
}

async fn told(db: &PgPool, sql: &'static str, body: &[u8]) -> Vec<Told> {
    sqlx::query_as(sql).bind(body).fetch_all(db).await.unwrap()
}

#[tokio::test]
async fn any_histograms_in_batches_and_blocks() {
    let test = TestReceiver::open().await;
    let mut runner = TestRunner::deterministic();
    let mut histograms: Vec<HistogramRow> = Vec::new();
    for series in 0..60i64 {
        let run = testing::any_run().new_tree(&mut runner).unwrap().current();
        let samples: Vec<HistogramSample> = run
            .into_iter()
            .filter(sensible)
            .zip(1i64..)
            .map(|(histogram, i)| HistogramSample {
                ts: i * 1000 + series,
                histogram: Arc::new(histogram),
            })
            .collect();
        if !samples.is_empty() {
            let pack = PackId(1 + (series / 20) as i32);
            histograms.push(HistogramRow { pack, series: SeriesId(series), samples });
        }
    }
    let custom: Vec<HistogramSample> = (0..9)
        .map(|i| match i {
            4 => NativeHistogram::stale(),
            _ => testing::nhcb(&[-1.5, 0.005, 2.0], &[i, 2, 3 * i, 4]),
        })
        .zip(500..)
        .map(|(histogram, ts)| HistogramSample { ts, histogram: Arc::new(histogram) })
        .collect();
    histograms.push(HistogramRow { pack: PackId(3), series: SeriesId(60), samples: custom });
    assert!(histograms.len() > 20, "{} series are a test", histograms.len());
    let odd = [1.0, 2.0, f64::NAN, 0.1 + 0.2];
    let rows: Vec<Row> = (0..8)
        .map(|i| Row {
            pack: PackId(1 + i / 4),
            series: SeriesId(100 + i64::from(i)),
            ts: 5,
            value: odd[i as usize % 4],
        })
        .collect();
    for with_floats in [true, false] {
        let rows = if with_floats { &rows[..] } else { &[] };
        let body = batch::Encoder::default().encode_all(rows, &histograms);
        for pack in 1..=3 {
            let sql = sqlx::AssertSqlSafe(format!(
                "SELECT * FROM watchpost.batch_histograms($1, '{{{pack}}}') ORDER BY series_id, ts"
            ));
            let told: Vec<Told> =
                sqlx::query_as(sql).bind(&body).fetch_all(&test.db).await.unwrap();
            let expected = histograms.iter().filter(|row| row.pack.0 == pack);
            let expected: Vec<_> = expected
                .flat_map(|row| row.samples.iter().map(|sample| (row.series, sample)))
                .collect();
            assert_eq!(told.len(), expected.len());
            for (told, (series, sample)) in told.iter().zip(expected) {
                check(told, series, sample);
            }
        }
        let n: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.batch_samples($1, '{1}')")
            .bind(&body)
            .fetch_one(&test.db)
            .await
            .unwrap();
        assert_eq!(n, if with_floats { 4 } else { 0 });
    }
}

#[tokio::test]
async fn blocks_with_floats_of_every_kind_before_them() {
    let test = TestReceiver::open().await;
    let histograms: Vec<HistogramSample> = (0..100u64)
        .map(|i| HistogramSample {
            ts: 1000 + i as i64,
            histogram: Arc::new(testing::exponential(2, &[(-1, 2), (3, 1)], &[i, i * i, 7])),
        })
        .collect();
    let stale = proto::remote_write::stale_marker();
    let columns: Vec<Vec<f64>> = vec![
        vec![1.5; 100],
        (0..100).map(|i| f64::from(i * i % 17) / 4.0).collect(),
        (0..100).map(|i| f64::from(i) * 1000.0).collect(),
        (0..100).map(|i| (f64::from(i)).sqrt()).collect(),
        (0..100).map(|i| if i == 50 { stale } else { f64::from(i % 7) }).collect(),
    ];
    let columns: Vec<Vec<Sample>> = columns
        .into_iter()
        .map(|column| (1000..).zip(column).map(|(ts, value)| Sample { ts, value }).collect())
        .collect();
    let floats = (10..).map(SeriesId).zip(columns.iter().map(|column| &column[..]));
    let of_histograms = [(SeriesId(3), &histograms[..]), (SeriesId(11), &histograms[20..60])];
    let mut encoder = block::Encoder::default();
    let body = encoder.encode_all(floats.clone(), of_histograms.into_iter()).body;
    let found = told(
        &test.db,
        "SELECT * FROM watchpost.block_histograms($1) ORDER BY series_id, ts",
        &body,
    )
    .await;
    let expected: Vec<_> = of_histograms
        .iter()
        .flat_map(|(id, samples)| samples.iter().map(move |sample| (*id, sample)))
        .collect();
    assert_eq!(found.len(), expected.len());
    for (told, (series, sample)) in found.iter().zip(expected) {
        check(told, series, sample);
    }
    let one = told(&test.db, "SELECT * FROM watchpost.block_histograms($1, '{11}')", &body).await;
    assert_eq!(one.len(), 40);
    let n: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.block_samples($1)")
        .bind(&body)
        .fetch_one(&test.db)
        .await
        .unwrap();
    assert_eq!(n, 500);
    // And blocks of either alone.
    let alone = encoder.encode_all(std::iter::empty(), of_histograms.into_iter()).body;
    assert_eq!(
        told(&test.db, "SELECT * FROM watchpost.block_histograms($1)", &alone).await.len(),
        140
    );
    let without = encoder.encode(floats).body;
    assert_eq!(
        told(&test.db, "SELECT * FROM watchpost.block_histograms($1)", &without).await.len(),
        0
    );
}
