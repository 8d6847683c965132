//! The console on made-up servers, for working on its looks: `cargo run -p receiver --example console`.
//!
//! Prints the address. `--empty` starts without any server, to see the pages wait. The files of the console are read
//! from disk at each request.

use std::{
    f64::consts::TAU,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use axum::Router;
use prometheus_client::registry::Registry;
use promql::model::Labels;
use receiver::{
    http,
    live::{Hub, Metrics, memory::MemorySource},
};
use service::{Health, Shutdown};

/// How often the made-up servers report.
const EVERY_MS: i64 = 2_000;
const PAST_MS: i64 = 35 * 60_000;
const GIB: f64 = 1_073_741_824.0;

struct Made {
    instance: &'static str,
    nodename: &'static str,
    cpus: u32,
    /// Share of the CPU, of memory and of the disk that is in use.
    cpu: f64,
    memory: f64,
    disk: f64,
    traffic: f64,
    uptime_days: f64,
    down: bool,
}

const fn made(
    (instance, nodename): (&'static str, &'static str),
    cpus: u32,
    (cpu, memory, disk): (f64, f64, f64),
    traffic: f64,
    uptime_days: f64,
    down: bool,
) -> Made {
    Made { instance, nodename, cpus, cpu, memory, disk, traffic, uptime_days, down }
}

const SERVERS: [Made; 9] = [
    made(("db-1:9100", "db-1"), 8, (0.72, 0.71, 0.926), 48e6, 41.3, false),
    made(("db-2:9100", "db-2"), 8, (0.41, 0.66, 0.58), 31e6, 41.2, true),
    made(("web-1:9100", "web-1"), 4, (0.23, 0.45, 0.38), 12.6e6, 12.4, false),
    made(("web-2:9100", "web-2"), 4, (0.2, 0.46, 0.37), 11.9e6, 12.4, false),
    made(("cache-1:9100", "cache-1"), 2, (0.08, 0.81, 0.13), 92.4e6, 96.0, false),
    made(("build-1:9100", "build-1"), 16, (0.55, 0.52, 0.71), 4.2e6, 3.2, false),
    made(("10.0.9.2:9100", "lab-pi"), 4, (0.04, 0.31, 0.44), 12e3, 0.13, false),
    made(("backup-1:9100", "backup-1"), 2, (0.02, 0.22, 0.84), 180e3, 210.0, false),
    made(("mail.example.org:9100", "mail"), 2, (0.06, 0.58, 0.29), 410e3, 64.0, false),
];

/// Target, seconds a check takes, days of the certificate, whether it fails now.
const MONITORS: [(&str, f64, Option<f64>, bool); 6] = [
    ("https://api.example.org", 0.084, Some(61.2), false),
    ("https://shop.example.org/checkout", 1.42, Some(9.3), false),
    ("smtp.example.org:25", 0.031, None, true),
    ("https://www.example.org", 0.121, Some(82.0), false),
    ("https://status.example.org", 0.066, Some(44.5), false),
    ("db-1.internal:5432", 0.002, None, false),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = Arc::new(MemorySource::default());
    let mut registry = Registry::default();
    let hub = Hub::new(Arc::clone(&store) as _, Metrics::register(&mut registry));
    let start = now_ms() / EVERY_MS * EVERY_MS;
    let is_empty = std::env::args().any(|argument| argument == "--empty");
    if !is_empty {
        let mut all = Vec::new();
        for t in (start - PAST_MS..start).step_by(EVERY_MS as usize) {
            all.extend(samples(t, start));
        }
        store.commit(all.iter().map(|(labels, t, v)| (labels, *t, *v)));
    }
    let health = Health::default();
    health.ready();
    let metrics = service::Metrics::new("receiver");
    metrics.register(|own| *own = registry);
    let shutdown = Shutdown::new();
    let router = Router::new()
        .merge(http::live::router(hub.clone(), shutdown.clone()))
        .merge(http::console::router())
        .merge(service::admin::router(health, metrics))
        .fallback(http::console::not_found);
    let address = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    let listeners = service::web::bind(&[address.unwrap_or_else(|| "127.0.0.1:0".to_owned())])?;
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(EVERY_MS as u64));
        loop {
            ticks.tick().await;
            if !is_empty {
                let all = samples(now_ms(), start);
                hub.publish(store.commit(all.iter().map(|(labels, t, v)| (labels, *t, *v))));
            }
        }
    });
    #[expect(clippy::print_stdout, reason = "the address is what this program prints")]
    {
        println!("http://{}/", listeners.first().context("one address was given")?.address());
    }
    service::web::serve(listeners, router, service::web::Config::default(), shutdown).await
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

/// Everything all servers and monitors report at `t`; they stop being well at `start`.
fn samples(t: i64, start: i64) -> Vec<(Labels, i64, f64)> {
    let mut out = Vec::new();
    for (n, server) in SERVERS.iter().enumerate() {
        let down = server.down && t > start - 4 * 60_000;
        add(&mut out, t, "up", server, &[], if down { 0.0 } else { 1.0 });
        if !down {
            report(&mut out, t, start, server, n as f64);
        }
    }
    for (n, (target, seconds, certificate, fails)) in MONITORS.iter().enumerate() {
        // A check every half minute.
        if t % 30_000 >= EVERY_MS {
            continue;
        }
        let labels = [("instance", *target), ("job", "blackbox")];
        let mut add = |name: &str, v: f64| {
            let named = labels.into_iter().chain([("__name__", name)]);
            out.push((Labels::from_pairs(named).expect("distinct names"), t, v));
        };
        let hiccup = wave(t, 97.0, n as f64) > 0.985;
        let failed = (*fails && t > start - 180_000) || (n == 1 && hiccup);
        let slow = if n == 1 && t > start - 150_000 { 4.0 } else { 1.0 };
        add("probe_success", if failed { 0.0 } else { 1.0 });
        add("probe_duration_seconds", seconds * slow * (1.0 + 0.3 * wave(t, 41.0, n as f64)));
        if let Some(days) = certificate {
            add("probe_ssl_earliest_cert_expiry", start as f64 / 1_000.0 + days * 86_400.0);
            add("probe_http_status_code", if failed { 503.0 } else { 200.0 });
        }
    }
    out
}

