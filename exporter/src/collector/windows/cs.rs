//! The machine as a whole, under names that windows_exporter had until 0.30 and that many dashboards still ask for.

use proto::exposition::{Exposition, Kind};

use super::os::Names;

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) names: Names,
    pub(super) n_processors: usize,
    pub(super) physical_bytes: u64,
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    out.gauge(
        "windows_cs_logical_processors",
        "ComputerSystem.NumberOfLogicalProcessors",
        facts.n_processors as f64,
    );
    out.gauge(
        "windows_cs_physical_memory_bytes",
        "ComputerSystem.TotalPhysicalMemory",
        facts.physical_bytes as f64,
    );
    let Names { hostname, domain } = &facts.names;
    out.family(
        "windows_cs_hostname",
        "Labelled system hostname information as provided by ComputerSystem.DNSHostName and ComputerSystem.Domain",
        Kind::Gauge,
    )
    .sample(
        &[("hostname", hostname), ("domain", domain), ("fqdn", &facts.names.full())],
        1.0,
    );
}
