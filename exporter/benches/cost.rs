//! What the exporter costs, beside Debian's node_exporter with the same collectors.
//!
//! `cargo bench -p exporter --bench cost [-- <part>…]`, where the parts are `size`, `scrape`, `processes`, `mounts`,
//! `concurrent`, `memory` and `idle`; all of them without a word. CPU is counted by the kernel for each process, so
//! that other load on the machine matters little; it counts in hundredths of a second, so many scrapes are needed. Both
//! programs take turns. `mounts` needs root.

#![expect(clippy::print_stdout, reason = "prints what it measured")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const OURS: &str = env!("CARGO_BIN_EXE_watchpost-exporter");
const THEIRS: &str = "prometheus-node-exporter";

/// In turns, so that what changes on the machine meanwhile is for both.
const TURNS: u32 = 5;
const PROCESSES: usize = 1000;
const MOUNTS: usize = 200;
const SCRAPERS: usize = 10;
const IDLE: Duration = Duration::from_secs(30);

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
    /// Of the program itself, which may be a child of what was started.
    pid: u32,
    address: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Children without a purpose, ended when dropped.
struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Program {
    fn start(binary: &str, flags: &[&str]) -> Option<Self> {
        Self::run(Command::new(binary), binary, flags)
    }

    /// In namespaces of its own, with many mounts more, not below `/run`, which Debian's hides. It is process 1 there,
    /// whose mounts are what both look at.
    fn start_with_mounts(binary: &str, flags: &[&str]) -> Option<Self> {
        let script = format!(
            "for n in $(seq {MOUNTS}); do mkdir -p /srv/bench/$n && mount -t tmpfs -o size=64k bench$n /srv/bench/$n \
             || exit 1; done; exec \"$0\" \"$@\""
        );
        let mut command = Command::new("unshare");
        // Not seen outside of it, the folders included.
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc"]);
        command.args(["--kill-child", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs srv /srv && {script}")).arg(binary);
        Self::run(command, binary, flags)
    }

    fn run(mut command: Command, binary: &str, flags: &[&str]) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let started = command
            .arg(format!("--web.listen-address={address}"))
            .arg("--collector.disable-defaults")
            .arg("--collector.netdev.device-exclude=^$")
            .args(COLLECTORS.map(|name| format!("--collector.{name}")))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            println!("SKIPPED: {binary} cannot be started");
            return None;
        };
        let pid = process.id();
        let mut program = Self { process, pid, address };
        let give_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = program.process.try_wait().unwrap() {
                println!("SKIPPED: {binary} ends at once, {status}");
                return None;
            }
            assert!(Instant::now() < give_up, "{binary} does not listen");
            std::thread::yield_now();
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let child = children.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
        program.pid = child.unwrap_or(pid);
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
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Scrapes all in turns and prints what one scrape costs each; the first is compared with the others.
fn compare(what: &str, programs: &[(&str, Option<Program>)], n_scrapes: u32) {
    println!("{what}, {n_scrapes} scrapes:");
    let running: Vec<(&str, &Program)> = programs
        .iter()
        .filter_map(|(name, program)| program.as_ref().map(|program| (*name, program)))
        .collect();
    for (_, program) in &running {
        for _ in 0..20 {
            program.scrape();
        }
    }
    let mut spent = vec![Duration::ZERO; running.len()];
    let mut bytes = vec![0; running.len()];
    for _ in 0..TURNS {
        for (index, (_, program)) in running.iter().enumerate() {
            let before = program.cpu();
            for _ in 0..n_scrapes / TURNS {
                bytes[index] = program.scrape();
            }
            spent[index] += program.cpu() - before;
        }
    }
    let ms = |cpu: Duration| cpu.as_secs_f64() * 1000.0 / f64::from(n_scrapes);
    for (index, (name, program)) in running.iter().enumerate() {
        let ratio = match index {
            0 => String::new(),
            _ => format!(", 1/{:.1} of the first", ms(spent[0]) / ms(spent[index])),
        };
        println!(
            "  {name:24} {:7.3} ms CPU, {:6} bytes, {:6} KiB resident{ratio}",
            ms(spent[index]),
            bytes[index],
            program.resident_kib(),
        );
    }
}

fn size() {
    let bytes = fs::metadata(OURS).unwrap().len();
    println!("size: the binary has {:.1} MiB", bytes as f64 / f64::from(1 << 20));
}

fn scrape() {
    let both =
        [("node_exporter", Program::start(THEIRS, &[])), ("ours", Program::start(OURS, &[]))];
    compare("scrape", &both, 1000);
}

fn processes() {
    let sleep = || Command::new("sleep").arg("3600").stdin(Stdio::null()).spawn().unwrap();
    let _sleepers = Sleepers((0..PROCESSES).map(|_| sleep()).collect());
    let flag = ["--collector.processes"];
    let programs = [
        ("node_exporter", Program::start(THEIRS, &flag)),
        ("ours", Program::start(OURS, &flag)),
        ("ours, and process_groups", {
            Program::start(OURS, &["--collector.processes", "--collector.process_groups"])
        }),
    ];
    compare(&format!("{PROCESSES} processes more"), &programs, 200);
}

fn mounts() {
    let both = [
        ("node_exporter", Program::start_with_mounts(THEIRS, &[])),
        ("ours", Program::start_with_mounts(OURS, &[])),
    ];
    compare(&format!("{MOUNTS} mounts more"), &both, 200);
}

fn concurrent() {
    let Some(program) = Program::start(OURS, &[]) else { return };
    program.scrape();
    let before = program.cpu();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let scrapers: Vec<_> = (0..SCRAPERS)
            .map(|_| {
                scope.spawn(|| {
                    let time = |_| {
                        let begun = Instant::now();
                        program.scrape();
                        begun.elapsed()
                    };
                    (0..100).map(time).collect::<Vec<_>>()
                })
            })
            .collect();
        scrapers.into_iter().flat_map(|scraper| scraper.join().unwrap()).collect()
    });
    times.sort_unstable();
    let cpu_ms = (program.cpu() - before).as_secs_f64() * 1000.0 / times.len() as f64;
    println!(
        "concurrent: {SCRAPERS} at a time, {} scrapes: {cpu_ms:.3} ms CPU each; median {:?}, longest {:?}, {} KiB \
         resident",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1],
        program.resident_kib(),
    );
}

