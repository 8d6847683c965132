//! What the first request says.

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header, header::Entry};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use url::Url;

use super::Request;
use crate::{
    config::{ClientConfig, HttpConfig},
    failure::{Failure, Phase, Reason},
    oauth2,
    probe::Context,
    secret_file,
};

/// Said to servers, so that their operators can tell probes from people.
const USER_AGENT: &str =
    concat!("Watchpost-Blackbox/", env!("CARGO_PKG_VERSION"), " (compatible; Blackbox-Exporter)");
/// What the length of the body decides, as in Go, whatever the module says.
const FRAMING: [&str; 3] = ["Content-Length", "Transfer-Encoding", "Trailer"];
/// A body file is sent whole and held in memory.
const BODY_FILE_BYTES_MAX: u64 = 16 << 20;

pub(super) async fn first(config: &HttpConfig, ctx: &Context<'_>) -> Result<Request, Failure> {
    let mut url = target_url(ctx.target)?;
    if config.enable_http3 {
        // There is no HTTP/3 without TLS. Neither scheme is one that a URL could refuse.
        let _ = url.set_scheme("https");
    }
    let mut headers = HeaderMap::new();
    let mut host_header = None;
    for (name, value) in &config.headers {
        if FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
            continue;
        }
        if name.eq_ignore_ascii_case("host") {
            host_header = Some(value.clone());
        } else {
            put(&mut headers, name, value)?;
        }
    }
    for (name, values) in &config.client.http_headers {
        let mut last = values.values.last().cloned();
        if let Some(secret) = values.secrets.last() {
            last = Some(secret.expose().to_owned());
        }
        if let Some(file) = values.files.last() {
            last = Some(secret_file::read(file).await?);
        }
        if let Some(value) = last {
            if name.eq_ignore_ascii_case("host") {
                host_header = Some(value);
            } else {
                put(&mut headers, name, &value)?;
            }
        }
    }
    if let Some(hostname) = &ctx.params.hostname {
        host_header = Some(hostname.clone());
    }
    if let Some(host) = &host_header
        && HeaderValue::from_str(host).is_err()
    {
        return Err(Failure::new(
            Phase::Setup,
            Reason::BadTarget,
            format!("`{host}` is no host name"),
        ));
    }
    match headers.entry(header::USER_AGENT) {
        Entry::Vacant(entry) => {
            entry.insert(HeaderValue::from_static(USER_AGENT));
        }
        // An empty one says that there shall be none.
        Entry::Occupied(entry) if entry.get().is_empty() => {
            entry.remove();
        }
        Entry::Occupied(_) => {}
    }
    let body = match &config.body_file {
        Some(path) => Bytes::from(secret_file::read_bytes(path, BODY_FILE_BYTES_MAX).await?),
        None => Bytes::from(config.body.clone().into_bytes()),
    };
    if let Some(compression) = config.compression {
        headers
            .entry(header::ACCEPT_ENCODING)
            .or_insert(HeaderValue::from_static(compression.name()));
    }
    let method = Method::from_bytes(config.method.as_bytes()).map_err(|_| {
        Failure::new(Phase::Setup, Reason::Configuration, "The method cannot be sent")
    })?;
    Ok(Request { url, method, headers, body, host_header })
}

/// A target without a scheme is meant to be http.
fn target_url(target: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::new(
            Phase::Setup,
            Reason::BadTarget,
            format!("Could not parse target URL `{target}`: {why}"),
        )
    };
    let lower: String = target.chars().take(8).flat_map(char::to_lowercase).collect();
    let other_scheme = target.split_once("://").map(|(scheme, _)| scheme);
    let full = if lower.starts_with("http://") || lower.starts_with("https://") {
        target.to_owned()
    } else if other_scheme.is_some_and(|s| s.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(wrong("only http and https are probed by this module"));
    } else {
        format!("http://{target}")
    };
    let mut url = Url::parse(&full).map_err(|err| wrong(&err.to_string()))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it has no host"));
    }
    url.set_fragment(None);
    Ok(url)
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Failure> {
    let unusable = || {
        Failure::new(Phase::Setup, Reason::Configuration, format!("Header `{name}` cannot be sent"))
    };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
    let value = HeaderValue::from_str(value).map_err(|_| unusable())?;
    headers.insert(name, value);
    Ok(())
}

/// The name that the server must prove: configured, or what `Host` says, or the target's.
pub(super) fn server_name(config: &HttpConfig, request: &Request) -> String {
    let configured = &config.client.tls_config.server_name;
    if !configured.is_empty() {
        return configured.clone();
    }
    match &request.host_header {
        Some(host) => without_port(host).to_owned(),
        None => request.url.host_str().unwrap_or_default().to_owned(),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// Adds `Authorization` in the one way that is configured.
pub(crate) async fn authorize(
    config: &ClientConfig,
    ctx: &Context<'_>,
    headers: &mut HeaderMap,
) -> Result<(), Failure> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let value = if let Some(basic) = &config.basic_auth {
        let username =
            secret_file::or_text(basic.username_file.as_deref(), &basic.username).await?;
        let password =
            secret_file::or_text(basic.password_file.as_deref(), basic.password.expose()).await?;
        basic_value(&username, &password)
    } else if let Some(authorization) = &config.authorization {
        let credentials = secret_file::or_text(
            authorization.credentials_file.as_deref(),
            authorization.credentials.expose(),
        )
        .await?;
        let kind = if authorization.kind.is_empty() { "Bearer" } else { authorization.kind.trim() };
        format!("{kind} {credentials}")
    } else if !config.bearer_token.expose().is_empty() || config.bearer_token_file.is_some() {
        let token =
            secret_file::or_text(config.bearer_token_file.as_deref(), config.bearer_token.expose())
                .await?;
        format!("Bearer {token}")
    } else if let Some(oauth2) = &config.oauth2 {
        let token = oauth2::fetch(oauth2, ctx).await?;
        format!("Bearer {token}")
    } else {
        return Ok(());
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| {
        Failure::new(
            Phase::Setup,
            Reason::Configuration,
            "The credentials cannot be sent in a header",
        )
    })?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Ok(())
}

pub(crate) fn basic_value(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_become_urls() {
        for (target, expected) in [
            ("example.com", "http://example.com/"),
            ("HTTPS://Example.com/a", "https://example.com/a"),
            ("example.com:8080/x?y=z#f", "http://example.com:8080/x?y=z"),
            ("http://[::1]:80/", "http://[::1]/"),
        ] {
            assert_eq!(target_url(target).unwrap().as_str(), expected);
        }
        for target in ["http://", "ftp://x/", "http://a b/", "http://[::1"] {
            assert_eq!(target_url(target).unwrap_err().reason, Reason::BadTarget, "{target}");
        }
    }

    #[test]
    fn ports_are_no_part_of_names() {
        for (host, name) in [("a", "a"), ("a:80", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(without_port(host), name);
        }
    }
}
