//! Requests as Prometheus would send them from hosts with `node_exporter`s: made in advance, so that sending them costs
//! the machine as little as can be.

use std::collections::HashMap;

use bytes::Bytes;
use proto::remote_write::walk;

/// Series of one host.
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

struct Series {
    labels: Vec<u8>,
    value: Value,
}

/// How the values of a series move, after what node_exporter shows on a machine with some load.
#[derive(Clone, Copy)]
enum Value {
    Constant(f64),
    /// Bytes or events: grows by whole steps.
    Counter {
        value: f64,
        rate: f64,
    },
    /// Seconds with two decimals.
    Seconds {
        value: f64,
        rate: f64,
    },
    /// Pages of memory: up and down by multiples of 4096.
    Gauge {
        value: f64,
        spread: f64,
    },
    /// All bits of the mantissa.
    Ratio,
}

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
                host_series(host, n, &mut random)
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

/// Metrics of a host: name, label name, how many of them.
const FAMILIES: [(&str, &str, usize); 12] = [
    ("node_cpu_seconds_total", "cpu", 256),
    ("node_network_receive_bytes_total", "device", 12),
    ("node_network_transmit_bytes_total", "device", 12),
    ("node_disk_io_time_seconds_total", "device", 8),
    ("node_filesystem_avail_bytes", "mountpoint", 16),
    ("node_filesystem_size_bytes", "mountpoint", 16),
    ("node_hwmon_temp_celsius", "sensor", 24),
    ("node_softnet_processed_total", "cpu", 32),
    ("node_schedstat_waiting_seconds_total", "cpu", 32),
    ("node_interrupts_total", "type", 160),
    ("node_systemd_unit_state", "name", 220),
    ("node_scrape_collector_success", "collector", 40),
];

fn host_series(host: usize, n: usize, random: &mut Random) -> Vec<Series> {
    let families = FAMILIES
        .iter()
        .flat_map(|(name, label, n)| (0..*n).map(move |at| ((*name).to_owned(), *label, at)));
    // And one series each of many metrics, as of /proc/meminfo, netstat and vmstat.
    let single = (0..).map(|at| (format!("node_memory_and_netstat_field_{at:03}_bytes"), "", 0));
    families
        .chain(single)
        .take(n)
        .map(|(name, label, at)| {
            let mut labels = Vec::new();
            put_label(&mut labels, "__name__", &name);
            let pairs = [
                ("cluster", "production-eu-west-1".to_owned()),
                ("instance", format!("host-{host:05}.example.com:9100")),
                ("job", "node".to_owned()),
            ];
            for (name, value) in pairs.iter().filter(|(name, _)| label.is_empty() || *name < label)
            {
                put_label(&mut labels, name, value);
            }
            if !label.is_empty() {
                if label == "cpu" {
                    put_label(&mut labels, label, &(at / 8).to_string());
                    put_label(&mut labels, "mode", MODES[at % 8]);
                } else {
                    put_label(&mut labels, label, &format!("{label}-{at}"));
                }
                for (name, value) in pairs.iter().filter(|(name, _)| *name >= label) {
                    put_label(&mut labels, name, value);
                }
            }
            Series { labels, value: Value::of(&name, random) }
        })
        .collect()
}

const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];

impl Value {
    fn of(name: &str, random: &mut Random) -> Self {
        let size = 10f64.powf(random.unit() * 9.0).floor();
        if name.contains("seconds_total") {
            return match random.below(2) {
                0 => Self::Constant(0.0),
                _ => Self::Seconds { value: size, rate: random.unit() * 15.0 },
            };
        }
        match (name.ends_with("_total"), random.below(10)) {
            (_, 0..=5) => Self::Constant(size),
            (true, _) => Self::Counter { value: size, rate: size.sqrt() * random.unit() },
            (false, 9) => Self::Ratio,
            (false, _) => Self::Gauge { value: size.floor() * 4096.0, spread: size.sqrt() },
        }
    }

    fn next(&mut self, random: &mut Random) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Counter { value, rate } => {
                *value += (*rate * (0.5 + random.unit())).floor();
                *value
            }
            Self::Seconds { value, rate } => {
                *value = ((*value + *rate * random.unit()) * 100.0).round() / 100.0;
                *value
            }
            Self::Gauge { value, spread } => {
                *value = (*value + (*spread * (random.unit() - 0.5)).floor() * 4096.0).max(0.0);
                *value
            }
            Self::Ratio => random.unit(),
        }
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
    out.push(0x0a);
    put_varint(out, (name.len() + value.len() + 4) as u64);
    for (key, text) in [(0x0a, name), (0x12, value)] {
        out.push(key);
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
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
