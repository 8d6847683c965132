//! Requests as Prometheus would send them: made in advance, so that sending them costs the machine as little as can be.

mod series;

use std::collections::HashMap;

use bytes::Bytes;
use proto::remote_write::walk;

pub(crate) use self::series::Kind;
use self::series::Series;

/// Series of one host, or of the containers of one.
const HOST_SERIES: usize = 1000;
/// Milliseconds between two scrapes.
pub(crate) const STEP_MS: i64 = 15_000;

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// Remote write 1.0
    #[value(name = "1.0")]
    V1,
    /// Remote write 2.0
    #[value(name = "2.0")]
    V2,
}

impl Protocol {
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) series: usize,
    pub(crate) rounds: usize,
    /// Samples of one request.
    pub(crate) samples: usize,
    pub(crate) connections: usize,
    pub(crate) protocol: Protocol,
    /// The time of the last round, in milliseconds since the Unix epoch.
    pub(crate) end: i64,
}

/// The requests of one connection, in order.
pub(crate) type Requests = Vec<Bytes>;

impl Workload {
    pub(crate) fn n_samples(self) -> usize {
        self.series * self.rounds
    }

    /// The requests of each connection; a connection has hosts of its own, as a shard of Prometheus has.
    pub(crate) fn requests(self) -> Vec<Requests> {
        let of_connection = |connection| {
            let mut requests = Vec::new();
            self.each_request(connection, |request| requests.push(request));
            requests
        };
        (0..self.connections).map(of_connection).collect()
    }

    /// Makes the requests of one connection one after the other, for loads that do not fit into memory.
    pub(crate) fn each_request(self, connection: usize, mut sink: impl FnMut(Bytes)) {
        let mut random = Random(0x5eed_0000 + connection as u64);
        let n_hosts = self.series.div_ceil(HOST_SERIES);
        let mut series: Vec<Series> = (0..n_hosts)
            .filter(|host| host % self.connections == connection)
            .flat_map(|host| {
                let n = (self.series - host * HOST_SERIES).min(HOST_SERIES);
                self.kind.series(host, n, &mut random)
            })
            .collect();
        let mut request = Request::default();
        let mut n = 0;
        for round in 0..self.rounds {
            let scrape = self.end - (self.rounds - 1 - round) as i64 * STEP_MS;
            for (at, series) in series.iter_mut().enumerate() {
                // Hosts are not scraped at once.
                let ts = scrape - STEP_MS + (at / HOST_SERIES * 7919 % 15_000) as i64;
                request.add(self.protocol, &series.labels, ts, series.value.next(&mut random));
                n += 1;
                if n == self.samples {
                    sink(request.finish());
                    n = 0;
                }
            }
        }
        if n > 0 {
            sink(request.finish());
        }
    }
}

/// A request in the making.
#[derive(Default)]
struct Request {
    /// Of 2.0: the strings so far, as they lie in the message, and their numbers.
    symbols: Vec<u8>,
    numbers: HashMap<Vec<u8>, u32>,
    series: Vec<u8>,
}

impl Request {
    fn add(&mut self, protocol: Protocol, labels: &[u8], ts: i64, value: f64) {
        match protocol {
            Protocol::V1 => put_series(&mut self.series, labels, ts, value),
            Protocol::V2 => {
                self.number(b"");
                let mut refs = Vec::new();
                for label in walk::labels(labels) {
                    let (name, text) = label.expect("labels are encoded above");
                    put_varint(&mut refs, self.number(name));
                    put_varint(&mut refs, self.number(text));
                }
                put_referenced_series(&mut self.series, &refs, ts, value);
            }
        }
    }

    /// Strings stand in the order of their first use, as Prometheus has them.
    fn number(&mut self, text: &[u8]) -> u64 {
        let next = self.numbers.len() as u32;
        if let Some(known) = self.numbers.get(text) {
            return u64::from(*known);
        }
        self.numbers.insert(text.to_owned(), next);
        self.symbols.push(0x22);
        put_varint(&mut self.symbols, text.len() as u64);
        self.symbols.extend_from_slice(text);
        u64::from(next)
    }

    /// Compressed; the next request starts anew.
    fn finish(&mut self) -> Bytes {
        self.symbols.append(&mut self.series);
        let body = proto::snappy::compress(&self.symbols).into();
        self.symbols.clear();
        self.numbers.clear();
        body
    }
}

/// `SplitMix64`: the same load in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// `Label` as field 1 of a `TimeSeries`.
pub(crate) fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    let mut label = Vec::with_capacity(name.len() + value.len() + 8);
    for (key, text) in [(0x0a, name), (0x12, value)] {
        label.push(key);
        put_varint(&mut label, text.len() as u64);
        label.extend_from_slice(text.as_bytes());
    }
    out.push(0x0a);
    put_varint(out, label.len() as u64);
    out.extend_from_slice(&label);
}

/// A `TimeSeries` with one sample as field 1 of a `WriteRequest`.
fn put_series(out: &mut Vec<u8>, labels: &[u8], ts: i64, value: f64) {
    let sample = sample(ts, value);
    out.push(0x0a);
    put_varint(out, (labels.len() + 2 + sample.len()) as u64);
    out.extend_from_slice(labels);
    out.push(0x12);
    put_varint(out, sample.len() as u64);
    out.extend_from_slice(&sample);
}

/// The same as field 5 of a 2.0 `Request`. `refs` are packed.
fn put_referenced_series(out: &mut Vec<u8>, refs: &[u8], ts: i64, value: f64) {
    let sample = sample(ts, value);
    let mut series = vec![0x0a];
    put_varint(&mut series, refs.len() as u64);
    series.extend_from_slice(refs);
    series.push(0x12);
    put_varint(&mut series, sample.len() as u64);
    series.extend_from_slice(&sample);
    out.push(0x2a);
    put_varint(out, series.len() as u64);
    out.extend_from_slice(&series);
}

/// The same message in both versions.
fn sample(ts: i64, value: f64) -> Vec<u8> {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    put_varint(&mut sample, ts as u64);
    sample
}

/// A `TimeSeries` with a sample for each scrape as field 1 of a `WriteRequest`.
pub(crate) fn put_run(out: &mut Vec<u8>, labels: &[u8], first: i64, values: &[f64]) {
    let mut samples = Vec::with_capacity(values.len() * 18);
    for (at, value) in values.iter().enumerate() {
        let ts = (first + at as i64 * STEP_MS) as u64;
        let n_ts = (64 - ts.leading_zeros()).div_ceil(7) as u8;
        samples.extend_from_slice(&[0x12, 10 + n_ts, 0x09]);
        samples.extend_from_slice(&value.to_le_bytes());
        samples.push(0x10);
        put_varint(&mut samples, ts);
    }
    out.push(0x0a);
    put_varint(out, (labels.len() + samples.len()) as u64);
    out.extend_from_slice(labels);
    out.extend_from_slice(&samples);
}
