//! What a sample costs on its way in, stage by stage, without a database: `cargo bench -p receiver --bench ingest -- [CAPTURE]`.
//!
//! Remote write 1.0 and 2.0 of the same samples: 50,000 synthetic series, and requests that a Prometheus once sent, if a
//! capture of them is named (records of `f64 LE` time of arrival, `u32 LE` length, body; compressed by zstd).
//!
//! All series are known, as they nearly always are. *walk* is the walk alone, *decode* the walk with finding the series and
//! judging the samples, *batch* sorting and encoding. Timings mean something on a machine that does nothing else.

#![allow(clippy::print_stdout, reason = "a program whose purpose is to print")]

use std::{
    collections::HashMap,
    hint::black_box,
    io::Read,
    time::{Duration, Instant},
};

use anyhow::Context;
use proto::{
    remote_write::{
        Message, WireError, v1, v2,
        walk::{self, Bounds, RawSeries, ReferencedSeries, ReferencedVisitor, Symbols, Visitor},
    },
    snappy,
};
use receiver::ingest::{Version, testing::Decoding};

const BODY_BYTES_MAX: usize = 64 << 20;
/// Each stage runs at least so long.
const STAGE_TIME: Duration = Duration::from_secs(2);
const SERIES: usize = 50_000;
const SAMPLES_PER_REQUEST: usize = 2_000;

fn main() -> anyhow::Result<()> {
    println!("ns/sample            snappy    walk  decode   batch     all  B/sample");
    let capture = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if let Some(path) = &capture {
        compare("capture", &read_capture(path)?);
    }
    compare("synthetic", &synthetic());
    Ok(())
}

/// One line for each version, and how they compare.
fn compare(name: &str, requests: &[v1::WriteRequest]) {
    let first = measure(name, Version::V1, &encode(requests, v1::WriteRequest::encode_to_vec));
    let second = measure(name, Version::V2, &encode(requests, |r| referenced(r).encode_to_vec()));
    println!("{name}: 2.0 takes {:.2} × the samples per second of 1.0", first / second);
}

fn encode(
    requests: &[v1::WriteRequest],
    message: impl Fn(&v1::WriteRequest) -> Vec<u8>,
) -> Vec<Vec<u8>> {
    requests.iter().map(|request| snappy::compress(&message(request))).collect()
}

/// Prints a line and gives the nanoseconds of all stages together.
fn measure(name: &str, version: Version, blocks: &[Vec<u8>]) -> f64 {
    let mut decoding = Decoding::default();
    let mut n_samples = 0;
    for block in blocks {
        n_samples += decoding.learn(version, block);
    }
    let mut body = Vec::new();
    let mut unpack = |block: &[u8]| {
        snappy::decompress(block, BODY_BYTES_MAX, &mut body).expect("compressed above");
        black_box(&body).clone()
    };
    let bodies: Vec<Vec<u8>> = blocks.iter().map(|block| unpack(block)).collect();
    let mut body = Vec::new();
    let unpacking = time(n_samples, || {
        for block in blocks {
            snappy::decompress(block, BODY_BYTES_MAX, &mut body).expect("compressed above");
            black_box(&body);
        }
    });
    let walking = time(n_samples, || {
        for body in &bodies {
            black_box(walk_alone(version, body));
        }
    });
    let decoded = time(n_samples, || {
        for body in &bodies {
            black_box(decoding.decode(version, body));
        }
    });
    let encoded = time(n_samples, || {
        for body in &bodies {
            black_box(decoding.encode(version, body));
        }
    });
    let (batch, all) = (encoded - decoded, unpacking + encoded);
    let bytes = blocks.iter().map(Vec::len).sum::<usize>() as f64 / n_samples as f64;
    println!(
        "{name:<10} {version:?}     {unpacking:7.1} {walking:7.1} {decoded:7.1} {batch:7.1} {all:7.1}   {bytes:7.1}"
    );
    all
}

