//! Samples of hosts as dashboards want them: a hundred series each, among them counters, gauges and a histogram.
//!
//! Requests hold five minutes of each series, so that a day of many hosts is made and taken in minutes.

use bytes::Bytes;

use crate::workload::{self, Random, STEP_MS};

/// Scrapes of a series in one request: five minutes.
const SCRAPES: usize = 20;
/// Hosts in one request.
const HOSTS: usize = 5;

const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// Hosts and the time that they are scraped over; the last scrape is before `end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hosts {
    pub(crate) n: usize,
    pub(crate) hours: usize,
    /// In milliseconds since the Unix epoch.
    pub(crate) end: i64,
}

/// How the values of a series come about.
enum Kind {
    Constant(f64),
    /// Seconds with two decimals.
    Seconds {
        value: f64,
        rate: f64,
    },
    /// Whole steps; begins again with zero after so many scrapes.
    Counter {
        value: f64,
        rate: f64,
        life: usize,
    },
    /// Up and down by multiples of a unit.
    Gauge {
        value: f64,
        unit: f64,
        spread: f64,
    },
    /// The part of a histogram's observations that is within its bound, and their number.
    Bucket {
        part: f64,
        observed: f64,
        rate: f64,
    },
}

struct Series {
    labels: Vec<u8>,
    kind: Kind,
}

/// Makes requests in order of time.
pub(crate) struct Source {
    hosts: Hosts,
    random: Random,
    series: Vec<Vec<Series>>,
    scrape: usize,
}

impl Hosts {
    pub(crate) fn source(self) -> Source {
        let mut random = Random(0x5eed_0007);
        let series = (0..self.n).map(|host| host_series(host, &mut random)).collect();
        Source { hosts: self, random, series, scrape: 0 }
    }

    fn scrapes(self) -> usize {
        self.hours * 3_600_000 / STEP_MS as usize
    }

    pub(crate) fn n_samples(self) -> usize {
        self.n * 100 * self.scrapes()
    }
}

impl Source {
    /// All requests of the next five minutes; nothing at the end.
    pub(crate) fn next(&mut self) -> Vec<Bytes> {
        let n = SCRAPES.min(self.hosts.scrapes() - self.scrape);
        let mut requests = Vec::new();
        if n == 0 {
            return requests;
        }
        let first = self.hosts.end - (self.hosts.scrapes() - self.scrape) as i64 * STEP_MS;
        let mut body = Vec::new();
        let mut values = [0.0; SCRAPES];
        for (host, all) in self.series.iter_mut().enumerate() {
            // Hosts are not scraped at once.
            let ts = first + (host as i64 * 7919) % STEP_MS;
            for series in all {
                for (at, value) in values[..n].iter_mut().enumerate() {
                    *value = series.kind.next(self.scrape + at, &mut self.random);
                }
                workload::put_run(&mut body, &series.labels, ts, &values[..n]);
            }
            if (host + 1) % HOSTS == 0 {
                requests.push(proto::snappy::compress(&body).into());
                body.clear();
            }
        }
        if !body.is_empty() {
            requests.push(proto::snappy::compress(&body).into());
        }
        self.scrape += n;
        requests
    }
}

impl Kind {
    fn next(&mut self, scrape: usize, random: &mut Random) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Seconds { value, rate } => {
                *value = ((*value + *rate * random.unit() * 2.0) * 100.0).round() / 100.0;
                *value
            }
            Self::Counter { value, rate, life } => {
                if (scrape + 1).is_multiple_of(*life) {
                    *value = 0.0;
                }
                *value += (*rate * (0.5 + random.unit())).floor();
                *value
            }
            Self::Gauge { value, unit, spread } => {
                let steps = (*spread * (random.unit() - 0.5)).round();
                *value = (*value + steps * *unit).max(0.0);
                *value
            }
            Self::Bucket { part, observed, rate } => {
                *observed += (*rate * (0.5 + random.unit())).floor();
                (*observed * *part).floor()
            }
        }
    }
}

