//! One file at a time is not what it should be, and the scrape goes on.
//!
//! Every file of the made-up machine is replaced in turn by each kind of [`Garbage`], among them files that not even
//! root can read. No collector may panic or be late, and only those that need the file may fail. What the program
//! itself says about it, in its log and in its metrics, is looked at beside that.

#![cfg(target_os = "linux")]

#[path = "support/machine.rs"]
mod machine;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use clap::Parser;
use exporter::{Config, Exporter, Filter};

/// What stands in place of a file.
#[derive(Clone, Copy, Debug)]
enum Garbage {
    Empty,
    /// The first half.
    Truncated,
    Binary,
    /// Each number has a hundred digits.
    Huge,
    Negative,
    /// One line, 64 KiB long, without a space.
    LongLine,
    /// Reading says `EISDIR`, also to root.
    Directory,
    /// Opening says `ELOOP`.
    Loop,
    /// Reading says `EIO`, also to root: what lies at address 0.
    Broken,
    /// Nobody writes.
    Fifo,
}

const KINDS: [Garbage; 10] = [
    Garbage::Empty,
    Garbage::Truncated,
    Garbage::Binary,
    Garbage::Huge,
    Garbage::Negative,
    Garbage::LongLine,
    Garbage::Directory,
    Garbage::Loop,
    Garbage::Broken,
    Garbage::Fifo,
];

/// Well above what a scrape of the fixtures takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// Collectors that one file may be of: `/proc/stat` is read by three.
const AFFECTED_MAX: usize = 3;

impl Garbage {
    fn put(self, path: &Path, good: &[u8]) {
        let numbers = |with: &str| {
            let mut text = Vec::new();
            let mut was_digit = false;
            for byte in good {
                match byte.is_ascii_digit() {
                    true if was_digit => {}
                    true => text.extend(with.as_bytes()),
                    false => text.push(*byte),
                }
                was_digit = byte.is_ascii_digit();
            }
            text
        };
        match self {
            Self::Empty => fs::write(path, "").unwrap(),
            Self::Truncated => fs::write(path, &good[..good.len() / 2]).unwrap(),
            Self::Binary => {
                let bytes: Vec<u8> = (0..3000_u32).map(|n| (n * n / 7 + n) as u8).collect();
                fs::write(path, bytes).unwrap();
            }
            Self::Huge => fs::write(path, numbers(&"9".repeat(100))).unwrap(),
            Self::Negative => fs::write(path, numbers("-7")).unwrap(),
            Self::LongLine => fs::write(path, "7".repeat(64 << 10)).unwrap(),
            Self::Directory => fs::create_dir(path).unwrap(),
            Self::Loop => symlink(path.file_name().unwrap(), path).unwrap(),
            Self::Broken => symlink("/proc/self/mem", path).unwrap(),
            Self::Fifo => fifo(path),
        }
    }

    fn take_away(self, path: &Path) {
        match self {
            Self::Directory => fs::remove_dir(path).unwrap(),
            _ => fs::remove_file(path).unwrap(),
        }
    }
}

fn fifo(path: &Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: Config,
}

/// Everything on that sees nothing but the machine's files.
fn flags(machine: &Path) -> Vec<String> {
    let mut flags: Vec<String> = [
        ("path.procfs", "proc"),
        ("path.sysfs", "sys"),
        ("path.rootfs", "root"),
        ("path.udev.data", "udev"),
        ("collector.textfile.directory", "text"),
    ]
    .into_iter()
    .map(|(flag, folder)| format!("--{flag}={}", machine.join(folder).display()))
    .collect();
    let switches = [
        "--no-collector.netdev.netlink",
        "--no-collector.uname",
        "--no-collector.timex",
        "--collector.buddyinfo",
        "--collector.cpu_vulnerabilities",
        "--collector.ksmd",
        "--collector.slabinfo",
        "--collector.swap",
        "--collector.cgroup_resources",
        "--collector.cgroups",
        "--collector.interrupts",
        "--collector.processes",
        "--collector.process_groups",
        "--collector.softirqs",
        "--collector.stat.softirq",
        "--collector.services.list=init,ssh",
    ];
    flags.extend(switches.map(str::to_owned));
    flags
}

fn exporter(machine: &Path) -> Exporter {
    let flags = flags(machine);
    let mut words = vec!["test"];
    words.extend(flags.iter().map(String::as_str));
    let args: Args = service::flags::parse_from(&words).unwrap();
    Exporter::new(&args.config).unwrap()
}

