//! The icmp prober: one echo request and the reply to it, or several and what they say of the way.

#[cfg(target_os = "linux")]
mod echo;
mod packet;
mod statistics;

use std::time::Duration;

use proto::exposition::{Exposition, Kind};

use self::statistics::Statistics;
use super::{Context, timeline::Timeline, write_resolution};
use crate::{
    config::IcmpConfig,
    dial::{Preference, Resolution},
    failure::{Failure, Phase, Reason},
    probe,
};

/// Before the deadline, so that requests without an answer count as lost and not the whole probe as late.
#[cfg(target_os = "linux")]
const HANDOVER: Duration = Duration::from_millis(20);

/// What an icmp probe found out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    timeline: Timeline,
    resolution: Option<Resolution>,
    reply_hop_limit: Option<u8>,
    /// Of several requests.
    statistics: Option<Statistics>,
}

pub(super) async fn probe(
    config: &IcmpConfig,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    facts.timeline.enter(Phase::Resolve);
    let preference =
        Preference { family: config.preferred_ip_protocol, fallback: config.ip_protocol_fallback };
    let resolution = facts.resolution.insert(Resolution::default());
    let ip = ctx.names().resolve(ctx.target, preference, resolution).await?;
    facts.timeline.enter(Phase::Connect);
    echo(config, ctx, ip, facts).await
}

#[cfg(target_os = "linux")]
async fn echo(
    config: &IcmpConfig,
    ctx: &Context<'_>,
    ip: std::net::IpAddr,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let mut echo = echo::Echo::open(config, ip)?;
    ctx.log.info("Created socket", &[("kind", &echo.kind()), ("ip", &ip)]);
    facts.timeline.enter(Phase::Processing);
    let mut buffer = Vec::new();
    if config.count == 1 {
        let sequence = echo.send().await?;
        ctx.log.info("Waiting for reply packets", &[("seq", &sequence)]);
        let reply = echo.receive(&mut buffer).await?;
        facts.timeline.enter(Phase::Validate);
        facts.reply_hop_limit = reply.hop_limit;
        ctx.log.info("Found matching reply packet", &[]);
        return Ok(());
    }
    several(config, ctx, &mut echo, facts).await?;
    facts.timeline.enter(Phase::Validate);
    Ok(())
}

/// Sends all requests, whether earlier ones were answered or not, and takes replies until all came or the time is nearly over.
#[cfg(target_os = "linux")]
async fn several(
    config: &IcmpConfig,
    ctx: &Context<'_>,
    echo: &mut echo::Echo,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let mut buffer = Vec::new();
    let statistics = facts.statistics.insert(Statistics::default());
    let mut requests = tokio::time::interval(config.interval.0);
    let mut last_failure = None;
    let mut n_lost = 0;
    while statistics.received() + n_lost < config.count {
        tokio::select! {
            biased;
            reply = echo.receive(&mut buffer) => match reply {
                Ok(reply) => {
                    facts.reply_hop_limit = reply.hop_limit;
                    statistics.answered(reply.rtt);
                }
                Err(failure) => {
                    ctx.log.info(&failure.message, &[]);
                    last_failure = Some(failure);
                    n_lost += 1;
                }
            },
            _ = requests.tick(), if statistics.sent() < config.count => {
                statistics.requested();
                if let Err(failure) = echo.send().await {
                    ctx.log.info(&failure.message, &[]);
                    last_failure = Some(failure);
                    n_lost += 1;
                }
            }
            () = tokio::time::sleep_until(ctx.deadline - HANDOVER) => break,
        }
    }
    let (sent, received) = (statistics.sent(), statistics.received());
    ctx.log.info("Sent requests", &[("sent", &sent), ("received", &received)]);
    if received > 0 {
        return Ok(());
    }
    Err(last_failure.unwrap_or_else(|| {
        let message = format!("None of {sent} requests was answered");
        Failure::new(Phase::Processing, Reason::Timeout, message)
    }))
}

#[cfg(not(target_os = "linux"))]
async fn echo(
    _config: &IcmpConfig,
    _ctx: &Context<'_>,
    _ip: std::net::IpAddr,
    _facts: &mut Facts,
) -> Result<(), Failure> {
    Err(Failure::new(Phase::Setup, Reason::Unsupported, "Echo requests are sent on Linux only"))
}

/// No way to send echo requests at all.
fn no_socket(err: &std::io::Error) -> Failure {
    let message = format!(
        "Error creating an ICMP socket: {err}: let this program's group send echo requests \
         (sysctl net.ipv4.ping_group_range) or give it the capability CAP_NET_RAW"
    );
    Failure::new(Phase::Setup, Reason::Permission, message)
}

impl probe::Facts for Facts {
    fn phase(&self) -> Phase {
        self.timeline.phase()
    }

    fn phases(&self) -> Vec<(&'static str, Duration)> {
        let time = |phase| self.timeline.time_of(phase);
        [("resolve", Phase::Resolve), ("setup", Phase::Connect), ("rtt", Phase::Processing)]
            .into_iter()
            .filter_map(|(name, phase)| Some((name, time(phase)?)))
            .collect()
    }

    fn write(&self, out: &mut Exposition) {
        if let Some(resolution) = &self.resolution {
            write_resolution(out, resolution);
        }
        let seconds = |phase| self.timeline.time_of(phase).unwrap_or_default().as_secs_f64();
        // Of several, what one took; the pauses between them are not the network's.
        let rtt = match &self.statistics {
            Some(statistics) => statistics.mean().as_secs_f64(),
            None => seconds(Phase::Processing),
        };
        out.family("probe_icmp_duration_seconds", "Duration of icmp request by phase", Kind::Gauge)
            .sample(&[("phase", "resolve")], seconds(Phase::Resolve))
            .sample(&[("phase", "setup")], seconds(Phase::Connect))
            .sample(&[("phase", "rtt")], rtt);
        if let Some(hop_limit) = self.reply_hop_limit {
            out.gauge(
                "probe_icmp_reply_hop_limit",
                "Replied packet hop limit (TTL for ipv4)",
                f64::from(hop_limit),
            );
        }
        if let Some(statistics) = &self.statistics {
            statistics.write(out);
        }
    }
}
