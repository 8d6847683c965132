//! Which weaknesses the CPUs have and what is done about them, from `/sys/devices/system/cpu/vulnerabilities`. Off by
//! default, as in node_exporter.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::host;

struct Vulnerabilities {
    folder: PathBuf,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Vulnerabilities { folder: setup.host.sys("devices/system/cpu/vulnerabilities") }))
}

impl Collector for Vulnerabilities {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names =
            host::names(&self.folder).map_err(|err| err.or_no_data("list of vulnerabilities"))?;
        let mut family = out.family(
            "node_cpu_vulnerabilities_info",
            "Details of each CPU vulnerability reported by sysfs. The value of the series is an int encoded state of the vulnerability. The same state is stored as a string in the label",
            Kind::Gauge,
        );
        for name in names {
            let Some(text) = host::text(&self.folder.join(&name)) else { continue };
            let (state, mitigation) = parse(&text);
            family
                .sample(&[("codename", &name), ("mitigation", mitigation), ("state", state)], 1.0);
        }
        Ok(())
    }
}

/// State and what is done, of `Not affected`, `Vulnerable: no microcode` or `Mitigation: PTI`.
fn parse(text: &str) -> (&'static str, &str) {
    for (beginning, state) in [
        ("Not affected", "not affected"),
        ("Vulnerable", "vulnerable"),
        ("Mitigation", "mitigation"),
    ] {
        if let Some(rest) = text.strip_prefix(beginning) {
            return (state, rest.trim_start_matches([':', ' ', ',', ';']));
        }
    }
    ("unknown", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        for (text, state, mitigation) in [
            ("Not affected", "not affected", ""),
            ("Vulnerable", "vulnerable", ""),
            ("Vulnerable: No microcode", "vulnerable", "No microcode"),
            ("Mitigation: PTI; SMT off", "mitigation", "PTI; SMT off"),
            ("KVM: Vulnerable", "unknown", "KVM: Vulnerable"),
            ("", "unknown", ""),
        ] {
            assert_eq!(parse(text), (state, mitigation), "{text}");
        }
    }
}