async fn scrape(exporter: &Exporter) -> String {
    let metrics = exporter.collect(Instant::now() + DEADLINE, &Filter::All).await;
    let text = metrics.to_text();
    exporter.recycle(metrics);
    text
}

/// The names of collectors that failed, with the reason.
fn failed(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter_map(|line| {
        line.strip_prefix("watchpost_exporter_collector_failure_info{collector=\"")
    });
    lines
        .map(|line| {
            let mut parts = line.split('"');
            let collector = parts.next().unwrap().to_owned();
            (collector, parts.nth(1).unwrap().to_owned())
        })
        .collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
}

#[tokio::test]
async fn each_file_in_turn_is_garbage() {
    let folder = tempfile::tempdir().unwrap();
    machine::unpack(folder.path(), |bytes| bytes);
    let mut all = Vec::new();
    files(folder.path(), &mut all);
    assert!(all.len() > 250, "{} files", all.len());
    let exporter = exporter(folder.path());
    let usual = failed(&scrape(&exporter).await);
    let begun = Instant::now();
    let mut n_failures = 0;
    for kind in KINDS {
        for path in &all {
            let good = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            kind.put(path, &good);
            let failures = failed(&scrape(&exporter).await);
            kind.take_away(path);
            fs::write(path, good).unwrap();

            let new: Vec<_> = failures.difference(&usual).collect();
            let at = path.strip_prefix(folder.path()).unwrap().display();
            let is_bad = |(_, reason): &&(String, String)| reason == "panic" || reason == "timeout";
            assert!(!new.iter().any(is_bad), "{kind:?} in {at}: {new:?}");
            assert!(new.len() <= AFFECTED_MAX, "{kind:?} in {at} fails {new:?}");
            n_failures += new.len();
        }
    }
    println!(
        "{} files, {} kinds: {n_failures} failures, {:?}",
        all.len(),
        KINDS.len(),
        begun.elapsed()
    );
    assert!(n_failures > 150, "{n_failures} failures: is anything read at all?");
    // All is well again.
    assert_eq!(failed(&scrape(&exporter).await), usual);
}

/// The program, its log, and where it listens.
struct Program {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Program {
    /// Starts it as somebody who is not root, from whom files can be kept.
    fn start(folder: &Path, machine: &Path) -> Self {
        let binary = folder.join("watchpost-exporter");
        // Where the build puts it, others than its owner may not look.
        fs::copy(env!("CARGO_BIN_EXE_watchpost-exporter"), &binary).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = folder.join("log");
        let mut command = Command::new(binary);
        if rustix::process::geteuid().is_root() {
            // nobody
            command.uid(65534).gid(65534);
        }
        let process = command
            .arg(format!("--web.listen-address={address}"))
            .args(flags(machine))
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let program = Self { process, address, log };
        let give_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < give_up, "{}", program.log());
            std::thread::yield_now();
        }
        program
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"),
            "{answer}"
        );
        answer
    }
}

