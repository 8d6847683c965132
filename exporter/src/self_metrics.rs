//! What the exporter says about itself: `promhttp_*` and `process_*`, as programs in Go do.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use proto::exposition::{Exposition, Kind};

use crate::{host, scan};

/// Counters of the page and figures of the process.
#[derive(Debug)]
pub(crate) struct SelfMetrics {
    shown: bool,
    in_flight: AtomicUsize,
    answered: [AtomicU64; 3],
    encoding_errors: AtomicU64,
    gathering_errors: AtomicU64,
}

/// The status codes that the page answers with, by their positions in [`CODES`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    Ok = 0,
    ServiceUnavailable = 2,
}

/// 500 never happens here and is shown for the queries that ask for it.
const CODES: [&str; 3] = ["200", "500", "503"];

impl SelfMetrics {
    pub(crate) fn new(shown: bool) -> Self {
        Self {
            shown,
            in_flight: AtomicUsize::new(0),
            answered: [const { AtomicU64::new(0) }; 3],
            encoding_errors: AtomicU64::new(0),
            gathering_errors: AtomicU64::new(0),
        }
    }

    /// Counts a scrape in; `None` when `max` are in flight already (0 is without limit).
    pub(crate) fn enter(&self, max: usize) -> Option<InFlight<'_>> {
        let guard = InFlight(self);
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        (max == 0 || before < max).then_some(guard)
    }

    pub(crate) fn answered(&self, code: Code) {
        self.answered[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, out: &mut Exposition) {
        if !self.shown {
            return;
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let mut requests = out.family(
            "promhttp_metric_handler_requests_total",
            "Total number of scrapes by HTTP status code.",
            Kind::Counter,
        );
        for (code, count) in CODES.iter().zip(&self.answered) {
            requests.sample(&[("code", code)], load(count));
        }
        out.gauge(
            "promhttp_metric_handler_requests_in_flight",
            "Current number of scrapes being served.",
            self.in_flight.load(Ordering::Relaxed) as f64,
        );
        out.family(
            "promhttp_metric_handler_errors_total",
            "Total number of internal errors encountered by the promhttp metric handler.",
            Kind::Counter,
        )
        .sample(&[("cause", "encoding")], load(&self.encoding_errors))
        .sample(&[("cause", "gathering")], load(&self.gathering_errors));
        write_process(out);
    }
}

/// One scrape in flight.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a SelfMetrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The `process_*` families, from our own `/proc/self` whatever `--path.procfs` says.
fn write_process(out: &mut Exposition) {
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

    #[test]
    fn at_most_so_many_at_a_time() {
        let own = SelfMetrics::new(true);
        let first = own.enter(1).unwrap();
        assert!(own.enter(1).is_none());
        assert!(own.enter(0).is_some());
        drop(first);
        assert!(own.enter(1).is_some());
    }
}
