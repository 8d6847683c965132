//! Where an answer leads, and what is sent there.

use ::http::{HeaderValue, Method, Response, StatusCode, header};
use url::Url;

use super::Request;
use crate::{
    config::HttpConfig,
    failure::{Failure, Phase, Reason},
};

/// The place that a redirect names; `None` for an answer that is no redirect.
pub(super) fn location<B>(response: &Response<B>, from: &Url) -> Option<Result<Url, Failure>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    // An empty place is none, as in Go.
    let location = response.headers().get(header::LOCATION).filter(|place| !place.is_empty())?;
    let bad = |why: &str| {
        let shown = String::from_utf8_lossy(location.as_bytes()).into_owned();
        Err(Failure::new(
            Phase::Validate,
            Reason::BadRedirect,
            format!("Cannot follow redirect to `{shown}`: {why}"),
        ))
    };
    let Ok(text) = std::str::from_utf8(location.as_bytes()) else {
        return Some(bad("it is not UTF-8"));
    };
    Some(match from.join(text) {
        Err(err) => bad(&err.to_string()),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            bad("only http and https are followed")
        }
        Ok(url) if url.host_str().is_none_or(str::is_empty) => bad("it has no host"),
        Ok(mut url) => {
            url.set_fragment(None);
            Ok(url)
        }
    })
}

/// The request that follows a redirect, as Go's client makes it.
pub(super) fn next(
    previous: Request,
    location: Url,
    status: StatusCode,
    config: &HttpConfig,
) -> Request {
    let mut next = Request { url: location, ..previous };
    let keeps_method =
        matches!(status.as_u16(), 307 | 308) || matches!(next.method, Method::GET | Method::HEAD);
    if !keeps_method {
        next.method = Method::GET;
        next.body = bytes::Bytes::new();
        for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
            next.headers.remove(name);
        }
    }
    let same_origin = next.url.origin() == previous.url.origin();
    if !same_origin {
        next.host_header = None;
        // Credentials are for whom they were given, also when that host sends us elsewhere.
        for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
            next.headers.remove(name);
        }
        for (name, values) in &config.client.http_headers {
            if !values.secrets.is_empty() || !values.files.is_empty() {
                next.headers.remove(name.as_str());
            }
        }
    }
    next.headers.remove(header::COOKIE);
    let downgraded = previous.url.scheme() == "https" && next.url.scheme() == "http";
    let has_own_referer = config.headers.keys().any(|name| name.eq_ignore_ascii_case("referer"));
    if !has_own_referer {
        next.headers.remove(header::REFERER);
        if !downgraded && let Ok(value) = HeaderValue::from_str(&shown(&previous.url)) {
            next.headers.insert(header::REFERER, value);
        }
    }
    next
}

/// A URL without the password in it.
pub(super) fn shown(url: &Url) -> String {
    if url.username().is_empty() && url.password().is_none() {
        return url.to_string();
    }
    let mut url = url.clone();
    // Neither fails for URLs that have a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}
