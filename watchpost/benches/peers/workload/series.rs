//! What the series of a load are called, and how their values move.

use super::{Random, put_label};

/// Where series come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// `node_exporter`s: four to six labels
    Hosts,
    /// The kubelet's cAdvisor: up to fifteen labels, long ones among them
    Containers,
}

impl Kind {
    /// The first `n` series of a host.
    pub(super) fn series(self, host: usize, n: usize, random: &mut Random) -> Vec<Series> {
        match self {
            Self::Hosts => host_series(host, n, random),
            Self::Containers => container_series(host, n, random),
        }
    }
}

/// One series, before it is sent.
pub(super) struct Series {
    /// As fields of a `TimeSeries`.
    pub(super) labels: Vec<u8>,
    pub(super) value: Value,
}

/// How the values of a series move, after what node_exporter shows on a machine with some load.
#[derive(Clone, Copy)]
pub(super) enum Value {
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

/// Metrics of a container: name, and a label that only some have.
const OF_CONTAINER: [(&str, Option<(&str, &str)>); 20] = [
    ("container_blkio_device_usage_total", Some(("device", "/dev/nvme0n1"))),
    ("container_cpu_cfs_periods_total", None),
    ("container_cpu_cfs_throttled_periods_total", None),
    ("container_cpu_cfs_throttled_seconds_total", None),
    ("container_cpu_system_seconds_total", None),
    ("container_cpu_usage_seconds_total", Some(("cpu", "total"))),
    ("container_cpu_user_seconds_total", None),
    ("container_file_descriptors", None),
    ("container_fs_reads_bytes_total", Some(("device", "/dev/nvme0n1"))),
    ("container_fs_writes_bytes_total", Some(("device", "/dev/nvme0n1"))),
    ("container_last_seen", None),
    ("container_memory_cache", None),
    ("container_memory_failcnt", None),
    ("container_memory_rss", None),
    ("container_memory_usage_bytes", None),
    ("container_memory_working_set_bytes", None),
    ("container_processes", None),
    ("container_sockets", None),
    ("container_start_time_seconds", None),
    ("container_threads", None),
];

fn container_series(host: usize, n: usize, random: &mut Random) -> Vec<Series> {
    let mut all = Vec::with_capacity(n);
    for container in 0..n.div_ceil(OF_CONTAINER.len()) {
        let mut hex = |length: usize| -> String {
            (0..length)
                .map(|_| char::from(b"0123456789abcdef"[random.below(16) as usize]))
                .collect()
        };
        let (id, image, uid) = (hex(64), hex(64), hex(32));
        let app = format!("checkout-service-{:02}", container % 40);
        let pod = format!("{app}-{}-{}", hex(9), hex(5));
        let of_all = [
            ("cluster", "production-eu-west-1".to_owned()),
            ("container", app.clone()),
            ("endpoint", "https-metrics".to_owned()),
            (
                "id",
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{id}.scope"
                ),
            ),
            ("image", format!("registry.example.com/shop/{app}@sha256:{image}")),
            ("instance", format!("10.0.{}.{}:10250", host / 250, host % 250)),
            ("job", "kubelet".to_owned()),
            ("metrics_path", "/metrics/cadvisor".to_owned()),
            ("name", id.clone()),
            ("namespace", format!("shop-{}", container % 8)),
            ("node", format!("ip-10-0-{}-{}.example.com", host / 250, host % 250)),
            ("pod", pod),
            ("service", "kube-prometheus-stack-kubelet".to_owned()),
        ];
        for (name, own) in OF_CONTAINER.iter().take(n - all.len()) {
            let own = own.map(|(name, value)| (name, value.to_owned()));
            let mut pairs: Vec<(&str, String)> = of_all.iter().cloned().chain(own).collect();
            pairs.sort_unstable();
            let mut labels = Vec::new();
            put_label(&mut labels, "__name__", name);
            for (name, value) in &pairs {
                put_label(&mut labels, name, value);
            }
            all.push(Series { labels, value: Value::of(name, random) });
        }
    }
    all
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

    pub(super) fn next(&mut self, random: &mut Random) -> f64 {
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
