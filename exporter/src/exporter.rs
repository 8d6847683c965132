//! The exporter as a value: made from a configuration, asked for what it sees.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use proto::exposition::{Exposition, Kind};
use tracing::{debug, info, warn};

use crate::{
    Config, Filter, FilterError,
    collector::{
        Collector, OptionError, Setup,
        entry::{Entry, NotBuilt},
        names::OWN,
        table,
    },
    gzip::Gzip,
    runner::{Failure, Report, Runner},
    self_metrics::SelfMetrics,
};

/// Sees this machine. Cheap to clone.
#[derive(Clone)]
pub struct Exporter(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    runner: Runner,
    /// The memory of an earlier scrape, for the next one.
    spare: Mutex<Option<Exposition>>,
    pub(crate) gzip: Gzip,
    pub(crate) own: SelfMetrics,
    /// What pushing counts, where this program pushes.
    pushed: OnceLock<Arc<push::Stats>>,
    pub(crate) telemetry_path: String,
    pub(crate) max_requests: usize,
    pub(crate) timeout: Duration,
}

impl Exporter {
    /// Makes the collectors that are switched on; an error names the flag that is wrong.
    pub fn new(config: &Config) -> Result<Self, OptionError> {
        if !config.telemetry_path.starts_with('/') || config.telemetry_path == "/" {
            return Err(OptionError::Value {
                flag: "web.telemetry-path",
                value: config.telemetry_path.clone(),
                problem: "is not a path below /, such as /metrics",
            });
        }
        let setup = Setup {
            options: &config.options,
            #[cfg(target_os = "linux")]
            selection: &config.selection,
            #[cfg(target_os = "linux")]
            host: &crate::host::Host::at(&config.paths),
            #[cfg(target_os = "linux")]
            links: &crate::netlink::SharedLinks::default(),
        };
        let mut collectors: Vec<(&'static str, Box<dyn Collector>)> = Vec::new();
        let implied =
            |entry: &Entry| entry.name == "services" && !config.options.services.is_empty();
        for entry in table::ENTRIES {
            if !config.selection.is_on(entry, implied(entry)) {
                continue;
            }
            let collector = match entry.open {
                Some(open) => open(&setup)?,
                None => {
                    warn!(
                        collector = entry.name,
                        "collector {} is not part of this program: its metrics will be missing",
                        entry.name
                    );
                    Box::new(NotBuilt(entry.name))
                }
            };
            collectors.push((entry.name, collector));
        }
        info!(collectors = collectors.len(), "watching {}", watched(config));
        for (name, _) in &collectors {
            debug!(collector = name, "collector {name} is on");
        }
        Ok(Self(Arc::new(Inner {
            runner: Runner::new(collectors),
            spare: Mutex::new(None),
            gzip: Gzip::new(),
            own: SelfMetrics::new(!config.disable_exporter_metrics),
            pushed: OnceLock::new(),
            telemetry_path: config.telemetry_path.clone(),
            max_requests: config.max_requests,
            timeout: config.timeout.0,
        })))
    }

    /// Whether `filter` names only collectors that run.
    pub fn check(&self, filter: &Filter) -> Result<(), FilterError> {
        for name in filter.names() {
            if self.0.runner.names().any(|running| running == name) {
                continue;
            }
            return Err(match table::ENTRIES.iter().any(|entry| entry.name == name) {
                true => FilterError::Disabled(name.clone()),
                false => FilterError::Missing(name.clone()),
            });
        }
        Ok(())
    }

    /// What a scrape returns: everything that the collectors have to say before `deadline`.
    ///
    /// A collector that is late or fails is missing and says so in `node_scrape_collector_success` (on Windows
    /// `windows_exporter_collector_success`). Cancel-safe.
    pub async fn collect(&self, deadline: Instant, filter: &Filter) -> Exposition {
        let inner = &*self.0;
        let spare = inner.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let members: Vec<usize> = inner
            .runner
            .names()
            .enumerate()
            .filter(|(_, name)| filter.wants(name))
            .map(|(position, _)| position)
            .collect();
        let (mut out, mut reports) =
            inner.runner.run(members, deadline, spare.unwrap_or_default()).await;
        reports.sort_unstable_by_key(|report| report.collector);
        write_reports(&mut out, &reports);
        write_build_info(&mut out);
        inner.own.write(&mut out);
        if let Some(pushed) = inner.pushed.get() {
            pushed.write(&mut out);
        }
        out
    }

    /// Shows what pushing counts with everything else, once and for all.
    pub(crate) fn show(&self, pushed: Arc<push::Stats>) {
        let _ = self.0.pushed.set(pushed);
    }

    /// Takes an [`Exposition`] back when its reader is done, so that the next scrape can use its memory.
    pub fn recycle(&self, mut exposition: Exposition) {
        exposition.clear();
        *self.0.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(exposition);
    }
}

/// What the collectors look at, for the log.
fn watched(config: &Config) -> String {
    match cfg!(target_os = "linux") {
        true => config.paths.rootfs.display().to_string(),
        false => "this machine".to_owned(),
    }
}

fn write_reports(out: &mut Exposition, reports: &[Report]) {
    let (name, help) = OWN.duration;
    let mut durations = out.family(name, help, Kind::Gauge);
    for report in reports {
        durations.sample(&[("collector", report.collector)], report.duration.as_secs_f64());
    }
    let (name, help) = OWN.success;
    let mut successes = out.family(name, help, Kind::Gauge);
    for report in reports {
        let success = if report.failure.is_none() { 1.0 } else { 0.0 };
        successes.sample(&[("collector", report.collector)], success);
    }
    if let Some((name, help)) = OWN.timeout {
        let mut timeouts = out.family(name, help, Kind::Gauge);
        for report in reports {
            let is_late = report.failure == Some(Failure::Timeout);
            timeouts.sample(&[("collector", report.collector)], f64::from(u8::from(is_late)));
        }
    }
    let mut failures = out.family(
        "watchpost_exporter_collector_failure_info",
        "Why a collector has nothing to say. The value is always 1.",
        Kind::Gauge,
    );
    for report in reports {
        if let Some(reason) = report.failure.map(Failure::as_str) {
            failures.sample(&[("collector", report.collector), ("reason", reason)], 1.0);
        }
    }
}

fn write_build_info(out: &mut Exposition) {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let labels = [
        ("branch", ""),
        ("goarch", arch),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", ""),
        ("tags", "watchpost"),
        ("version", OWN.version),
    ];
    let (name, help) = OWN.build_info;
    out.family(name, help, Kind::Gauge).sample(&labels, 1.0);
    out.family(
        "watchpost_exporter_build_info",
        "Which version of Watchpost this is. The value is always 1.",
        Kind::Gauge,
    )
    .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
}
