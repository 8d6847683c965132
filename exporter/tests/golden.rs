//! The whole exporter over a made-up machine in `fixtures/`, compared with `fixtures/golden.txt` byte for byte.
//!
//! `UPDATE_GOLDEN=1 cargo test -p exporter --test golden` writes the file anew; read the difference before committing
//! it, since names, labels and values are a contract. What depends on the machine that runs the test (the clock, uname,
//! sizes of filesystems) is left out here and looked at by itself below.

#![cfg(target_os = "linux")]

#[path = "support/machine.rs"]
mod machine;

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
    time::{Duration, Instant},
};

use clap::Parser;
use exporter::{Config, Exporter, Filter};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: Config,
}

/// Where the made-up machine is unpacked.
fn machine() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden-machine");
        // What an earlier run left may lack a change.
        let _ = std::fs::remove_dir_all(&folder);
        machine::unpack(&folder, |bytes| bytes);
        folder
    });
    &FOLDER
}

fn exporter(flags: &[&str]) -> Exporter {
    let path =
        |flag: &str, folder: &str| format!("--path.{flag}={}", machine().join(folder).display());
    let paths = [
        path("procfs", "proc"),
        path("sysfs", "sys"),
        path("rootfs", "root"),
        path("udev.data", "udev"),
    ];
    let textfiles = format!("--collector.textfile.directory={}", machine().join("text").display());
    let mut words = vec!["test", "--web.disable-exporter-metrics", &textfiles];
    words.extend(paths.iter().map(String::as_str));
    words.extend(flags);
    let args: Args = service::flags::parse_from(&words).unwrap();
    Exporter::new(&args.config).unwrap()
}

async fn scrape(exporter: &Exporter) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    exporter.collect(deadline, &Filter::All).await.to_text()
}

/// Switches on all collectors that see nothing but the fixtures.
const FLAGS: &[&str] = &[
    "--no-collector.filesystem",
    "--no-collector.time",
    "--no-collector.timex",
    "--no-collector.uname",
    "--no-collector.netdev.netlink",
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
];

/// Without the lines that differ at each run, and without the place of the fixtures.
fn redact(text: &str) -> String {
    let is_stable = |line: &&str| {
        !line.starts_with("node_scrape_collector_duration_seconds{")
            && !line.starts_with("watchpost_exporter_build_info{")
            && !line.starts_with("node_exporter_build_info{")
            && !line.starts_with("node_textfile_mtime_seconds{")
    };
    let stable: String = text.lines().filter(is_stable).flat_map(|line| [line, "\n"]).collect();
    stable.replace(machine().to_str().unwrap(), "FIXTURES")
}

#[tokio::test]
async fn everything_is_as_in_the_golden_file() {
    let exporter = exporter(FLAGS);
    let text = redact(&scrape(&exporter).await);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    for (number, (ours, theirs)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(ours, theirs, "line {}", number + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
    // The second scrape reads the same, from caches where there are any.
    assert_eq!(redact(&scrape(&exporter).await), text);
}

#[tokio::test]
async fn mounts_are_found_below_the_root() {
    let text = scrape(&exporter(&["--collector.disable-defaults", "--collector.filesystem"])).await;
    let lines = |family: &str| -> Vec<&str> {
        let prefix = format!("{family}{{");
        text.lines().filter(|line| line.starts_with(&prefix)).collect()
    };
    let labels = |line: &str| line[line.find('{').unwrap()..=line.rfind('}').unwrap()].to_owned();
    let sizes: Vec<String> = lines("node_filesystem_size_bytes").into_iter().map(labels).collect();
    assert_eq!(
        sizes,
        [
            r#"{device="/dev/nvme0n1p2",mountpoint="/",fstype="ext4",device_error=""}"#,
            r#"{device="/dev/mapper/vg-data",mountpoint="/my data",fstype="xfs",device_error=""}"#,
        ]
    );
    assert_eq!(
        lines("node_filesystem_device_error"),
        [
            r#"node_filesystem_device_error{device="/dev/nvme0n1p2",mountpoint="/",fstype="ext4",device_error=""} 0"#,
            r#"node_filesystem_device_error{device="/dev/mapper/vg-data",mountpoint="/my data",fstype="xfs",device_error=""} 0"#,
            r#"node_filesystem_device_error{device="/dev/sdz1",mountpoint="/gone",fstype="ext4",device_error="no such file or directory"} 1"#,
        ]
    );
    assert_eq!(
        lines("node_filesystem_readonly")[1],
        r#"node_filesystem_readonly{device="/dev/mapper/vg-data",mountpoint="/my data",fstype="xfs",device_error=""} 1"#
    );
    assert_eq!(
        lines("node_filesystem_mount_info")[0],
        r#"node_filesystem_mount_info{device="/dev/nvme0n1p2",major="259",minor="2",mountpoint="/"} 1"#
    );
}

#[tokio::test]
async fn an_empty_machine_gives_failures_and_no_panic() {
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().display();
    let paths =
        ["procfs", "sysfs", "rootfs", "udev.data"].map(|flag| format!("--path.{flag}={folder}"));
    let mut words = vec!["test"];
    words.extend(paths.iter().map(String::as_str));
    let args: Args = service::flags::parse_from(&words).unwrap();
    let text = scrape(&Exporter::new(&args.config).unwrap()).await;
    assert!(text.contains("node_scrape_collector_success{collector=\"cpu\"} 0\n"), "{text}");
    assert!(!text.contains("reason=\"panic\""), "{text}");
}
