//! How often cores and packages were throttled for heat, from `/sys/devices/system/cpu`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use crate::host::{self, Host};

pub(super) struct Throttle {
    host: Host,
    /// The CPUs seen when `sources` was found; a different number makes us look again.
    n_cpus: usize,
    sources: Vec<Source>,
}

/// Where one core's, or one package's, count is found.
struct Source {
    count: PathBuf,
    package: String,
    /// `None` for the count of a package.
    core: Option<String>,
}

impl Throttle {
    pub(super) fn new(host: Host) -> Self {
        Self { host, n_cpus: 0, sources: Vec::new() }
    }

    pub(super) fn collect(&mut self, n_cpus: usize, out: &mut Exposition) {
        if n_cpus != self.n_cpus {
            self.sources = self.find();
            self.n_cpus = n_cpus;
        }
        for source in &self.sources {
            let Some(count) = host::number(&source.count) else { continue };
            match &source.core {
                Some(core) => out
                    .family(
                        "node_cpu_core_throttles_total",
                        "Number of times this CPU core has been throttled.",
                        Kind::Counter,
                    )
                    .sample(&[("package", &source.package), ("core", core)], count),
                None => out
                    .family(
                        "node_cpu_package_throttles_total",
                        "Number of times this CPU package has been throttled.",
                        Kind::Counter,
                    )
                    .sample(&[("package", &source.package)], count),
            };
        }
    }

    /// One source for each core and each package, though every one of their CPUs has the files.
    fn find(&self) -> Vec<Source> {
        let root = self.host.sys("devices/system/cpu");
        let mut sources: Vec<Source> = Vec::new();
        for name in host::names(&root).unwrap_or_default() {
            let is_cpu = name
                .strip_prefix("cpu")
                .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
            if !is_cpu {
                continue;
            }
            let cpu = root.join(&name);
            let id = |file: &str| {
                host::text(&cpu.join("topology").join(file))
                    .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            };
            let (Some(package), Some(core)) = (id("physical_package_id"), id("core_id")) else {
                continue;
            };
            for (file, core) in
                [("core_throttle_count", Some(core)), ("package_throttle_count", None)]
            {
                let count = cpu.join("thermal_throttle").join(file);
                let is_new =
                    !sources.iter().any(|known| known.package == package && known.core == core);
                if is_new && count.exists() {
                    sources.push(Source { count, package: package.clone(), core });
                }
            }
        }
        sources
    }
}