fn report(out: &mut Vec<(Labels, i64, f64)>, t: i64, start: i64, server: &Made, n: f64) {
    let mut add = |name, labels: &[(&str, &str)], v| add(out, t, name, server, labels, v);
    for cpu in 0..server.cpus {
        let name = cpu.to_string();
        let modes = [("user", 0.68), ("system", 0.2), ("iowait", 0.09), ("softirq", 0.03)];
        for (mode, share) in modes {
            let seconds = integral(t, server.cpu * share, n + share);
            add("node_cpu_seconds_total", &[("cpu", &name), ("mode", mode)], seconds);
        }
        let busy: f64 =
            modes.iter().map(|(_, share)| integral(t, server.cpu * share, n + share)).sum();
        let idle = t as f64 / 1_000.0 - busy;
        add("node_cpu_seconds_total", &[("cpu", &name), ("mode", "idle")], idle);
    }
    let total = f64::from(server.cpus) * 2.0 * GIB;
    let used = server.memory * total * (1.0 + 0.05 * wobble(t, n + 3.0));
    add("node_memory_MemTotal_bytes", &[], total);
    add("node_memory_MemAvailable_bytes", &[], total - used);
    add("node_memory_Cached_bytes", &[], (total - used) * 0.8);
    add("node_memory_SwapTotal_bytes", &[], GIB);
    add("node_memory_SwapFree_bytes", &[], GIB * 0.97);
    for (name, slower) in [("node_load1", 1.0), ("node_load5", 4.0), ("node_load15", 11.0)] {
        let load = f64::from(server.cpus) * server.cpu * (1.0 + 0.35 / slower * wobble(t, n));
        add(name, &[], (load * 100.0).round() / 100.0);
    }
    add(
        "node_boot_time_seconds",
        &[],
        (start as f64 / 1_000.0 - server.uptime_days * 86_400.0).floor(),
    );
    add("node_uname_info", &[("nodename", server.nodename), ("sysname", "Linux")], 1.0);
    for (name, share) in
        [("node_network_receive_bytes_total", 0.63), ("node_network_transmit_bytes_total", 0.37)]
    {
        add(name, &[("device", "eth0")], integral(t, server.traffic * share, n + share));
        add(name, &[("device", "lo")], integral(t, 1e6, n));
    }
    add(
        "node_disk_read_bytes_total",
        &[("device", "nvme0n1")],
        integral(t, server.traffic / 6.0, n + 5.0),
    );
    add(
        "node_disk_written_bytes_total",
        &[("device", "nvme0n1")],
        integral(t, server.traffic / 4.0, n + 6.0),
    );
    let mounts = [
        ("/", "ext4", 100.0, server.disk),
        ("/var/lib/data", "xfs", 800.0, server.disk * 0.8),
        ("/boot", "ext4", 1.0, 0.31),
    ];
    for (mountpoint, fstype, size, used) in mounts {
        let labels = [("device", "/dev/nvme0n1p2"), ("mountpoint", mountpoint), ("fstype", fstype)];
        add("node_filesystem_size_bytes", &labels, size * GIB);
        add("node_filesystem_avail_bytes", &labels, size * GIB * (1.0 - used));
    }
}

fn add(
    out: &mut Vec<(Labels, i64, f64)>,
    t: i64,
    name: &str,
    server: &Made,
    labels: &[(&str, &str)],
    v: f64,
) {
    let own = [("__name__", name), ("instance", server.instance), ("job", "node")];
    let labels = Labels::from_pairs(own.into_iter().chain(labels.iter().copied()));
    out.push((labels.expect("distinct names"), t, v));
}

fn wave(t: i64, period_s: f64, phase: f64) -> f64 {
    (TAU * (t as f64 / 1_000.0 / period_s) + phase * 2.1).sin()
}

/// Something between −1 and 1 that looks alive.
fn wobble(t: i64, phase: f64) -> f64 {
    0.45 * wave(t, 611.0, phase)
        + 0.3 * wave(t, 173.0, phase + 1.0)
        + 0.25 * wave(t, 37.0, phase + 2.0)
}

/// A counter whose rate is `mean` with a wobble: the integral, so that it never falls.
fn integral(t: i64, mean: f64, phase: f64) -> f64 {
    let seconds = t as f64 / 1_000.0;
    let part = |share: f64, period: f64, phase: f64| {
        -share * period / TAU * (TAU * seconds / period + phase * 2.1).cos()
    };
    let wobbled =
        part(0.45, 611.0, phase) + part(0.3, 173.0, phase + 1.0) + part(0.2, 23.0, phase + 2.0);
    mean * (seconds % 1e7 + 0.4 * wobbled)
}
