//! The names of the kernel and of this machine, from uname(3).

use proto::exposition::{Exposition, Kind};

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) sysname: String,
    pub(super) release: String,
    pub(super) version: String,
    pub(super) machine: String,
    /// With the domain, where it has one.
    pub(super) nodename: String,
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    // There is no domain in the answer, so that it is taken from the name, as node_exporter does.
    let (node, domain) = facts.nodename.split_once('.').unwrap_or((&facts.nodename, "(none)"));
    out.family(
        "node_uname_info",
        "Labeled system information as provided by the uname system call.",
        Kind::Gauge,
    )
    .sample(
        &[
            ("sysname", facts.sysname.as_str()),
            ("release", &facts.release),
            ("version", &facts.version),
            ("machine", &facts.machine),
            ("nodename", node),
            ("domainname", domain),
        ],
        1.0,
    );
}
