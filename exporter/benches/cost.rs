//! What a scrape costs: our binary and Debian's node_exporter with the same collectors, one after the other.
//!
//! `cargo bench -p exporter --bench cost [-- <scrapes>]`. Counts the CPU time of the processes, so other load on the
//! machine matters little, but many scrapes are needed because the kernel counts in hundredths of a second.

#![expect(clippy::print_stdout, reason = "prints what it measured")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The collectors that both have, and that node_exporter runs by default.
const COLLECTORS: [&str; 44] = [
    "arp",
    "bonding",
    "btrfs",
    "conntrack",
    "cpu",
    "cpufreq",
    "diskstats",
    "dmi",
    "edac",
    "entropy",
    "fibrechannel",
    "filefd",
    "filesystem",
    "hwmon",
    "infiniband",
    "ipvs",
    "loadavg",
    "mdadm",
    "meminfo",
    "netclass",
    "netdev",
    "netstat",
    "nfs",
    "nfsd",
    "nvme",
    "os",
    "powersupplyclass",
    "pressure",
    "rapl",
    "schedstat",
    "selinux",
    "sockstat",
    "softnet",
    "stat",
    "tapestats",
    "textfile",
    "thermal_zone",
    "time",
    "timex",
    "udp_queues",
    "uname",
    "vmstat",
    "xfs",
    "zfs",
];

struct Program {
    process: Child,
    address: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Program {
    fn start(binary: &str) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new(binary)
            .arg(format!("--web.listen-address={address}"))
            .arg("--collector.disable-defaults")
            .arg("--collector.netdev.device-exclude=^$")
            .args(COLLECTORS.map(|name| format!("--collector.{name}")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let program = Self { process, address };
        let give_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < give_up, "{binary} does not listen");
            std::thread::yield_now();
        }
        Some(program)
    }

    /// One scrape as Prometheus makes it, compressed; returns the bytes of the answer.
    fn scrape(&self) -> usize {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "the scrape failed");
        answer.len()
    }

    /// User and system time so far.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Milliseconds of CPU for one scrape.
fn measure(name: &str, binary: &str, n_scrapes: u32) -> Option<f64> {
    let Some(program) = Program::start(binary) else {
        println!("SKIPPED: {binary} cannot be started");
        return None;
    };
    for _ in 0..20 {
        program.scrape();
    }
    let before = program.cpu();
    let mut bytes = 0;
    for _ in 0..n_scrapes {
        bytes = program.scrape();
    }
    let cpu_ms = (program.cpu() - before).as_secs_f64() * 1000.0 / f64::from(n_scrapes);
    let resident = program.resident_kib();
    println!("{name:14} {cpu_ms:7.3} ms CPU a scrape, {bytes:6} bytes, {resident:6} KiB resident");
    Some(cpu_ms)
}

fn main() {
    let n_scrapes = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1000);
    let theirs = measure("node_exporter", "prometheus-node-exporter", n_scrapes);
    let ours = measure("ours", env!("CARGO_BIN_EXE_watchpost-exporter"), n_scrapes);
    if let (Some(theirs), Some(ours)) = (theirs, ours) {
        println!("ours costs 1/{:.1} of node_exporter", theirs / ours);
    }
}
