//! One probe from beginning to end: a module, a target, a deadline, an outcome.

mod dns;
mod grpc;
pub(crate) mod http;
mod icmp;
pub(crate) mod json;
mod stream;
mod timeline;

use std::{collections::BTreeMap, time::Duration};

use proto::exposition::{Exposition, Kind};
use tokio::time::Instant;

use crate::{
    config::{Module, Prober, Resolver},
    dial::{Guard, Names, Resolution},
    failure::{Failure, Phase, Reason},
    log::{Level, Log},
    tls::SystemRoots,
};

/// What a request for a probe may say besides module and target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Sent as `Host`, and the name that the certificate must prove.
    pub hostname: Option<String>,
    /// All parameters of the request, for modules whose requests are templates.
    pub values: BTreeMap<String, String>,
}

/// What came of a probe.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything measured, `probe_success` and `probe_duration_seconds` included.
    pub metrics: Exposition,
    pub duration: Duration,
    /// Why it failed; `None` for a success.
    pub failure: Option<Failure>,
    /// What the probe told about its course, in lines.
    pub log: String,
    /// Seconds by phase in the order of their course, where the prober has phases.
    pub phases: Vec<(&'static str, Duration)>,
}

impl Outcome {
    pub fn success(&self) -> bool {
        self.failure.is_none()
    }
}

/// What all probers get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) target: &'a str,
    pub(crate) params: &'a Params,
    pub(crate) guard: &'a Guard,
    pub(crate) log: &'a Log,
    pub(crate) roots: &'a SystemRoots,
    /// The DNS servers that the module names.
    pub(crate) resolver: &'a Resolver,
    /// When the probe is cut off.
    pub(crate) deadline: Instant,
}

impl<'a> Context<'a> {
    /// How the names of targets become addresses.
    pub(crate) fn names(&self) -> Names<'a> {
        Names { resolver: self.resolver, guard: self.guard, log: self.log }
    }

    /// The same for proxies and token endpoints, which are the operator's own, wherever they stand.
    pub(crate) fn unguarded_names(&self) -> Names<'a> {
        Names { guard: &Guard::Open, ..self.names() }
    }
}

/// What a prober has found out so far. It outlives the prober, which may be cut off at any point by the deadline.
pub(crate) trait Facts {
    /// Where the prober is now: the phase in which the deadline struck.
    fn phase(&self) -> Phase;
    fn write(&self, out: &mut Exposition);
    fn phases(&self) -> Vec<(&'static str, Duration)>;
}

/// One probe to be made.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) module_name: &'a str,
    pub(crate) module: &'a Module,
    pub(crate) target: &'a str,
    pub(crate) params: &'a Params,
    pub(crate) timeout: Duration,
    pub(crate) guard: &'a Guard,
    pub(crate) roots: &'a SystemRoots,
    pub(crate) log_level: Level,
}