/// Nanoseconds a sample.
fn time(n_samples: usize, mut stage: impl FnMut()) -> f64 {
    stage();
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < STAGE_TIME {
        stage();
        rounds += 1;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(rounds) / n_samples as f64
}

/// Counts samples.
struct Count(usize);

impl Visitor for Count {
    type Error = WireError;

    fn series(&mut self, series: RawSeries<'_>) -> Result<(), WireError> {
        self.0 += series.samples.len();
        Ok(())
    }

    fn metadata(&mut self, _: &[u8]) -> Result<(), WireError> {
        Ok(())
    }
}

impl<'a> ReferencedVisitor<'a> for Count {
    type Error = WireError;

    fn symbols(&mut self, _: &Symbols<'a>) -> Result<(), WireError> {
        Ok(())
    }

    fn series(&mut self, _: &Symbols<'a>, series: ReferencedSeries<'_>) -> Result<(), WireError> {
        self.0 += series.samples.len();
        Ok(())
    }
}

fn walk_alone(version: Version, body: &[u8]) -> usize {
    let mut count = Count(0);
    match version {
        Version::V1 => walk::v1(body, Bounds::default(), &mut count),
        Version::V2 => walk::v2(body, Bounds::default(), &mut count),
    }
    .expect("encoded above");
    count.0
}

/// The same request in 2.0, its strings in the order of their first use, as Prometheus has them.
fn referenced(request: &v1::WriteRequest) -> v2::Request {
    let mut symbols = vec![String::new()];
    let mut known: HashMap<&str, u32> = HashMap::from([("", 0)]);
    let mut timeseries = Vec::with_capacity(request.timeseries.len());
    for series in &request.timeseries {
        let mut labels_refs = Vec::with_capacity(series.labels.len() * 2);
        for text in series.labels.iter().flat_map(|label| [&label.name, &label.value]) {
            labels_refs.push(*known.entry(text).or_insert_with(|| {
                symbols.push(text.clone());
                symbols.len() as u32 - 1
            }));
        }
        let sample = |sample: &v1::Sample| v2::Sample {
            value: sample.value,
            timestamp: sample.timestamp,
            start_timestamp: 0,
        };
        let samples = series.samples.iter().map(sample).collect();
        timeseries.push(v2::TimeSeries { labels_refs, samples, ..Default::default() });
    }
    v2::Request { symbols, timeseries }
}

fn read_capture(path: &str) -> anyhow::Result<Vec<v1::WriteRequest>> {
    let file = std::fs::File::open(path).with_context(|| path.to_owned())?;
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(file)?.read_to_end(&mut bytes)?;
    let mut requests = Vec::new();
    let mut body = Vec::new();
    let mut rest = &bytes[..];
    while let Some((header, behind)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes(header[8..].try_into()?) as usize;
        let (block, behind) = behind.split_at_checked(length).context("the capture ends early")?;
        snappy::decompress(block, BODY_BYTES_MAX, &mut body)?;
        requests.push(v1::WriteRequest::decode(&body[..])?);
        rest = behind;
    }
    Ok(requests)
}

/// Series as of fifty machines with a thousand each, one sample a series.
fn synthetic() -> Vec<v1::WriteRequest> {
    let label = |name: &str, value: String| v1::Label { name: name.to_owned(), value };
    let series = |at: usize| v1::TimeSeries {
        labels: vec![
            label("__name__", format!("node_metric_{}_total", at % 250)),
            label("cpu", (at / 250 % 4).to_string()),
            label("device", format!("/dev/mapper/volume-{}", at % 16)),
            label("instance", format!("host-{:03}.example.org:9100", at / 1000)),
            label("job", "node".to_owned()),
            label("mode", ["idle", "user", "system", "iowait"][at / 250 % 4].to_owned()),
        ],
        samples: vec![v1::Sample { value: at as f64 * 1.25, timestamp: 1_800_000_000_000 }],
        ..Default::default()
    };
    (0..SERIES)
        .step_by(SAMPLES_PER_REQUEST)
        .map(|start| v1::WriteRequest {
            timeseries: (start..start + SAMPLES_PER_REQUEST).map(series).collect(),
            metadata: Vec::new(),
        })
        .collect()
}
