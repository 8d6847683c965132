//! The same from control groups of version 1, where each controller has a tree of its own: old kernels, and hosts that
//! were told to stay with it.
//!
//! A group that a controller does not have is accounted for in the one above it there, so its figure is absent.

use std::path::Path;

use super::{Usage, keyed};
use crate::{host, scan};

/// Whose tree has all groups: systemd's own has, and without systemd the engines make each group everywhere.
const TREES: [&str; 4] = ["systemd", "memory", "cpuacct", "pids"];

/// The tree to walk; `None` where there is none of this version.
pub(super) fn tree(root: &Path) -> Option<&'static str> {
    TREES.into_iter().find(|tree| root.join(tree).is_dir())
}

/// What the group `name` uses.
pub(super) fn read(root: &Path, name: &str, buf: &mut Vec<u8>) -> Usage {
    let path = |tree: &str, file: &str| root.join(tree).join(name).join(file);
    let number = |tree: &str, file: &str| host::number(&path(tree, file));
    let line = |tree: &str, file: &str, key: &[u8]| {
        host::attribute(&path(tree, file)).ok().and_then(|text| keyed(&text, key))
    };
    // Nanoseconds; in ticks before Linux 4.8.
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu_us = |file: &str, key: &[u8]| match number("cpuacct", file) {
        Some(ns) => Some((ns / 1e3) as u64),
        None => {
            let ticks = line("cpuacct", "cpuacct.stat", key)?;
            Some(ticks.saturating_mul(1_000_000) / ticks_per_second)
        }
    };
    let mut usage = Usage {
        name: name.to_owned(),
        user_us: cpu_us("cpuacct.usage_user", b"user"),
        system_us: cpu_us("cpuacct.usage_sys", b"system"),
        throttled_us: line("cpu", "cpu.stat", b"throttled_time").map(|ns| ns / 1000),
        memory: number("memory", "memory.usage_in_bytes"),
        swap: line("memory", "memory.stat", b"total_swap").map(|bytes| bytes as f64),
        oom_kills: line("memory", "memory.oom_control", b"oom_kill"),
        processes: number("pids", "pids.current"),
        ..Usage::default()
    };
    for file in ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"] {
        if let Ok(text) = host::read(&path("blkio", file), buf) {
            usage.read_bytes = Some(sum(text, b"Read"));
            usage.written_bytes = Some(sum(text, b"Write"));
            break;
        }
    }
    usage
}

/// The sum over devices of lines such as `8:0 Read 4096`.
fn sum(text: &[u8], operation: &[u8]) -> u64 {
    let of_line = |line| {
        let mut fields = scan::fields(line);
        let (_, named, bytes) = (fields.next()?, fields.next()?, fields.next()?);
        if named == operation { scan::u64(bytes) } else { None }
    };
    scan::lines(text).filter_map(of_line).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proto::exposition::Exposition;

    use super::super::CgroupResources;
    use crate::collector::Collector;

    #[test]
    fn groups_of_all_trees() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("systemd/system.slice/ssh.service/tasks", "1\n");
        write("systemd/system.slice/old.service/tasks", "2\n");
        write("systemd/docker/0123abcd/tasks", "3\n");
        write("systemd/else/tasks", "");
        write("cpuacct/system.slice/ssh.service/cpuacct.usage_user", "1500000000\n");
        write("cpuacct/system.slice/ssh.service/cpuacct.usage_sys", "250000000\n");
        write("cpuacct/system.slice/old.service/cpuacct.stat", "user 300\nsystem 7\n");
        write("cpu/system.slice/ssh.service/cpu.stat", "nr_periods 1\nthrottled_time 2000000000\n");
        write("memory/docker/0123abcd/memory.usage_in_bytes", "4096\n");
        write("memory/docker/0123abcd/memory.stat", "swap 1\ntotal_swap 8192\n");
        write(
            "memory/docker/0123abcd/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        );
        write("pids/docker/0123abcd/pids.current", "5\n");
        write(
            "blkio/docker/0123abcd/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 10\n8:0 Write 1\n8:0 Total 11\n8:16 Read 5\nTotal 16\n",
        );
        let mut collector = CgroupResources { root: folder.path().to_owned(), buf: Vec::new() };
        let mut out = Exposition::new();
        collector.collect(&mut out).unwrap();
        let text = out.to_text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"watchpost_cgroup_cpu_seconds_total{cgroup="system.slice/old.service",mode="user"} 3"#,
                r#"watchpost_cgroup_cpu_seconds_total{cgroup="system.slice/old.service",mode="system"} 0.07"#,
                r#"watchpost_cgroup_cpu_seconds_total{cgroup="system.slice/ssh.service",mode="user"} 1.5"#,
                r#"watchpost_cgroup_cpu_seconds_total{cgroup="system.slice/ssh.service",mode="system"} 0.25"#,
                r#"watchpost_cgroup_cpu_throttled_seconds_total{cgroup="system.slice/ssh.service"} 2"#,
                r#"watchpost_cgroup_io_bytes_total{cgroup="docker/0123abcd",direction="read"} 15"#,
                r#"watchpost_cgroup_io_bytes_total{cgroup="docker/0123abcd",direction="write"} 1"#,
                r#"watchpost_cgroup_memory_bytes{cgroup="docker/0123abcd"} 4096"#,
                r#"watchpost_cgroup_oom_kills_total{cgroup="docker/0123abcd"} 3"#,
                r#"watchpost_cgroup_processes{cgroup="docker/0123abcd"} 5"#,
                r#"watchpost_cgroup_swap_bytes{cgroup="docker/0123abcd"} 8192"#,
            ]
        );
    }
}
