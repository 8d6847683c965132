//! Which Windows this is, and what the machine is called.

use proto::exposition::{Exposition, Kind};

/// The first build of Windows 11; the registry goes on calling that "Windows 10".
const WINDOWS_11_BUILD: u32 = 22_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) product: String,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) build: u32,
    /// `None` where the registry does not say.
    pub(super) revision: Option<u32>,
    pub(super) installation_type: String,
    /// In seconds since the Unix epoch.
    pub(super) installed_at: Option<u64>,
    pub(super) names: Names,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) hostname: String,
    /// Empty outside of a domain.
    pub(super) domain: String,
}

impl Names {
    /// The name with its domain.
    pub(super) fn full(&self) -> String {
        match self.domain.as_str() {
            "" => self.hostname.clone(),
            domain => format!("{}.{domain}", self.hostname),
        }
    }
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    let mut product = facts.product.trim().to_owned();
    if facts.build >= WINDOWS_11_BUILD {
        product = product.replacen(" 10 ", " 11 ", 1);
    }
    let version = format!("{}.{}.{}", facts.major, facts.minor, facts.build);
    let revision = facts.revision.map(|revision| revision.to_string()).unwrap_or_default();
    out.family("windows_os_info", "Contains full product name & version in labels.", Kind::Gauge)
        .sample(
            &[
                ("product", &product),
                ("version", &version),
                ("major_version", &facts.major.to_string()),
                ("minor_version", &facts.minor.to_string()),
                ("build_number", &facts.build.to_string()),
                ("revision", &revision),
                ("installation_type", &facts.installation_type),
            ],
            1.0,
        );
    let Names { hostname, domain } = &facts.names;
    out.family(
        "windows_os_hostname",
        "Labelled system hostname information as provided by ComputerSystem.DNSHostName and ComputerSystem.Domain",
        Kind::Gauge,
    )
    .sample(
        &[("domain", domain), ("fqdn", &facts.names.full()), ("hostname", hostname)],
        1.0,
    );
    if let Some(seconds) = facts.installed_at {
        out.gauge(
            "windows_os_install_time_timestamp_seconds",
            "Unix timestamp of OS installation time",
            seconds as f64,
        );
    }
}
