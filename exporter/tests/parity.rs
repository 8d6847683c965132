//! Debian's node_exporter beside ours on this machine: what is different must be in the table below, with a reason.
//!
//! The other one is scraped before and after ours, with the same collectors, so that a value of ours has to lie between
//! its two. Skipped, loudly, where `prometheus-node-exporter` is not installed. The table is also a page for users,
//! `exporter/DIFFERENCES.md`, which `UPDATE_DIFFERENCES=1 cargo test -p exporter --test parity` writes anew.

#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "says why the test is skipped")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use exporter::{Config, Exporter, Filter};

const REAL: &str = "prometheus-node-exporter";

/// Both get these, so that differences of defaults between versions do not matter.
const FLAGS: [&str; 10] = [
    "--collector.buddyinfo",
    "--collector.cgroups",
    "--collector.interrupts",
    "--collector.ksmd",
    "--collector.processes",
    "--collector.slabinfo",
    "--collector.tcpstat",
    // Debian's hides the loopback.
    "--collector.netdev.device-exclude=^$",
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|sys)($|/)",
    "--collector.filesystem.fs-types-exclude=^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|mqueue|nsfs|overlay|proc|pstore|securityfs|sysfs|tracefs)$",
];

/// How a family of ours differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// Only node_exporter has it.
    Missing,
    /// Only ours has it.
    Added,
    /// We have this label in addition.
    Label(&'static str),
    /// The help text.
    Help,
    /// Some series are only in one of both.
    Series,
    /// Values that differ between any two scrapes, or between two programs, by nature.
    Value,
}

/// (family, or its beginning followed by `*`; how it differs; why)
const DIFFERENCES: &[(&str, Difference, &str)] = {
    use Difference::{Added, Help, Label, Missing, Series, Value};
    &[
        ("go_*", Missing, "tells about the runtime of programs in Go"),
        (
            "node_exporter_build_info",
            Value,
            "the labels describe the program itself; `version` is the node_exporter release that ours follows",
        ),
        ("node_exporter_build_info", Label("tags"), "since node_exporter 1.6"),
        ("node_exporter_build_info", Series, "see above"),
        ("watchpost_exporter_*", Added, "about this program"),
        ("process_*", Value, "each tells about its own process"),
        ("promhttp_*", Value, "each tells about its own scrapes"),
        ("node_scrape_collector_duration_seconds", Value, "each tells about its own scrapes"),
        (
            "node_scrape_collector_duration_seconds",
            Series,
            "each has collectors that the other lacks",
        ),
        (
            "node_scrape_collector_success",
            Value,
            "where the hardware is absent, ours says so more often, with the reason in watchpost_exporter_collector_failure_info",
        ),
        ("node_scrape_collector_success", Series, "each has collectors that the other lacks"),
        (
            "node_cpu_online",
            Added,
            "since node_exporter 1.8, there only where CPUs can be switched off; ours everywhere",
        ),
        ("node_disk_info", Label("rotational"), "since node_exporter 1.9"),
        ("node_disk_*", Series, "zram devices are excluded since node_exporter 1.6"),
        ("node_filesystem_*", Label("device_error"), "since node_exporter 1.7"),
        ("node_filesystem_mount_info", Added, "since node_exporter 1.9"),
        ("node_network_info", Label("adminstate"), "since node_exporter 1.7"),
        ("node_network_altnames_info", Added, "since node_exporter 1.8"),
        (
            "node_network_speed_bytes",
            Series,
            "unknown speeds (-1) are left out; --no-collector.netclass.ignore-invalid-speed shows them",
        ),
        ("node_network_speed_bytes", Missing, "the same, when no speed is known at all"),
        ("node_memory_*", Added, "fields that the other's kernel list does not know"),
        (
            "node_netstat_*",
            Added,
            "TcpExt_TCPOFOQueue and TcpExt_TCPRcvQDrop: since node_exporter 1.8",
        ),
        ("node_pressure_irq_stalled_seconds_total", Added, "since node_exporter 1.9"),
        ("node_softnet_*", Added, "further columns: since node_exporter 1.7"),
        ("node_softnet_*", Series, "CPUs are known by their numbers, not by the order of lines"),
        ("node_schedstat_*", Added, "node_exporter before 1.6 refuses newer versions of the file"),
        ("node_kernel_hung_tasks_total", Added, "since node_exporter 1.10"),
        ("node_selinux_*", Help, "reworded since"),
        ("node_textfile_*", Value, "Debian's package brings its own folder of files"),
        (
            "node_processes_threads_state",
            Missing,
            "asks about every thread, which is expensive, for what hardly anybody looks at",
        ),
        ("node_processes_*", Value, "changes between two scrapes"),
        ("node_processes_state", Series, "changes between two scrapes"),
        ("node_tcp_connection_states", Series, "states that no connection is in are shown as 0"),
        ("node_tcp_connection_states", Value, "changes between two scrapes"),
        ("node_buddyinfo_blocks", Value, "changes between two scrapes"),
        ("node_slabinfo_*", Value, "changes between two scrapes"),
        ("node_ksmd_*", Help, "reworded since"),
        ("node_ksmd_general_profit_bytes", Added, "since node_exporter 1.9"),
        ("node_time_seconds", Value, "the clock"),
        ("node_load*", Value, "changes between two scrapes"),
        ("node_memory_*", Value, "changes between two scrapes"),
        ("node_timex_*", Value, "changes between two scrapes"),
        ("node_procs_*", Value, "changes between two scrapes"),
        ("node_entropy_available_bits", Value, "changes between two scrapes"),
        ("node_filefd_allocated", Value, "changes between two scrapes"),
        ("node_filesystem_*", Value, "changes between two scrapes"),
        ("node_sockstat_*", Value, "changes between two scrapes"),
        ("node_netstat_Tcp_CurrEstab", Value, "changes between two scrapes"),
        ("node_disk_io_now", Value, "changes between two scrapes"),
        ("node_udp_queues", Value, "changes between two scrapes"),
        ("node_arp_entries", Value, "changes between two scrapes"),
        ("node_arp_entries", Series, "changes between two scrapes"),
        ("node_nf_conntrack_entries", Value, "changes between two scrapes"),
        ("node_xfs_*", Value, "changes between two scrapes"),
    ]
};

