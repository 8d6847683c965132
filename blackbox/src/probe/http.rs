//! The http prober: one request, the redirects it leads to, and rules about the answer.

mod body;
mod cookies;
mod facts;
mod judge;
mod redirect;
mod request;

use std::net::{IpAddr, SocketAddr};

use ::http::{HeaderMap, Method, StatusCode, header};
use bytes::Bytes;
use tokio::time::Instant;
use url::Url;

pub(crate) use facts::Facts;
pub(crate) use request::{authorize, basic_value};

use self::cookies::Jar;
use super::Context;
use crate::{
    config::{HttpConfig, TlsVersion},
    dial::{self, Preference, Resolution},
    failure::{Failure, Phase, Reason},
    wire::{Answer, Exchange, Route, Wire},
};

/// As in the original: the eleventh redirect is not followed.
const REDIRECTS_MAX: u32 = 10;

/// What is sent on one hop.
#[derive(Clone, Debug)]
struct Request {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    /// What `Host` says where it is not what the URL says.
    host_header: Option<String>,
}

pub(crate) async fn probe(
    config: &HttpConfig,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    if let Some(TlsVersion::Tls10 | TlsVersion::Tls11) = config.client.tls_config.min_version {
        ctx.log.warn("TLS 1.0 and 1.1 are not spoken here: min_version is TLS 1.2", &[]);
    }
    let mut request = request::first(config, ctx).await?;
    let wire = Wire::new(&config.client, ctx)?;
    let wire = if config.enable_http3 { wire.over_quic() } else { wire };
    // As in Go, a user in the URL counts before what the module says.
    if request.url.username().is_empty() && request.url.password().is_none() {
        authorize(&config.client, ctx, &mut request.headers).await?;
    }
    let server_name = request::server_name(config, &request);
    let first_host = request.url.host_str().unwrap_or_default().to_owned();
    let mut jar = Jar::default();
    let mut hop_host = String::new();
    let mut hop_ip = None;
    loop {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let is_first = facts.redirects == 0;
        if host != hop_host {
            hop_ip = resolve(config, &wire, &request.url, ctx, facts).await?;
            hop_host.clone_from(&host);
        }
        let name = if host == first_host { &server_name } else { &host };
        jar.put_into(&request.url, &mut request.headers);
        let mut exchange = prepare(&request, hop_ip, name, is_first)?;
        exchange.is_pinned = !ctx.guard.is_open();
        let answer = send(&wire, exchange, ctx, facts).await?;
        jar.take_from(&request.url, answer.response.headers());
        let Some(location) = redirect::location(&answer.response, &request.url) else {
            return judge::judge(config, ctx, answer, &request.method, facts).await;
        };
        facts.redirects += 1;
        let stop = facts.redirects > REDIRECTS_MAX;
        if stop || !config.client.follow_redirects {
            ctx.log.info("Not following redirect", &[]);
            let judged = judge::judge(config, ctx, answer, &request.method, facts).await;
            // The status is invalid only because there were too many of them: say that instead.
            return match judged {
                Err(failure) if stop && failure.reason == Reason::Status => Err(Failure::new(
                    Phase::Validate,
                    Reason::TooManyRedirects,
                    format!("More than {REDIRECTS_MAX} redirects"),
                )),
                other => other,
            };
        }
        let status = answer.response.status();
        let location = location?;
        if config.enable_http3 && location.scheme() == "http" {
            // Never silently by another protocol than the module is there to check.
            return Err(Failure::new(
                Phase::Validate,
                Reason::BadRedirect,
                format!("HTTP/3 cannot follow a redirect to `{location}`"),
            ));
        }
        ctx.log.info(
            "Received redirect",
            &[("location", &location), ("status_code", &status.as_u16())],
        );
        request = redirect::next(request, location, status, config);
    }
}

/// The address to call, unless the proxy is to look it up.
async fn resolve(
    config: &HttpConfig,
    wire: &Wire<'_>,
    url: &Url,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<Option<IpAddr>, Failure> {
    if config.skip_resolve_phase_with_proxy && matches!(wire.route(url)?, Route::Proxy(_)) {
        // What is no name needs no look-up to be refused.
        if let Some(ip) = dial::literal(url.host_str().unwrap_or_default()) {
            ctx.guard.check(ip)?;
        }
        facts.phases_started = true;
        return Ok(None);
    }
    facts.enter(Phase::Resolve);
    let preference =
        Preference { family: config.preferred_ip_protocol, fallback: config.ip_protocol_fallback };
    let host = url.host_str().unwrap_or_default();
    let mut resolution = Resolution::default();
    let started = Instant::now();
    // The first look-up is told even where it fails or the deadline strikes; later ones only add to the phase.
    let ip = if facts.resolution.is_none() {
        let slot = facts.resolution.insert(resolution);
        ctx.names().resolve(host, preference, slot).await
    } else {
        ctx.names().resolve(host, preference, &mut resolution).await
    };
    facts.resolved(started.elapsed());
    facts.phases_started |= ip.is_ok();
    ip.map(Some)
}

fn prepare(
    request: &Request,
    ip: Option<IpAddr>,
    server_name: &str,
    is_first: bool,
) -> Result<Exchange, Failure> {
    let port = request.url.port_or_known_default().unwrap_or(80);
    Ok(Exchange {
        url: request.url.clone(),
        method: request.method.clone(),
        headers: request.headers.clone(),
        host_header: request.host_header.clone(),
        body: request.body.clone(),
        address: ip.map(|ip| SocketAddr::new(ip, port)),
        // As in the original, a proxy is told the address that was measured; redirects are told by name.
        proxy_by_address: is_first,
        is_pinned: false,
        server_name: server_name.to_owned(),
    })
}

async fn send(
    wire: &Wire<'_>,
    exchange: Exchange,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<Answer, Failure> {
    ctx.log.info(
        "Making HTTP request",
        &[("url", &redirect::shown(&exchange.url)), ("method", &exchange.method)],
    );
    let answer = wire.send(exchange, facts).await?;
    let status: StatusCode = answer.response.status();
    ctx.log.info("Received HTTP response", &[("status_code", &status.as_u16())]);
    for (name, value) in answer.response.headers() {
        // Cookies are secrets of whoever they were given to.
        if name != header::SET_COOKIE {
            ctx.log.debug(
                "Response header",
                &[("name", name), ("value", &String::from_utf8_lossy(value.as_bytes()))],
            );
        }
    }
    Ok(answer)
}
