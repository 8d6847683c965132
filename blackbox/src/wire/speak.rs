//! HTTP/1.1 and HTTP/2 on a connection that is there.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::{Connection, Exchange, Proxy};
use crate::{
    dial::{FirstRead, Stream},
    failure::{Failure, Phase, Reason, reason_of_io},
};

/// Longest head of an answer, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 1 << 20;
/// Most header lines of an answer.
const HEADERS_MAX: usize = 1000;

/// Sends the request; gives the head of the answer, when its first byte came, and the connection.
pub(super) async fn speak(
    stream: Stream,
    exchange: Exchange,
    by_proxy: Option<&Proxy>,
) -> Result<(Response<Incoming>, Instant, Connection), Failure> {
    let is_http2 = match &stream {
        Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        Stream::Plain(_) => false,
    };
    if is_http2 {
        speak_http2(stream, exchange).await
    } else {
        speak_http1(stream, exchange, by_proxy).await
    }
}

async fn speak_http1(
    stream: Stream,
    exchange: Exchange,
    by_proxy: Option<&Proxy>,
) -> Result<(Response<Incoming>, Instant, Connection), Failure> {
    let (stream, first_read) = FirstRead::new(stream);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .title_case_headers(true)
        // Old servers send them, and the original reads them.
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|err| failure(&err))?;
    let connection = Connection(tokio::spawn(connection).abort_handle());
    let mut request = request(&exchange)?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, host_value(&exchange)?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let sends_length = matches!(exchange.method, Method::POST | Method::PUT | Method::PATCH);
    if sends_length || !exchange.body.is_empty() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(exchange.body.len()));
    }
    *request.uri_mut() = match by_proxy {
        None => origin_form(&exchange)?,
        Some(proxy) => {
            if let Some(value) = &proxy.authorization {
                request.headers_mut().insert(header::PROXY_AUTHORIZATION, value.clone());
            }
            absolute_form(&exchange)?
        }
    };
    let response = sender.send_request(request).await.map_err(|err| failure(&err))?;
    let first_byte = first_byte(&first_read);
    Ok((response, first_byte, connection))
}

async fn speak_http2(
    stream: Stream,
    exchange: Exchange,
) -> Result<(Response<Incoming>, Instant, Connection), Failure> {
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|err| failure(&err))?;
    let connection = Connection(tokio::spawn(connection).abort_handle());
    let mut request = request(&exchange)?;
    // Here the host is part of the address.
    *request.uri_mut() = uri(Uri::builder()
        .scheme("https")
        .authority(host_value(&exchange)?.as_bytes())
        .path_and_query(path_and_query(&exchange)))?;
    let response = sender.send_request(request).await.map_err(|err| failure(&err))?;
    // The server's settings come before any answer, so the first byte of the connection says nothing here.
    Ok((response, Instant::now(), connection))
}

fn first_byte(first_read: &Arc<OnceLock<Instant>>) -> Instant {
    first_read.get().copied().unwrap_or_else(Instant::now)
}

pub(super) fn request(exchange: &Exchange) -> Result<Request<Full<bytes::Bytes>>, Failure> {
    let mut request = Request::new(Full::new(exchange.body.clone()));
    *request.method_mut() = exchange.method.clone();
    let mut headers: HeaderMap = exchange.headers.clone();
    if !headers.contains_key(header::AUTHORIZATION)
        && (!exchange.url.username().is_empty() || exchange.url.password().is_some())
    {
        headers.insert(header::AUTHORIZATION, credentials_of(exchange)?);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// `http://user:password@host/` is basic authentication.
fn credentials_of(exchange: &Exchange) -> Result<HeaderValue, Failure> {
    let decoded = |text: &str| -> String {
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let username = decoded(exchange.url.username());
    let password = decoded(exchange.url.password().unwrap_or_default());
    let value = crate::probe::http::basic_value(&username, &password);
    HeaderValue::from_str(&value)
        .map_err(|_| Failure::new(Phase::Setup, Reason::BadTarget, "The URL's user cannot be sent"))
}

pub(super) fn host_value(exchange: &Exchange) -> Result<HeaderValue, Failure> {
    let host = match &exchange.host_header {
        Some(host) => host.clone(),
        None => authority(exchange),
    };
    HeaderValue::from_str(&host).map_err(|_| {
        Failure::new(Phase::Setup, Reason::BadTarget, format!("`{host}` is no host name"))
    })
}

/// `host` or `host:port`, as the URL has it.
fn authority(exchange: &Exchange) -> String {
    let host = exchange.url.host_str().unwrap_or_default();
    match exchange.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

pub(super) fn path_and_query(exchange: &Exchange) -> String {
    match exchange.url.query() {
        Some(query) => format!("{}?{query}", exchange.url.path()),
        None => exchange.url.path().to_owned(),
    }
}

fn origin_form(exchange: &Exchange) -> Result<Uri, Failure> {
    uri(Uri::builder().path_and_query(path_and_query(exchange)))
}

fn absolute_form(exchange: &Exchange) -> Result<Uri, Failure> {
    let builder = Uri::builder().scheme("http").path_and_query(path_and_query(exchange));
    match exchange.address {
        Some(address) if exchange.is_pinned => uri(builder.authority(address.to_string())),
        // As in Go, the proxy is told what `Host` says.
        _ => uri(builder.authority(host_value(exchange)?.as_bytes())),
    }
}

pub(super) fn uri(builder: http::uri::Builder) -> Result<Uri, Failure> {
    builder.build().map_err(|err| {
        Failure::new(Phase::Setup, Reason::BadTarget, format!("The URL cannot be asked for: {err}"))
    })
}

fn failure(err: &hyper::Error) -> Failure {
    let text = service::error::chain(err);
    let io = std::iter::successors(std::error::Error::source(err), |err| err.source())
        .find_map(|err| err.downcast_ref::<std::io::Error>());
    let reason = match io {
        Some(io) => reason_of_io(io),
        None if err.is_incomplete_message() || err.is_closed() || err.is_canceled() => {
            Reason::Closed
        }
        None => Reason::Protocol,
    };
    Failure::new(Phase::Processing, reason, format!("Error for HTTP request: {text}"))
}
