//! Proxies: which one, and the way through it.

use std::net::IpAddr;

use http::HeaderValue;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use crate::{
    config::ClientConfig,
    dial::Cidr,
    failure::{Failure, Phase, Reason},
    probe::http::basic_value,
};

/// Longest answer of a proxy to `CONNECT`, in bytes.
const CONNECT_ANSWER_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Debug)]
pub(crate) enum Route {
    Direct,
    Proxy(Proxy),
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) authorization: Option<HeaderValue>,
    /// Sent with `CONNECT` only.
    connect_headers: Vec<(String, String)>,
}

pub(super) fn route(config: &ClientConfig, url: &Url) -> Result<Route, Failure> {
    let (proxy_url, no_proxy) = if config.proxy_from_environment {
        let name = if url.scheme() == "https" { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        (environment(name), environment("NO_PROXY"))
    } else {
        (config.proxy_url.clone(), config.no_proxy.clone())
    };
    if proxy_url.is_empty() || is_exempt(url, &no_proxy) {
        return Ok(Route::Direct);
    }
    let with_scheme =
        if proxy_url.contains("://") { proxy_url } else { format!("http://{proxy_url}") };
    let unusable = |why: &str| {
        Failure::new(
            Phase::Setup,
            Reason::Configuration,
            format!("The proxy's URL cannot be used: {why}"),
        )
    };
    let parsed = Url::parse(&with_scheme).map_err(|err| unusable(&err.to_string()))?;
    if parsed.scheme() != "http" {
        return Err(unusable("only http:// proxies are spoken to"));
    }
    let host = parsed
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| unusable("it has no host"))?;
    let authorization = if parsed.username().is_empty() {
        None
    } else {
        let value = basic_value(parsed.username(), parsed.password().unwrap_or_default());
        Some(HeaderValue::from_str(&value).map_err(|_| unusable("its user cannot be sent"))?)
    };
    let connect_headers = config
        .proxy_connect_header
        .iter()
        .flat_map(|(name, values)| values.iter().map(|v| (name.clone(), v.expose().to_owned())))
        .collect();
    let port = parsed.port_or_known_default().unwrap_or(80);
    Ok(Route::Proxy(Proxy { host: host.to_owned(), port, authorization, connect_headers }))
}

/// In capitals or not, as everybody reads them.
fn environment(name: &str) -> String {
    std::env::var(name).or_else(|_| std::env::var(name.to_lowercase())).unwrap_or_default()
}

/// `NO_PROXY`'s grammar: host names (and all below them), `.suffix`, `*`, addresses and networks, each with or without
/// a port, separated by commas.
fn is_exempt(url: &Url, no_proxy: &str) -> bool {
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_lowercase();
    let port = url.port_or_known_default().unwrap_or_default().to_string();
    let ip: Option<IpAddr> = host.parse().ok();
    no_proxy
        .split(',')
        .map(|entry| entry.trim().to_lowercase())
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            if entry == "*" {
                return true;
            }
            if let (Some(ip), Ok(network)) = (ip, entry.parse::<Cidr>()) {
                return network.contains(ip);
            }
            let name = match entry.rsplit_once(':') {
                Some((name, entry_port))
                    if entry_port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') =>
                {
                    if entry_port != port {
                        return false;
                    }
                    name
                }
                _ => entry.as_str(),
            };
            let suffix = name.trim_start_matches("*.");
            match suffix.strip_prefix('.') {
                Some(parent) => host.ends_with(suffix) && host != parent,
                None => {
                    host == suffix
                        || host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
                }
            }
        })
}

/// Asks the proxy for a way to `authority`.
pub(super) async fn tunnel(
    stream: &mut TcpStream,
    proxy: &Proxy,
    authority: &str,
) -> Result<(), Failure> {
    let failed =
        |err: &std::io::Error| Failure::io(Phase::Connect, "Error speaking to the proxy", err);
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(value) = &proxy.authorization {
        request
            .push_str(&format!("Proxy-Authorization: {}\r\n", value.to_str().unwrap_or_default()));
    }
    for (name, value) in &proxy.connect_headers {
        // A line break would end the header and begin whatever the value likes.
        if HeaderValue::from_str(value).is_ok() {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|err| failed(&err))?;
    let mut answer = Vec::with_capacity(256);
    // Byte by byte: what follows the empty line belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= CONNECT_ANSWER_BYTES_MAX {
            return Err(refused("its answer is too long"));
        }
        answer.push(stream.read_u8().await.map_err(|err| failed(&err))?);
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(refused(line)),
    }
}

fn refused(line: &str) -> Failure {
    Failure::new(Phase::Connect, Reason::Proxy, format!("The proxy did not open a tunnel: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy() {
        for (no_proxy, url, expected) in [
            ("", "http://a.example/", false),
            ("*", "http://a.example/", true),
            ("example", "http://a.example/", true),
            ("example", "http://aexample/", false),
            (".example", "http://a.example/", true),
            (".example", "http://example/", false),
            ("b.example, a.example", "http://a.example/", true),
            ("a.example:81", "http://a.example/", false),
            ("a.example:80", "http://a.example/", true),
            ("10.0.0.0/8", "http://10.1.2.3:9/", true),
            ("::1", "http://[::1]/", true),
        ] {
            assert_eq!(is_exempt(&url.parse().unwrap(), no_proxy), expected, "{no_proxy} {url}");
        }
    }
}
