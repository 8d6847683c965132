//! `process_*`: what every Prometheus client library says about its process. From procfs, so on Linux only.
//!
//! Source: `proc_pid_stat(5)`, `proc_pid_limits(5)`.

use prometheus_client::registry::Registry;

#[cfg(not(target_os = "linux"))]
pub(super) fn register(_registry: &mut Registry) {}

#[cfg(target_os = "linux")]
pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(linux::Process::new()));
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fmt, fs};

    use prometheus_client::{
        collector::Collector,
        encoding::{DescriptorEncoder, EncodeMetric},
        metrics::{counter::ConstCounter, gauge::ConstGauge},
    };

    /// Reads this process' files in /proc on each scrape. A file that cannot be read leaves out its families.
    #[derive(Debug)]
    pub(super) struct Process {
        ticks_per_second: f64,
        page_bytes: f64,
        /// Fixed at the start: computed later it would move with each correction of the clock.
        start_seconds: Option<f64>,
    }

    impl Process {
        pub(super) fn new() -> Self {
            let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
            let start_seconds = || {
                let boot = fs::read_to_string("/proc/stat").ok()?;
                let boot_seconds: f64 =
                    boot.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
                let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
                Some(boot_seconds + stat.start_ticks / ticks_per_second)
            };
            Self {
                ticks_per_second,
                page_bytes: rustix::param::page_size() as f64,
                start_seconds: start_seconds(),
            }
        }
    }

    impl Collector for Process {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            let stat = fs::read_to_string("/proc/self/stat").ok();
            if let Some(stat) = stat.as_deref().and_then(Stat::parse) {
                let cpu = ConstCounter::new(stat.cpu_ticks / self.ticks_per_second);
                let help = "Total user and system CPU time spent in seconds.";
                encode(&mut encoder, "process_cpu_seconds", help, &cpu)?;
                let resident = stat.resident_pages * self.page_bytes;
                gauge(
                    &mut encoder,
                    "process_resident_memory_bytes",
                    "Resident memory size in bytes.",
                    resident,
                )?;
                gauge(
                    &mut encoder,
                    "process_virtual_memory_bytes",
                    "Virtual memory size in bytes.",
                    stat.virtual_bytes,
                )?;
                gauge(&mut encoder, "process_threads", "Number of OS threads.", stat.threads)?;
            }
            if let Some(start) = self.start_seconds {
                let help = "Start time of the process since unix epoch in seconds.";
                gauge(&mut encoder, "process_start_time_seconds", help, start)?;
            }
            if let Ok(entries) = fs::read_dir("/proc/self/fd") {
                // One of them is the folder being read.
                let open = entries.count().saturating_sub(1) as f64;
                gauge(&mut encoder, "process_open_fds", "Number of open file descriptors.", open)?;
            }
            let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
            for (limit, name, help) in [
                ("Max open files", "process_max_fds", "Maximum number of open file descriptors."),
                (
                    "Max address space",
                    "process_virtual_memory_max_bytes",
                    "Maximum amount of virtual memory available in bytes.",
                ),
            ] {
                if let Some(value) = soft_limit(&limits, limit) {
                    gauge(&mut encoder, name, help, value)?;
                }
            }
            Ok(())
        }
    }

    fn gauge(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: f64,
    ) -> Result<(), fmt::Error> {
        encode(encoder, name, help, &ConstGauge::new(value))
    }

    fn encode(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        metric: &dyn EncodeMetric,
    ) -> Result<(), fmt::Error> {
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    /// The fields of `/proc/self/stat` that we show.
    #[derive(Debug, PartialEq)]
    struct Stat {
        cpu_ticks: f64,
        threads: f64,
        start_ticks: f64,
        virtual_bytes: f64,
        resident_pages: f64,
    }

    impl Stat {
        fn parse(text: &str) -> Option<Self> {
            // The name stands in parentheses and may itself contain spaces and parentheses.
            let (_, after_name) = text.rsplit_once(')')?;
            let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
            // The manual counts from 1, and the first field after the name is its third.
            let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
            Some(Self {
                cpu_ticks: field(14)? + field(15)?,
                threads: field(20)?,
                start_ticks: field(22)?,
                virtual_bytes: field(23)?,
                resident_pages: field(24)?,
            })
        }
    }

    /// `Max open files            1024                 524288               files`: the first number, where
    /// `unlimited` is what client libraries show for it, the largest 64-bit number.
    fn soft_limit(limits: &str, name: &str) -> Option<f64> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        match line.split_ascii_whitespace().next()? {
            "unlimited" => Some(u64::MAX as f64),
            number => number.parse().ok(),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::Metrics;

        #[test]
        fn a_name_with_parentheses_does_not_shift_the_fields() {
            let text = "42 (a) R (b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 1234 9000 33 18446744073709551615 1";
            let expected = Stat {
                cpu_ticks: 300.0,
                threads: 7.0,
                start_ticks: 1234.0,
                virtual_bytes: 9000.0,
                resident_pages: 33.0,
            };
            assert_eq!(Stat::parse(text), Some(expected));
            assert_eq!(Stat::parse("42 (a) S 1"), None);
            assert_eq!(Stat::parse(""), None);
        }

        #[test]
        fn limits() {
            let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                        Max open files            1024                 524288               files\n\
                        Max address space         unlimited            unlimited            bytes\n";
            assert_eq!(soft_limit(text, "Max open files"), Some(1024.0));
            assert_eq!(soft_limit(text, "Max address space"), Some(u64::MAX as f64));
            assert_eq!(soft_limit(text, "Max cpu time"), None);
        }

        #[test]
        fn the_standard_families_are_there() {
            let text = Metrics::new("demo").text();
            for name in [
                "process_cpu_seconds_total",
                "process_resident_memory_bytes",
                "process_virtual_memory_bytes",
                "process_virtual_memory_max_bytes",
                "process_start_time_seconds",
                "process_open_fds",
                "process_max_fds",
                "process_threads",
            ] {
                assert!(text.contains(&format!("\n{name} ")), "{name}\n{text}");
            }
        }
    }
}
