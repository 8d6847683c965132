//! Whatever the files of a machine hold, no collector panics or hangs.
//!
//! The fixtures are copied with every file cut, flipped, filled with the largest numbers or emptied, in a different way
//! for each seed, and the whole exporter runs over each copy. Arithmetic that overflows panics in these builds.

#![cfg(target_os = "linux")]

#[path = "support/machine.rs"]
mod machine;

use std::time::{Duration, Instant};

use clap::Parser;
use exporter::{Config, Exporter, Filter};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: Config,
}

/// A small generator of pseudo-random numbers, the same at each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

fn spoil(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let length = bytes.len();
    match random.below(8) {
        0 => bytes.truncate(random.below(length + 1)),
        1 => {
            for _ in 0..=random.below(8) {
                if let Some(byte) = bytes.get_mut(random.below(length)) {
                    *byte = random.below(256) as u8;
                }
            }
        }
        // Every number becomes the largest there is, or one more.
        2 => bytes = numbers(&bytes, b"18446744073709551615"),
        3 => bytes = numbers(&bytes, b"18446744073709551616"),
        4 => bytes = numbers(&bytes, b"-9223372036854775808"),
        5 => bytes = (0..random.below(2000)).map(|_| random.below(256) as u8).collect(),
        6 => bytes = bytes.split(|byte| *byte == b'\n').rev().collect::<Vec<_>>().join(&b'\n'),
        // As it was: some collectors need one good file to look at the next.
        _ => {}
    }
    bytes
}

fn numbers(bytes: &[u8], with: &[u8]) -> Vec<u8> {
    let mut changed = Vec::new();
    let mut in_number = false;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            changed.push(*byte);
        } else if !in_number {
            changed.extend(with);
        }
        in_number = byte.is_ascii_digit();
    }
    changed
}

#[tokio::test]
async fn no_collector_panics() {
    for seed in 0..12 {
        let machine = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        machine::unpack(machine.path(), |bytes| spoil(bytes, &mut random));
        let flag = |name: &str, folder: &str| {
            format!("--{name}={}", machine.path().join(folder).display())
        };
        let flags = [
            flag("path.procfs", "proc"),
            flag("path.sysfs", "sys"),
            flag("path.rootfs", "root"),
            flag("path.udev.data", "udev"),
            flag("collector.textfile.directory", "text"),
        ];
        let mut words = vec![
            "test",
            "--no-collector.netdev.netlink",
            "--collector.buddyinfo",
            "--collector.cpu_vulnerabilities",
            "--collector.ksmd",
            "--collector.slabinfo",
            "--collector.swap",
            "--collector.cgroup_resources",
            "--collector.cgroups",
            "--collector.cpu.info",
            "--collector.interrupts",
            "--collector.processes",
            "--collector.process_groups",
            "--collector.softirqs",
            "--collector.stat.softirq",
        ];
        words.extend(flags.iter().map(String::as_str));
        let args: Args = service::flags::parse_from(&words).unwrap();
        let exporter = Exporter::new(&args.config).unwrap();
        // Twice, since what is remembered of the first may meet other bytes.
        for _ in 0..2 {
            let deadline = Instant::now() + Duration::from_secs(60);
            let text = exporter.collect(deadline, &Filter::All).await.to_text();
            for line in text.lines() {
                let bad = line.contains("reason=\"panic\"") || line.contains("reason=\"timeout\"");
                assert!(!bad, "seed {seed}: {line}");
            }
        }
    }
}
