//! What the suite watches without being told more: this machine, its own console, and the targets of `--probe.target`.

use std::net::SocketAddr;

use blackbox::Blackbox;
use exporter::Exporter;
use service::host_name;

use super::{Addresses, Args};
use crate::feed::{Job, Source};

/// The labels `job` that the dashboards and rules expect.
const NODE_JOB: &str = "node";
const PROBE_JOB: &str = "blackbox";
const HTTP_MODULE: &str = "http_2xx";

/// Whether every probe names a module that exists.
pub(super) fn check(args: &Args, blackbox: &Blackbox) -> anyhow::Result<()> {
    let config = blackbox.config();
    for probe in &args.probe_targets {
        if !config.modules.contains_key(&probe.module) {
            let known: Vec<&str> = config.modules.keys().map(String::as_str).collect();
            anyhow::bail!(
                "--probe.target: there is no module `{}`; there are {}",
                probe.module,
                known.join(", ")
            );
        }
    }
    Ok(())
}

pub(super) fn all(
    args: &Args,
    addresses: &Addresses,
    exporter: Exporter,
    blackbox: &Blackbox,
) -> Vec<Job> {
    let mut jobs = vec![Job {
        source: Source::Exporter(exporter),
        job: NODE_JOB.to_owned(),
        instance: instance(&addresses.exporter),
        interval: args.scrape_interval.0,
    }];
    let configured = args.probe_targets.iter().map(|probe| (&*probe.module, probe.target.clone()));
    for (module, target) in own_console(addresses, blackbox).into_iter().chain(configured) {
        jobs.push(Job {
            source: Source::Probe {
                blackbox: blackbox.clone(),
                module: module.to_owned(),
                target: target.clone(),
            },
            job: PROBE_JOB.to_owned(),
            instance: target,
            interval: args.probe_interval.0,
        });
    }
    jobs
}

/// What a Prometheus that scrapes this machine by its name would set.
fn instance(addresses: &[SocketAddr]) -> String {
    let port = addresses.first().map_or(0, SocketAddr::port);
    format!("{}:{port}", host_name())
}

/// A first probe, so that nobody's first page of monitors is empty; where it would not be let in, there is none.
fn own_console(addresses: &Addresses, blackbox: &Blackbox) -> Option<(&'static str, String)> {
    let open = !addresses.is_tls && !addresses.asks_for_credentials;
    let known = blackbox.config().modules.contains_key(HTTP_MODULE);
    let address = addresses.receiver.first().filter(|_| open && known)?;
    Some((HTTP_MODULE, format!("http://{address}/-/ready")))
}