fn memory() {
    // As it comes, with all collectors that are on by default.
    let Some(program) = Program::start(OURS, &[]) else { return };
    let mut n_scrapes = 0;
    println!("memory:");
    for until in [1, 100, 1000, 5000, 10_000] {
        while n_scrapes < until {
            program.scrape();
            n_scrapes += 1;
        }
        println!(
            "  after {until:5} scrapes {:6} KiB resident, {} threads",
            program.resident_kib(),
            program.status("Threads:")
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "to sleep is what is measured")]
fn idle() {
    let Some(program) = Program::start(OURS, &[]) else { return };
    program.scrape();
    // Threads that wait for work end after a while.
    std::thread::sleep(Duration::from_secs(12));
    let (cpu, waits) = (program.cpu(), program.status("voluntary_ctxt_switches:"));
    std::thread::sleep(IDLE);
    println!(
        "idle: {:?} CPU and {} wake-ups of the main thread in {IDLE:?}; {} KiB resident, {} threads",
        program.cpu() - cpu,
        program.status("voluntary_ctxt_switches:") - waits,
        program.resident_kib(),
        program.status("Threads:"),
    );
}

fn main() {
    let parts: [(&str, fn()); 7] = [
        ("size", size),
        ("scrape", scrape),
        ("processes", processes),
        ("mounts", mounts),
        ("concurrent", concurrent),
        ("memory", memory),
        ("idle", idle),
    ];
    // Cargo adds flags of its own.
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, part) in parts {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            part();
        }
    }
}