#[test]
fn the_log_and_the_metrics_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let machine = folder.path().join("machine");
    machine::unpack(&machine, |bytes| bytes);
    let proc = |name: &str| machine.join("proc").join(name);
    let replace = |name: &str, kind: Garbage| {
        let good = fs::read(proc(name)).unwrap();
        fs::remove_file(proc(name)).unwrap();
        kind.put(&proc(name), &good);
    };
    fs::set_permissions(proc("meminfo"), fs::Permissions::from_mode(0o000)).unwrap();
    replace("vmstat", Garbage::Directory);
    replace("loadavg", Garbage::Binary);
    replace("schedstat", Garbage::Loop);
    replace("mdstat", Garbage::Broken);
    // More than any file of the kernel's, in one line.
    fs::File::create(proc("diskstats")).unwrap().set_len(40 << 20).unwrap();
    let program = Program::start(folder.path(), &machine);
    let text = program.scrape();
    let log = program.log();
    let success = |collector: &str| {
        let beginning = format!("node_scrape_collector_success{{collector=\"{collector}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&beginning)).unwrap().to_owned()
    };
    for (collector, reason, said) in [
        ("meminfo", "permission", "proc/meminfo: Permission denied"),
        ("vmstat", "error", "proc/vmstat: Is a directory"),
        ("loadavg", "parse", "proc/loadavg: "),
        ("schedstat", "error", "proc/schedstat: Too many levels of symbolic links"),
        ("mdadm", "error", "proc/mdstat: Input/output error"),
        ("diskstats", "error", "proc/diskstats: larger than 33554432 bytes"),
    ] {
        assert_eq!(success(collector), "0", "{collector}");
        let failure = (collector.to_owned(), reason.to_owned());
        assert!(failed(&text).contains(&failure), "{failure:?} is not in {:?}", failed(&text));
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains(&format!("collector {collector}: "))).collect();
        assert_eq!(lines.len(), 1, "{collector} in\n{log}");
        assert!(lines[0].contains(said), "{said:?} is not in {:?}", lines[0]);
    }
    for collector in ["cpu", "stat", "netdev", "hwmon", "pressure", "netclass", "zfs", "textfile"] {
        assert_eq!(success(collector), "1", "{collector}");
    }
    assert!(text.contains("node_context_switches_total "));
    // Told once, and again when it is over.
    program.scrape();
    let lines = |text: &str| program.log().lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("collector vmstat: "), 1);
    fs::set_permissions(proc("meminfo"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(program.scrape().contains("node_memory_MemTotal_bytes "));
    assert_eq!(lines("collector meminfo works again"), 1);
}

#[tokio::test]
async fn lines_of_ten_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    machine::unpack(folder.path(), |bytes| bytes);
    let exporter = exporter(folder.path());
    let usual = failed(&scrape(&exporter).await);
    for name in ["stat", "meminfo", "net/netstat", "interrupts", "1/mountinfo", "net/softnet_stat"]
    {
        let path = folder.path().join("proc").join(name);
        let good = fs::read(&path).unwrap();
        for filling in [&b"7"[..], b"x ", b"1 ", b"\xff"] {
            fs::write(&path, filling.repeat((10 << 20) / filling.len())).unwrap();
            let failures = failed(&scrape(&exporter).await);
            let new: Vec<_> = failures.difference(&usual).collect();
            let is_bad = new.iter().any(|(_, reason)| reason == "panic" || reason == "timeout");
            assert!(!is_bad && new.len() <= AFFECTED_MAX, "{name} {filling:?}: {new:?}");
        }
        fs::write(&path, good).unwrap();
    }
    assert_eq!(failed(&scrape(&exporter).await), usual);
}

#[tokio::test]
async fn processes_that_vanish_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    machine::unpack(folder.path(), |bytes| bytes);
    let exporter = exporter(folder.path());
    let pids = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("node_processes_pids ")).unwrap();
        line.to_owned()
    };
    let before = pids(&scrape(&exporter).await);
    // Listed, and gone by the time that it is read, in each way in which that can be.
    let proc = folder.path().join("proc");
    symlink("/nowhere", proc.join("501")).unwrap();
    fs::create_dir(proc.join("502")).unwrap();
    fs::write(proc.join("503"), "").unwrap();
    fs::create_dir(proc.join("504")).unwrap();
    // What the kernel says of a process that ended after it was opened: reading is ESRCH, here EIO.
    symlink("/proc/self/mem", proc.join("504/stat")).unwrap();
    let text = scrape(&exporter).await;
    assert_eq!(pids(&text), before);
    assert!(!failed(&text).iter().any(|(collector, _)| collector.starts_with("process")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_lived_processes_come_and_go_meanwhile() {
    let args: Args = service::flags::parse_from(&[
        "test",
        "--collector.disable-defaults",
        "--collector.processes",
        "--collector.process_groups",
        "--collector.services.list=nobody-has-this,x",
    ])
    .unwrap();
    let exporter = Exporter::new(&args.config).unwrap();
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let spawning = std::thread::spawn(|| {
        let mut n_processes = 0;
        while !IS_OVER.load(Ordering::Relaxed) {
            // Several at a time, which end while others are listed.
            let some: Vec<Child> = (0..8).map(|_| Command::new("true").spawn().unwrap()).collect();
            n_processes += some.len();
            some.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
        }
        n_processes
    });
    for _ in 0..100 {
        let text = scrape(&exporter).await;
        assert_eq!(failed(&text), BTreeSet::new());
    }
    IS_OVER.store(true, Ordering::Relaxed);
    let n_processes = spawning.join().unwrap();
    assert!(n_processes > 50, "{n_processes} processes are too few");
}
