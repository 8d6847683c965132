//! This very machine, where it is no Linux: every collector that runs by default has something to say.

#![cfg(not(target_os = "linux"))]

use std::time::{Duration, Instant};

use exporter::{Config, Exporter, Filter};

/// Collectors and what each must show, with a value that is not 0.
#[cfg(target_os = "macos")]
const EXPECTED: &[(&str, &[&str])] = &[
    ("boottime", &["node_boot_time_seconds "]),
    ("cpu", &["node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} "]),
    ("diskstats", &[]),
    ("filesystem", &["node_filesystem_size_bytes{", "node_filesystem_files{"]),
    ("loadavg", &["node_load1 "]),
    ("meminfo", &["node_memory_total_bytes ", "node_memory_active_bytes "]),
    ("netdev", &["node_network_receive_bytes_total{device=\"lo0\"} "]),
    ("os", &["node_os_info{", "node_os_version{"]),
    ("textfile", &[]),
    ("time", &["node_time_seconds "]),
    ("uname", &["node_uname_info{sysname=\"Darwin\""]),
];
#[cfg(windows)]
const EXPECTED: &[(&str, &[&str])] = &[
    (
        "cpu",
        &["windows_cpu_time_total{core=\"0,0\",mode=\"idle\"} ", "windows_cpu_logical_processor "],
    ),
    ("logical_disk", &["windows_logical_disk_size_bytes{volume=\"C:\"} "]),
    ("memory", &["windows_memory_physical_total_bytes ", "windows_memory_committed_bytes "]),
    ("net", &["windows_net_nic_info{nic="]),
    ("os", &["windows_os_info{product=\"Windows", "windows_os_hostname{"]),
    ("pagefile", &[]),
    ("service", &["windows_service_state{name=\"EventLog\",state=\"running\"} "]),
    ("system", &["windows_system_processes ", "windows_system_boot_time_timestamp "]),
    ("textfile", &[]),
];

#[tokio::test]
async fn every_collector_sees_something() {
    let exporter = Exporter::new(&Config::default()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let text = exporter.collect(deadline, &Filter::All).await.to_text();
    let success = if cfg!(windows) {
        "windows_exporter_collector_success"
    } else {
        "node_scrape_collector_success"
    };
    for (collector, beginnings) in EXPECTED {
        let line = format!("{success}{{collector=\"{collector}\"}} 1");
        assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
        for beginning in *beginnings {
            let is_there = |line: &str| line.starts_with(beginning) && !line.ends_with(" 0");
            assert!(text.lines().any(is_there), "no {beginning} in:\n{text}");
        }
    }
    assert!(!text.contains("watchpost_exporter_collector_failure_info{"), "{text}");
}
