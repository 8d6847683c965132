//! The grpc prober: one call of the standard health service.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>. The call is one HTTP/2 request with one small
//! message each way, so it is made on a connection of our own: a client library would hide the certificate and choose
//! the address itself.

mod call;

use std::{net::SocketAddr, time::Duration};

use proto::exposition::{Exposition, Kind};

use super::{Context, stream::split_host_port, timeline::Timeline, write_resolution};
use crate::{
    config::GrpcConfig,
    dial::{self, Preference, Resolution, Stream},
    failure::{Failure, Phase, Reason},
    probe,
    tls::{self, Extras, TlsFacts},
};

const PORT: u16 = 80;
const PORT_OVER_TLS: u16 = 443;
/// gRPC's numbers for what a client itself finds.
const DEADLINE_EXCEEDED: u32 = 4;
const UNAVAILABLE: u32 = 14;

/// What the health service says, in its own numbers.
const SERVING_STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: usize = 1;

/// What a grpc probe found out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    timeline: Timeline,
    resolution: Option<Resolution>,
    is_resolved: bool,
    /// As the call ended.
    status_code: Option<u32>,
    /// Position in [`SERVING_STATUSES`].
    serving_status: Option<usize>,
    tls: Option<TlsFacts>,
}

pub(super) async fn probe(
    config: &GrpcConfig,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let default_port = if config.tls { PORT_OVER_TLS } else { PORT };
    let (host, port) = split_host_port(ctx.target).unwrap_or((ctx.target, default_port));
    facts.timeline.enter(Phase::Resolve);
    let preference =
        Preference { family: config.preferred_ip_protocol, fallback: config.ip_protocol_fallback };
    let resolution = facts.resolution.insert(Resolution::default());
    let ip = ctx.names().resolve(host, preference, resolution).await?;
    facts.is_resolved = true;
    let stream =
        connect(config, ctx, SocketAddr::new(ip, port), host, facts).await.inspect_err(|_| {
            // What a gRPC client says of a server that it cannot reach.
            facts.status_code = Some(UNAVAILABLE);
        })?;
    facts.timeline.enter(Phase::Processing);
    ctx.log.info("Calling the health service", &[("service", &config.service)]);
    let health =
        call::check(stream, config, &format!("{host}:{port}")).await.inspect_err(|_| {
            facts.status_code = Some(UNAVAILABLE);
        })?;
    facts.timeline.enter(Phase::Validate);
    facts.status_code = Some(health.status_code);
    ctx.log
        .info("Call ended", &[("status_code", &health.status_code), ("message", &health.message)]);
    if health.status_code != 0 {
        let message = format!(
            "The health service answered with gRPC status {}: {}",
            health.status_code, health.message
        );
        return Err(Failure::new(Phase::Validate, Reason::GrpcStatus, message));
    }
    let serving = usize::try_from(health.serving_status)
        .ok()
        .filter(|n| *n < SERVING_STATUSES.len())
        .unwrap_or(0);
    facts.serving_status = Some(serving);
    if serving == SERVING {
        return Ok(());
    }
    let message = format!("The service's status is {}", SERVING_STATUSES[serving]);
    Err(Failure::new(Phase::Validate, Reason::NotServing, message))
}

async fn connect(
    config: &GrpcConfig,
    ctx: &Context<'_>,
    address: SocketAddr,
    host: &str,
    facts: &mut Facts,
) -> Result<Stream, Failure> {
    facts.timeline.enter(Phase::Connect);
    let stream = dial::connect(address, None).await?;
    if !config.tls {
        return Ok(Stream::Plain(stream));
    }
    facts.timeline.enter(Phase::Tls);
    let client = tls::Client::new(&config.tls_config, ctx.roots)?;
    let name = match config.tls_config.server_name.as_str() {
        "" => host,
        name => name,
    };
    let tls_facts = facts.tls.insert(TlsFacts::default());
    Ok(Stream::Tls(Box::new(client.handshake(stream, name, &[b"h2"], tls_facts).await?)))
}

impl probe::Facts for Facts {
    fn phase(&self) -> Phase {
        self.timeline.phase()
    }

    fn phases(&self) -> Vec<(&'static str, Duration)> {
        self.timeline.all()
    }

    fn write(&self, out: &mut Exposition) {
        if let Some(resolution) = &self.resolution {
            write_resolution(out, resolution);
        }
        let time = |phase| self.timeline.time_of(phase).unwrap_or_default();
        let mut phases = out.family(
            "probe_grpc_duration_seconds",
            "Duration of gRPC request by phase",
            Kind::Gauge,
        );
        phases.sample(&[("phase", "resolve")], time(Phase::Resolve).as_secs_f64());
        if self.is_resolved {
            let check = time(Phase::Connect) + time(Phase::Tls) + time(Phase::Processing);
            phases.sample(&[("phase", "check")], check.as_secs_f64());
        }
        let has_tls = self.tls.as_ref().is_some_and(TlsFacts::is_established);
        out.gauge(
            "probe_grpc_ssl",
            "Indicates if SSL was used for the connection",
            f64::from(u8::from(has_tls)),
        );
        // Where nothing ended the call, the deadline did.
        let cut_off = if self.is_resolved { DEADLINE_EXCEEDED } else { 0 };
        out.gauge(
            "probe_grpc_status_code",
            "Response gRPC status code",
            f64::from(self.status_code.unwrap_or(cut_off)),
        );
        let mut statuses = out.family(
            "probe_grpc_healthcheck_response",
            "Response HealthCheck response",
            Kind::Gauge,
        );
        for (position, status) in SERVING_STATUSES.into_iter().enumerate() {
            let is_it = self.serving_status == Some(position);
            statuses.sample(&[("serving_status", status)], f64::from(u8::from(is_it)));
        }
        if let Some(tls) = &self.tls {
            if tls.is_established() {
                tls.write(out, Extras::None);
            }
            tls.write_peer(out);
        }
    }
}
