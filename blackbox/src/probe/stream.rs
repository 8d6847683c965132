//! The tcp and unix probers: a connection, perhaps TLS, and a conversation line by line.

mod conversation;
mod lines;

use std::{net::SocketAddr, time::Duration};

use proto::exposition::{Exposition, Kind};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

use super::{Context, timeline::Timeline, write_resolution};
use crate::{
    config::{QueryResponse, TcpConfig, TlsConfig, UnixConfig},
    dial::{self, Preference, Resolution},
    failure::{Failure, Phase, Reason},
    probe,
    tls::{self, Extras, TlsFacts},
};

/// What a conversation is held over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// What a tcp or unix probe found out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    timeline: Timeline,
    resolution: Option<Resolution>,
    failed_due_to_regex: bool,
    failed_due_to_bytes: bool,
    expect_info: Option<Vec<(String, String)>>,
    tls: Option<TlsFacts>,
}

pub(super) async fn tcp(
    config: &TcpConfig,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let (host, port) = split_host_port(ctx.target)?;
    facts.timeline.enter(Phase::Resolve);
    let preference =
        Preference { family: config.preferred_ip_protocol, fallback: config.ip_protocol_fallback };
    let resolution = facts.resolution.insert(Resolution::default());
    let ip = ctx.names().resolve(host, preference, resolution).await?;
    facts.timeline.enter(Phase::Connect);
    let address = SocketAddr::new(ip, port);
    ctx.log.info("Dialing TCP", &[("address", &address), ("tls", &config.tls)]);
    let stream = dial::connect(address, config.source_ip_address).await?;
    ctx.log.info("Successfully dialed", &[]);
    let names = [
        config.tls_config.server_name.as_str(),
        ctx.params.hostname.as_deref().unwrap_or_default(),
    ];
    let server_name = names.into_iter().find(|name| !name.is_empty()).unwrap_or(host);
    let talk = Talk {
        steps: &config.query_response,
        tls: config.tls,
        tls_config: &config.tls_config,
        server_name,
    };
    hold(Box::new(stream), &talk, ctx, facts).await
}

pub(super) async fn unix(
    config: &UnixConfig,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    if !ctx.guard.is_open() {
        let message = "Sockets in the file system may not be probed here";
        return Err(Failure::new(Phase::Setup, Reason::BlockedAddress, message));
    }
    facts.timeline.enter(Phase::Connect);
    ctx.log.info("Dialing unix socket", &[("path", &ctx.target)]);
    let stream = UnixStream::connect(ctx.target).await.map_err(|err| {
        let missing = err.kind() == std::io::ErrorKind::NotFound;
        let mut failure = Failure::io(Phase::Connect, "Error dialing unix socket", &err);
        if missing {
            failure.reason = Reason::Refused;
        }
        failure
    })?;
    let talk = Talk {
        steps: &config.query_response,
        tls: config.tls,
        tls_config: &config.tls_config,
        server_name: &config.tls_config.server_name,
    };
    hold(Box::new(stream), &talk, ctx, facts).await
}

/// What is to be said, and how.
struct Talk<'a> {
    steps: &'a [QueryResponse],
    tls: bool,
    tls_config: &'a TlsConfig,
    server_name: &'a str,
}

async fn hold(
    stream: Box<dyn Io>,
    talk: &Talk<'_>,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let stream = if talk.tls { encrypt(stream, talk, ctx, facts).await? } else { stream };
    facts.timeline.enter(Phase::Processing);
    conversation::hold(stream, talk, ctx, facts).await
}

async fn encrypt(
    stream: Box<dyn Io>,
    talk: &Talk<'_>,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<Box<dyn Io>, Failure> {
    facts.timeline.enter(Phase::Tls);
    let client = tls::Client::new(talk.tls_config, ctx.roots)?;
    let tls_facts = facts.tls.insert(TlsFacts::default());
    let stream = client.handshake(stream, talk.server_name, &[], tls_facts).await?;
    ctx.log.info("TLS handshake done", &[("version", &tls_facts.version_name())]);
    Ok(Box::new(stream))
}

/// `host:port` or `[v6]:port`; there is no default port.
pub(super) fn split_host_port(target: &str) -> Result<(&str, u16), Failure> {
    let wrong = |why: &str| {
        Failure::new(
            Phase::Setup,
            Reason::BadTarget,
            format!("Error splitting target address and port: `{target}`: {why}"),
        )
    };
    let (host, port) = target.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_none() && host.contains(':') {
        return Err(wrong("an IPv6 address must stand in brackets"));
    }
    let host = bracketed.unwrap_or(host);
    if host.is_empty() {
        return Err(wrong("it has no host"));
    }
    let port = port.parse().map_err(|_| wrong("the port is not a number from 0 to 65535"))?;
    Ok((host, port))
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
        out.gauge(
            "probe_failed_due_to_regex",
            "Indicates if probe failed due to regex",
            f64::from(u8::from(self.failed_due_to_regex)),
        );
        out.gauge(
            "probe_failed_due_to_bytes",
            "Indicates if probe failed due to bytes",
            f64::from(u8::from(self.failed_due_to_bytes)),
        );
        if let Some(labels) = &self.expect_info {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            out.family("probe_expect_info", "Explicit content matched", Kind::Gauge)
                .sample(&labels, 1.0);
        }
        if let Some(tls) = &self.tls {
            if tls.is_established() {
                tls.write(out, Extras::Stream);
            }
            tls.write_peer(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (target, expected) in [
            ("a:1", Some(("a", 1))),
            ("[::1]:25", Some(("::1", 25))),
            ("127.0.0.1:65535", Some(("127.0.0.1", 65535))),
            ("a", None),
            ("::1:25", None),
            (":25", None),
            ("a:http", None),
            ("a:65536", None),
        ] {
            assert_eq!(split_host_port(target).ok(), expected, "{target}");
        }
    }
}
