//! Samples as three instances of a small shop would give: counters with resets, gauges, histograms, gaps, odd values.

use proto::remote_write::v1::{
    BucketSpan, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest, histogram,
    metric_metadata::MetricType,
};

/// Between two scrapes.
pub(crate) const EVERY_MS: i64 = 5_000;
/// Scrapes of one request.
const PER_REQUEST: i64 = 60;
/// Scrapes in all: an hour and twenty minutes.
pub(crate) const SCRAPES: i64 = 960;

/// What one scrape of one series gives.
enum Point {
    Nothing,
    Float(f64),
    Native(Box<Histogram>),
}

type Series = (Vec<(String, String)>, Box<dyn Fn(i64) -> Point>);

/// All requests; the last scrape is at `end`.
pub(crate) fn requests(end: i64) -> Vec<WriteRequest> {
    let all = series();
    let start = end - (SCRAPES - 1) * EVERY_MS;
    let mut requests = Vec::new();
    for first in (0..SCRAPES).step_by(PER_REQUEST as usize) {
        let mut request = WriteRequest::default();
        for (labels, point) in &all {
            let mut series = TimeSeries {
                labels: labels
                    .iter()
                    .map(|(name, value)| Label { name: name.clone(), value: value.clone() })
                    .collect(),
                ..TimeSeries::default()
            };
            for scrape in first..first + PER_REQUEST {
                let timestamp = start + scrape * EVERY_MS;
                match point(scrape) {
                    Point::Nothing => {}
                    Point::Float(value) => series.samples.push(Sample { value, timestamp }),
                    Point::Native(histogram) => {
                        series.histograms.push(Histogram { timestamp, ..*histogram });
                    }
                }
            }
            if !series.samples.is_empty() || !series.histograms.is_empty() {
                request.timeseries.push(series);
            }
        }
        requests.push(request);
    }
    let describe = |name: &str, kind: MetricType, help: &str| MetricMetadata {
        metric_family_name: name.to_owned(),
        r#type: kind.into(),
        help: help.to_owned(),
        unit: String::new(),
    };
    requests[0].metadata = vec![
        describe("shop_cpus", MetricType::Gauge, "Processors <of the shop> & others"),
        describe("shop_request_seconds", MetricType::Histogram, "How long requests took"),
    ];
    requests
}

/// The same numbers every time: a hash of where they stand.
fn noise(series: i64, scrape: i64) -> f64 {
    let mut x = (series as u64) << 32 ^ scrape as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3 {
        x ^= x >> 30;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
    }
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn labels(name: &str, instance: i64, others: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut labels = vec![
        ("__name__".to_owned(), name.to_owned()),
        ("instance".to_owned(), format!("shop.example:1000{instance}")),
        ("job".to_owned(), "shop".to_owned()),
    ];
    labels.extend(others.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    labels.sort();
    labels
}

fn float(labels: Vec<(String, String)>, value: impl Fn(i64) -> f64 + 'static) -> Series {
    (labels, Box::new(move |scrape| Point::Float(value(scrape))))
}

fn series() -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for i in 0..3 {
        for (t, kind) in ["buffers", "cached", "free", "used"].into_iter().enumerate() {
            let base = (t as i64 + 1) as f64 * 1e8;
            all.push(float(labels("shop_memory_bytes", i, &[("type", kind)]), move |n| {
                (base + 1e7 * ((n as f64) / 50.0).sin() + 1e6 * noise(i * 10 + t as i64, n)).round()
            }));
        }
        all.push(float(labels("shop_cpus", i, &[]), move |_| (i + 2) as f64));
        for (m, mode) in ["idle", "system", "user"].into_iter().enumerate() {
            let m = m as i64;
            all.push(float(labels("shop_cpu_seconds_total", i, &[("mode", mode)]), move |n| {
                // It restarts once, at a time of its own.
                let since = if n >= 400 + i * 150 { n - 400 - i * 150 } else { n + 3_000 };
                since as f64 * (0.7 - 0.2 * m as f64) + noise(m, n) * 0.3
            }));
        }
        all.push(float(labels("shop_disk_bytes", i, &[]), move |n| {
            5e10 + n as f64 * 1e5 * (i + 1) as f64
        }));
        all.push(float(labels("shop_batch_success_timestamp_seconds", i, &[]), move |n| {
            1_763_000_000.0 + (n / 60 * 300 + i) as f64
        }));
        for (p, path) in ["/", "/cart"].into_iter().enumerate() {
            for (s, status) in ["200", "500"].into_iter().enumerate() {
                add_requests(&mut all, i, p as i64 * 2 + s as i64, path, status);
            }
        }
        all.push(intermittent(i));
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-9, 1e300, -5.0];
        all.push(float(labels("shop_odd", i, &[]), move |n| odd[(n / 7 + i) as usize % odd.len()]));
        all.push((
            labels("shop_native_seconds", i, &[]),
            Box::new(move |n| Point::Native(Box::new(native(i, n)))),
        ));
    }
    // Labels that need care when they are written down.
    for (at, value) in
        ["a<b>&c", "quo\"te\\", "tab\tnew\nline", "é\u{2028}😀"].into_iter().enumerate()
    {
        all.push(float(labels("shop_text", 0, &[("text", value)]), move |_| at as f64));
    }
    all
}

/// A classic histogram.
fn add_requests(all: &mut Vec<Series>, i: i64, which: i64, path: &str, status: &str) {
    const BOUNDS: [(&str, f64); 6] =
        [("0.01", 0.05), ("0.05", 0.2), ("0.1", 0.5), ("0.5", 0.9), ("1", 0.97), ("+Inf", 1.0)];
    let rate = 3.0 + which as f64 + i as f64;
    let count = move |n: i64| (n as f64 * rate + 2.0 * noise(which + 40 * i, n)).floor();
    for (bound, part) in BOUNDS {
        let of = [("le", bound), ("path", path), ("status", status)];
        all.push(float(labels("shop_request_seconds_bucket", i, &of), move |n| {
            (count(n) * part).floor()
        }));
    }
    let of = [("path", path), ("status", status)];
    all.push(float(labels("shop_request_seconds_sum", i, &of), move |n| count(n) * 0.137));
    all.push(float(labels("shop_request_seconds_count", i, &of), count));
}

/// There for some minutes, ended by a marker, and there again.
fn intermittent(i: i64) -> Series {
    let stale = proto::remote_write::stale_marker();
    let point = move |n: i64| match (n + i * 17) % 100 {
        0..60 => Point::Float(n as f64),
        60 => Point::Float(stale),
        _ => Point::Nothing,
    };
    (labels("shop_intermittent", i, &[]), Box::new(point))
}

/// A native histogram that counts on, and is reset once.
fn native(i: i64, n: i64) -> Histogram {
    let since = if n >= 500 { n - 500 } else { n } as u64;
    let counts = [since, since * (2 + i as u64), since / 2, since / 7];
    let zero = since / 3;
    let mut before = 0;
    let deltas = counts
        .iter()
        .map(|count| {
            let delta = *count as i64 - before;
            before = *count as i64;
            delta
        })
        .collect();
    Histogram {
        count: Some(histogram::Count::CountInt(counts.iter().sum::<u64>() + zero)),
        sum: since as f64 * 1.7,
        schema: 1,
        zero_threshold: 1e-3,
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(zero)),
        positive_spans: vec![
            BucketSpan { offset: -2, length: 3 },
            BucketSpan { offset: 2, length: 1 },
        ],
        positive_deltas: deltas,
        ..Histogram::default()
    }
}
