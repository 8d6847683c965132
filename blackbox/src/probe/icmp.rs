//! The icmp prober: one echo request, and the reply to it.

#[cfg(target_os = "linux")]
mod echo;
mod packet;

use std::time::Duration;

use proto::exposition::{Exposition, Kind};

use super::{Context, timeline::Timeline, write_resolution};
use crate::{
    config::IcmpConfig,
    dial::{self, Preference, Resolution},
    failure::{Failure, Phase, Reason},
    probe,
};

/// What an icmp probe found out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    timeline: Timeline,
    resolution: Option<Resolution>,
    reply_hop_limit: Option<u8>,
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
    let ip = dial::resolve(ctx.target, preference, ctx.guard, ctx.log, resolution).await?;
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
    let echo = echo::Echo::open(config, ip)?;
    ctx.log.info("Created socket", &[("kind", &echo.kind()), ("ip", &ip)]);
    facts.timeline.enter(Phase::Processing);
    echo.send().await?;
    ctx.log.info("Waiting for reply packets", &[("seq", &echo.sequence())]);
    let hop_limit = echo.receive().await?;
    facts.timeline.enter(Phase::Validate);
    facts.reply_hop_limit = hop_limit;
    ctx.log.info("Found matching reply packet", &[]);
    Ok(())
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
        out.family("probe_icmp_duration_seconds", "Duration of icmp request by phase", Kind::Gauge)
            .sample(&[("phase", "resolve")], seconds(Phase::Resolve))
            .sample(&[("phase", "setup")], seconds(Phase::Connect))
            .sample(&[("phase", "rtt")], seconds(Phase::Processing));
        if let Some(hop_limit) = self.reply_hop_limit {
            out.gauge(
                "probe_icmp_reply_hop_limit",
                "Replied packet hop limit (TTL for ipv4)",
                f64::from(hop_limit),
            );
        }
    }
}