fn reason(family: &str, difference: Difference) -> Option<&'static str> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => family.starts_with(beginning),
        None => family == pattern,
    };
    let entry = DIFFERENCES.iter().find(|(pattern, kind, _)| *kind == difference && fits(pattern));
    entry.map(|(_, _, reason)| *reason)
}

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: Config,
}

/// A scrape: type and help of each family, and its series.
#[derive(Default)]
struct Scrape {
    families: BTreeMap<String, Family>,
}

#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    series: BTreeMap<BTreeSet<String>, f64>,
}

impl Scrape {
    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
            {
                scrape.families.entry(name.to_owned()).or_default().help = help.to_owned();
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
            {
                scrape.families.entry(name.to_owned()).or_default().kind = kind.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                // Summaries of the Go runtime have further names.
                let Some(family) = scrape.families.get_mut(name) else { continue };
                let labels = labels.strip_suffix('}').unwrap();
                let labels = split_labels(labels).into_iter().map(str::to_owned).collect();
                family.series.insert(labels, value.parse().unwrap());
            }
        }
        scrape
    }
}

/// `a="1",b="x,y"` at the commas outside of quotes.
fn split_labels(labels: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in labels.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(&labels[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&labels[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// The real one, ended when dropped.
struct Real {
    process: Child,
    address: SocketAddr,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Real {
    fn start() -> Option<Self> {
        // Free a moment ago; the program cannot say which port it took when asked for port 0.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let started = Command::new(REAL)
            .arg(format!("--web.listen-address={address}"))
            .args(FLAGS)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(process) => Some(Self { process, address }),
            Err(err) => {
                println!(
                    "SKIPPED: {REAL} cannot be started ({err}); install it to compare with it"
                );
                None
            }
        }
    }

    fn scrape(&self) -> Scrape {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            match TcpStream::connect(self.address) {
                Ok(mut stream) => {
                    let request = "GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n";
                    stream.write_all(request.as_bytes()).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    return Scrape::parse(answer.split_once("\r\n\r\n").unwrap().1);
                }
                Err(err) => assert!(Instant::now() < give_up, "{REAL} does not answer: {err}"),
            }
            std::thread::yield_now();
        }
    }
}

#[tokio::test]
async fn only_known_differences() {
    let Some(real) = Real::start() else { return };
    let mut words = vec!["test"];
    words.extend(FLAGS);
    let args: Args = service::flags::parse_from(&words).unwrap();
    let ours = Exporter::new(&args.config).unwrap();
    let collect = async || {
        let deadline = Instant::now() + Duration::from_secs(60);
        Scrape::parse(&ours.collect(deadline, &Filter::All).await.to_text())
    };
    // Both warm up first, so that neither is measured while it starts.
    collect().await;
    real.scrape();
    let before = real.scrape();
    let scrape = collect().await;
    let after = real.scrape();

    let mut findings = Vec::new();
    for (name, theirs) in &before.families {
        match scrape.families.get(name) {
            Some(family) => compare(name, family, theirs, &after.families[name], &mut findings),
            None if theirs.series.is_empty() || reason(name, Difference::Missing).is_some() => {}
            None => findings.push(format!("{name} is missing")),
        }
    }
    for name in scrape.families.keys().filter(|name| !before.families.contains_key(*name)) {
        if reason(name, Difference::Added).is_none() {
            findings.push(format!("{name} is only ours"));
        }
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    assert!(scrape.families.len() > 200, "{} families are too few", scrape.families.len());
}

fn compare(name: &str, ours: &Family, before: &Family, after: &Family, findings: &mut Vec<String>) {
    if ours.kind != before.kind {
        findings.push(format!("{name} is a {}, not a {}", ours.kind, before.kind));
    }
    if ours.help != before.help && reason(name, Difference::Help).is_none() {
        findings.push(format!("{name} has the help {:?}, not {:?}", ours.help, before.help));
    }
    let extra_labels: Vec<String> = DIFFERENCES
        .iter()
        .filter_map(|(_, difference, _)| match difference {
            Difference::Label(label) if reason(name, *difference).is_some() => {
                Some(format!("{label}="))
            }
            _ => None,
        })
        .collect();
    let our_series: BTreeMap<BTreeSet<String>, f64> = ours
        .series
        .iter()
        .map(|(labels, value)| {
            let kept = labels
                .iter()
                .filter(|label| !extra_labels.iter().any(|extra| label.starts_with(extra)));
            (kept.cloned().collect(), *value)
        })
        .collect();
    let series_may_differ = reason(name, Difference::Series).is_some();
    let value_may_differ = reason(name, Difference::Value).is_some();
    for labels in before.series.keys().filter(|labels| !our_series.contains_key(*labels)) {
        if !series_may_differ {
            findings.push(format!("{name}{labels:?} is missing"));
        }
    }
    for (labels, value) in &our_series {
        let (Some(low), Some(high)) = (before.series.get(labels), after.series.get(labels)) else {
            if !series_may_differ {
                findings.push(format!("{name}{labels:?} is only ours"));
            }
            continue;
        };
        // A millionth for the last digits, which depend on how a unit was converted.
        let tolerance = high.abs() * 1e-6;
        if !value_may_differ && !(low - tolerance..=high + tolerance).contains(value) {
            findings.push(format!("{name}{labels:?} is {value}, not between {low} and {high}"));
        }
    }
}

#[test]
fn the_page_of_differences_is_current() {
    let mut page = String::from(
        "# How `watchpost-exporter` differs from node_exporter\n\n\
         Written by `tests/parity.rs`, which compares both on one machine; the other is Debian's node_exporter 1.5, ours\n\
         follows 1.9. Families that end with `*` stand for all that begin so.\n\n\
         | family | difference | why |\n|---|---|---|\n",
    );
    for (family, difference, why) in DIFFERENCES {
        let what = match difference {
            Difference::Missing => "not shown".to_owned(),
            Difference::Added => "shown in addition".to_owned(),
            Difference::Label(label) => format!("has the label `{label}`"),
            Difference::Help => "help text".to_owned(),
            Difference::Series => "some series".to_owned(),
            Difference::Value => "values".to_owned(),
        };
        page.push_str(&format!("| `{family}` | {what} | {why} |\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("DIFFERENCES.md");
    if std::env::var_os("UPDATE_DIFFERENCES").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), page);
}