fn host_series(host: usize, random: &mut Random) -> Vec<Series> {
    let mut all = Vec::with_capacity(100);
    let cluster = if host.is_multiple_of(2) { "eu-west-1" } else { "us-east-1" };
    let instance = format!("host-{host:05}.example.com:9100");
    let mut add = |name: &str, job: &str, others: &[(&str, &str)], kind: Kind| {
        let mut pairs =
            vec![("__name__", name), ("cluster", cluster), ("instance", &instance), ("job", job)];
        pairs.extend(others);
        pairs.sort_unstable();
        let mut labels = Vec::new();
        for (name, value) in pairs {
            workload::put_label(&mut labels, name, value);
        }
        all.push(Series { labels, kind });
    };
    let life = 2_000 + random.below(4_000) as usize;
    for cpu in ["0", "1", "2", "3"] {
        for (at, mode) in MODES.into_iter().enumerate() {
            let rate = [12.0, 0.3, 0.0, 0.0, 0.1, 0.0, 0.9, 1.7][at];
            let kind = Kind::Seconds { value: (random.unit() * 1e6).floor(), rate };
            add("node_cpu_seconds_total", "node", &[("cpu", cpu), ("mode", mode)], kind);
        }
    }
    for device in ["eth0", "eth1"] {
        for name in ["node_network_receive_bytes_total", "node_network_transmit_bytes_total"] {
            let rate = random.unit() * 1e6;
            add(name, "node", &[("device", device)], Kind::Counter { value: 0.0, rate, life });
        }
    }
    for name in ["MemTotal", "MemAvailable", "MemFree", "Buffers", "Cached", "SwapFree"] {
        let value = (random.unit() * 4e6).floor() * 4096.0;
        let kind = match name {
            "MemTotal" => Kind::Constant(1.6e10),
            "SwapFree" => Kind::Constant(value),
            _ => Kind::Gauge { value, unit: 4096.0, spread: 500.0 },
        };
        add(&format!("node_memory_{name}_bytes"), "node", &[], kind);
    }
    for mountpoint in ["/", "/boot", "/var", "/home"] {
        let size = 1e10 + (random.unit() * 1e6).floor() * 4096.0;
        let avail = Kind::Gauge {
            value: (size / 4096.0 * random.unit()).floor() * 4096.0,
            unit: 4096.0,
            spread: if mountpoint == "/var" { 900.0 } else { 0.0 },
        };
        add("node_filesystem_avail_bytes", "node", &[("mountpoint", mountpoint)], avail);
        let size = Kind::Constant(size);
        add("node_filesystem_size_bytes", "node", &[("mountpoint", mountpoint)], size);
    }
    for name in ["node_load1", "node_load5", "node_load15"] {
        let kind = Kind::Gauge { value: 2.0, unit: 0.01, spread: 30.0 };
        add(name, "node", &[], kind);
    }
    for device in ["sda", "sdb", "sdc", "sdd"] {
        let kind = Kind::Seconds { value: 0.0, rate: random.unit() };
        add("node_disk_io_time_seconds_total", "node", &[("device", device)], kind);
    }
    add("up", "node", &[], Kind::Constant(1.0));
    add("node_boot_time_seconds", "node", &[], Kind::Constant(1.7e9 + host as f64));
    for (at, handler) in ["/", "/api"].into_iter().enumerate() {
        let rate = 20.0 + random.unit() * 200.0;
        for (bucket, bound) in BOUNDS.into_iter().enumerate() {
            let part = 1.0 - (-(bucket as f64 + 1.0) / (3.0 + at as f64)).exp();
            let part = if bound == "+Inf" { 1.0 } else { part };
            let kind = Kind::Bucket { part, observed: 0.0, rate };
            let others = [("handler", handler), ("le", bound)];
            add("http_request_duration_seconds_bucket", "api", &others, kind);
        }
        let sum = Kind::Seconds { value: 0.0, rate: rate * 0.13 };
        add("http_request_duration_seconds_sum", "api", &[("handler", handler)], sum);
        let count = Kind::Bucket { part: 1.0, observed: 0.0, rate };
        add("http_request_duration_seconds_count", "api", &[("handler", handler)], count);
    }
    for (code, rate) in [("200", 300.0), ("404", 9.0), ("500", 2.5)] {
        for method in ["GET", "POST"] {
            let kind = Kind::Counter { value: 0.0, rate: rate * (0.5 + random.unit()), life };
            add("http_requests_total", "api", &[("code", code), ("method", method)], kind);
        }
    }
    for unit in ["cron", "dbus", "getty", "nginx", "postgresql", "ssh", "systemd-logind"] {
        let name = format!("{unit}.service");
        add("node_systemd_unit_state", "node", &[("name", &name)], Kind::Constant(1.0));
    }
    assert_eq!(all.len(), 100, "what is said everywhere");
    all
}
