//! This process, from `/proc/self`.

use std::path::Path;

use proto::exposition::Exposition;

use crate::{host, scan};

/// The `process_*` families, from our own `/proc/self` whatever `--path.procfs` says.
pub(super) fn write(out: &mut Exposition) {
    let Ok(stat) = host::attribute(Path::new("/proc/self/stat")) else { return };
    let Some(process) = Process::parse(&stat) else { return };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    out.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        process.cpu_ticks / ticks,
    );
    out.gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        process.rss_pages * rustix::param::page_size() as f64,
    );
    out.gauge(
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        process.virtual_bytes,
    );
    if let Some(boot) = boot_time() {
        out.gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            boot + process.start_ticks / ticks,
        );
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // Without the one that lists them.
        let n_open = entries.count().saturating_sub(1) as f64;
        out.gauge("process_open_fds", "Number of open file descriptors.", n_open);
    }
    let limit = |which| match rustix::process::getrlimit(which).current {
        Some(limit) => limit as f64,
        None => -1.0,
    };
    out.gauge(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        limit(rustix::process::Resource::Nofile),
    );
    out.gauge(
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory available in bytes.",
        match limit(rustix::process::Resource::As) {
            // What client_golang shows for "unlimited".
            -1.0 => u64::MAX as f64,
            bytes => bytes,
        },
    );
}

/// When the machine started, in seconds since the Unix epoch. It moves when the clock is set, so it is read once.
fn boot_time() -> Option<f64> {
    static BOOT: std::sync::OnceLock<Option<f64>> = std::sync::OnceLock::new();
    *BOOT.get_or_init(|| {
        let mut buf = Vec::new();
        let stat = host::read(Path::new("/proc/stat"), &mut buf).ok()?;
        scan::lines(stat).find_map(|line| scan::f64(line.strip_prefix(b"btime ")?))
    })
}

/// The fields of `/proc/<pid>/stat` that we show; see `proc_pid_stat(5)`.
struct Process {
    cpu_ticks: f64,
    start_ticks: f64,
    virtual_bytes: f64,
    rss_pages: f64,
}

impl Process {
    fn parse(stat: &[u8]) -> Option<Self> {
        // The command may hold spaces and parentheses; what follows the last one may not.
        let after = memchr::memrchr(b')', stat)? + 1;
        let fields: Vec<&[u8]> = scan::fields(&stat[after..]).collect();
        // Field 3 of the man page is the first one here.
        let field = |number: usize| scan::f64(fields.get(number - 3)?);
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            rss_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_parentheses() {
        let stat = b"7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 11 22 0 0 20 0 3 0 500 1000 42 18446744073709551615";
        let process = Process::parse(stat).unwrap();
        assert_eq!(
            (process.cpu_ticks, process.start_ticks, process.virtual_bytes, process.rss_pages),
            (33.0, 500.0, 1000.0, 42.0)
        );
        for garbage in [&b""[..], b"7 (a", b"7 (a) S 1", b")"] {
            assert!(Process::parse(garbage).is_none());
        }
    }
}
