//! `grpc.health.v1.Health/Check`, by hand: the protocol of a unary call is one framed message each way.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::grpc_health::{HealthCheckRequest, HealthCheckResponse, Message};

use crate::{
    config::GrpcConfig,
    dial::Stream,
    failure::{Failure, Phase, Reason},
};

/// The answer is one byte of status; servers may add unknown fields.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// gRPC's number for what cannot be understood.
const UNKNOWN: u32 = 2;
const PREFIX_BYTES: usize = 5;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) status_code: u32,
    pub(super) message: String,
    pub(super) serving_status: i32,
}

/// Ends the connection's task with the call.
struct Connection(tokio::task::AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn check(
    stream: Stream,
    config: &GrpcConfig,
    authority: &str,
) -> Result<Health, Failure> {
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|err| failed(&err))?;
    let _connection = Connection(tokio::spawn(connection).abort_handle());
    let response =
        sender.send_request(request(config, authority)?).await.map_err(|err| failed(&err))?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let message = format!(
            "The server answered with HTTP status {}, which is not gRPC",
            head.status.as_u16()
        );
        return Err(Failure::new(Phase::Processing, Reason::Protocol, message));
    }
    // An answer without a message has its status among the first headers.
    if let Some(health) = ended(&head.headers, 0) {
        return Ok(health);
    }
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|err| {
        Failure::new(
            Phase::Processing,
            Reason::Protocol,
            format!("Reading the health service's answer: {err}"),
        )
    })?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let serving_status = serving_status(&collected.to_bytes());
    let health = ended(&trailers, serving_status.unwrap_or_default()).unwrap_or_else(|| Health {
        status_code: UNKNOWN,
        message: "the answer ended without a status".to_owned(),
        serving_status: 0,
    });
    if health.status_code == 0 && serving_status.is_none() {
        let message = "The health service's answer cannot be read";
        return Err(Failure::new(Phase::Processing, Reason::Protocol, message));
    }
    Ok(health)
}

fn request(config: &GrpcConfig, authority: &str) -> Result<Request<Full<Bytes>>, Failure> {
    let message = HealthCheckRequest { service: config.service.clone() }.encode_to_vec();
    let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    body.put_u8(0);
    body.put_u32(message.len() as u32);
    body.extend_from_slice(&message);
    let scheme = if config.tls { "https" } else { "http" };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query("/grpc.health.v1.Health/Check")
        .build()
        .map_err(|err| {
            Failure::new(Phase::Setup, Reason::BadTarget, format!("`{authority}`: {err}"))
        })?;
    let mut request = Request::new(Full::new(body.freeze()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("watchpost-blackbox/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, values) in &config.metadata {
        for value in values {
            let (name, value) = metadata(name, value)?;
            headers.append(name, value);
        }
    }
    Ok(request)
}

fn metadata(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let unusable = || {
        Failure::new(
            Phase::Setup,
            Reason::Configuration,
            format!("Metadata `{name}` cannot be sent"),
        )
    };
    let is_binary = name.to_ascii_lowercase().ends_with("-bin");
    let text = if is_binary { STANDARD_NO_PAD.encode(value) } else { value.to_owned() };
    let name =
        HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| unusable())?;
    let value = HeaderValue::from_str(&text).map_err(|_| unusable())?;
    Ok((name, value))
}

/// The status in these headers, where it is there.
fn ended(headers: &HeaderMap, serving_status: i32) -> Option<Health> {
    let code = headers.get("grpc-status")?;
    let message = headers
        .get("grpc-message")
        .map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    let status_code = code.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(UNKNOWN);
    Some(Health { status_code, message: message.unwrap_or_default(), serving_status })
}

fn serving_status(body: &[u8]) -> Option<i32> {
    let (prefix, message) = body.split_at_checked(PREFIX_BYTES)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?) as usize;
    // Nobody was told that compression is welcome.
    if prefix[0] != 0 || message.len() != length {
        return None;
    }
    Some(HealthCheckResponse::decode(message).ok()?.status)
}

fn failed(err: &hyper::Error) -> Failure {
    let text = service::error::chain(err);
    Failure::new(
        Phase::Processing,
        Reason::Protocol,
        format!("Can't call the health service: {text}"),
    )
}