/// Makes a probe. It ends at the deadline whatever the other side does.
pub(crate) async fn run(job: &Job<'_>) -> Outcome {
    let log = Log::new(job.log_level, job.module_name, job.target);
    let started = Instant::now();
    let deadline = started + job.timeout;
    log.info(
        "Beginning probe",
        &[("probe", &job.module.prober.name()), ("timeout_seconds", &job.timeout.as_secs_f64())],
    );
    let ctx = Context {
        target: job.target,
        params: job.params,
        guard: job.guard,
        log: &log,
        roots: job.roots,
        resolver: &job.module.resolver,
        deadline,
    };
    let mut metrics = Exposition::new();
    let (result, phases) = match job.module.prober {
        Prober::Http => {
            let mut facts = http::Facts::default();
            let result = within(deadline, http::probe(&job.module.http, &ctx, &mut facts)).await;
            finish(result, &facts, &mut metrics)
        }
        Prober::Tcp => {
            let mut facts = stream::Facts::default();
            let result = within(deadline, stream::tcp(&job.module.tcp, &ctx, &mut facts)).await;
            finish(result, &facts, &mut metrics)
        }
        Prober::Dns => {
            let mut facts = dns::Facts::default();
            let config = job.module.dns.clone().unwrap_or_default();
            let result = within(deadline, dns::probe(&config, &ctx, &mut facts)).await;
            finish(result, &facts, &mut metrics)
        }
        Prober::Icmp => {
            let mut facts = icmp::Facts::default();
            let result = within(deadline, icmp::probe(&job.module.icmp, &ctx, &mut facts)).await;
            finish(result, &facts, &mut metrics)
        }
        Prober::Grpc => {
            let mut facts = grpc::Facts::default();
            let result = within(deadline, grpc::probe(&job.module.grpc, &ctx, &mut facts)).await;
            finish(result, &facts, &mut metrics)
        }
        Prober::Json => {
            let mut facts = json::Facts::default();
            let result = within(deadline, json::probe(&job.module.json, &ctx, &mut facts)).await;
            finish(result, &facts, &mut metrics)
        }
        Prober::Unix => {
            let mut facts = stream::Facts::default();
            let result = within(deadline, stream::unix(&job.module.unix, &ctx, &mut facts)).await;
            finish(result, &facts, &mut metrics)
        }
    };
    let duration = started.elapsed();
    match &result {
        Ok(()) => log.info("Probe succeeded", &[("duration_seconds", &duration.as_secs_f64())]),
        Err(failure) => {
            log.error(
                &failure.message,
                &[("phase", &failure.phase.name()), ("reason", &failure.reason)],
            );
            log.error("Probe failed", &[("duration_seconds", &duration.as_secs_f64())]);
        }
    }
    let failure = result.err();
    write_common(&mut metrics, job.timeout, duration, failure.as_ref());
    Outcome { metrics, duration, failure, log: log.text(), phases }
}

/// `None` where the deadline struck first.
async fn within(
    deadline: Instant,
    probe: impl Future<Output = Result<(), Failure>>,
) -> Option<Result<(), Failure>> {
    tokio::time::timeout_at(deadline, probe).await.ok()
}

type Finished = (Result<(), Failure>, Vec<(&'static str, Duration)>);

fn finish(
    result: Option<Result<(), Failure>>,
    facts: &impl Facts,
    metrics: &mut Exposition,
) -> Finished {
    facts.write(metrics);
    let result = result.unwrap_or_else(|| {
        let phase = facts.phase();
        Err(Failure::new(
            phase,
            Reason::Timeout,
            format!("The time was over in the phase {}", phase.name()),
        ))
    });
    (result, facts.phases())
}

fn write_common(
    out: &mut Exposition,
    timeout: Duration,
    duration: Duration,
    failure: Option<&Failure>,
) {
    out.gauge(
        "probe_success",
        "Displays whether or not the probe was a success",
        f64::from(u8::from(failure.is_none())),
    );
    out.gauge(
        "probe_duration_seconds",
        "Returns how long the probe took to complete in seconds",
        duration.as_secs_f64(),
    );
    out.gauge(
        "probe_timeout_seconds",
        "Returns the timeout in seconds that applied to the probe",
        timeout.as_secs_f64(),
    );
    if let Some(failure) = failure {
        out.family(
            "probe_failure_info",
            "Where and why the probe failed; absent when it succeeded",
            Kind::Gauge,
        )
        .sample(&[("phase", failure.phase.name()), ("reason", failure.reason.name())], 1.0);
    }
}

/// The families of every prober that looks a name up.
pub(crate) fn write_resolution(out: &mut Exposition, resolution: &Resolution) {
    out.gauge(
        "probe_dns_lookup_time_seconds",
        "Returns the time taken for probe dns lookup in seconds",
        resolution.lookup().as_secs_f64(),
    );
    out.gauge(
        "probe_ip_protocol",
        "Specifies whether probe ip protocol is IP4 or IP6",
        resolution.protocol(),
    );
    out.gauge(
        "probe_ip_addr_hash",
        "Specifies the hash of IP address. It's useful to detect if the IP address changes.",
        resolution.hash(),
    );
}
