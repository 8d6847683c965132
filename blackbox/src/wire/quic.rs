//! One HTTP/3 request on a QUIC connection of its own (RFC 9114, RFC 9000).
//!
//! QUIC shakes hands once for the connection and for TLS together; that time is in the phase `tls`, and `connect` holds no
//! more than making the socket.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use h3::{
    client::{RequestStream, SendRequest},
    error::{ConnectionError, StreamError},
};
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use hyper::body::Frame;
use quinn::{
    ClientConfig, ConnectionError as QuicError, Endpoint, TransportConfig, VarInt,
    crypto::rustls::QuicClientConfig,
};
use tokio::time::Instant;

use super::{Answer, Body, Connection, Exchange, Progress, Wire, speak};
use crate::failure::{Failure, Phase, Reason};

const ALPN: &[u8] = b"h3";
/// What the server may send before we have read it, in bytes.
const RECEIVE_WINDOW_BYTES: u32 = 2 << 20;
/// Control stream and the two of header compression, and some that mean nothing.
const SERVER_STREAMS_MAX: u32 = 8;
/// Answers that come before the answer, such as 103.
const EARLY_ANSWERS_MAX: usize = 10;

/// The body of an answer over HTTP/3; what it needs to come is held with it.
pub(crate) struct QuicBody {
    stream: RequestStream<BidiStream<Bytes>, Bytes>,
    /// The connection is closed when the last of these is dropped.
    _sender: SendRequest<OpenStreams, Bytes>,
    _endpoint: Endpoint,
}

pub(super) async fn send(
    wire: &Wire<'_>,
    exchange: Exchange,
    address: SocketAddr,
    progress: &mut impl Progress,
) -> Result<Answer, Failure> {
    progress.entered(Phase::Connect);
    let started = Instant::now();
    let any = if address.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let endpoint = Endpoint::client(any)
        .map_err(|err| Failure::io(Phase::Connect, "Error making a socket for QUIC", &err))?;
    progress.spent(Phase::Connect, started.elapsed());
    progress.entered(Phase::Tls);
    let started = Instant::now();
    let connected = handshake(wire, &endpoint, &exchange, address, progress).await;
    progress.spent(Phase::Tls, started.elapsed());
    let connection = connected?;
    progress.entered(Phase::Processing);
    let connected_at = Instant::now();
    let (mut driver, mut sender) = h3::client::builder()
        .max_field_section_size(speak::HEAD_BYTES_MAX as u64)
        .build(h3_quinn::Connection::new(connection))
        .await
        .map_err(|err| lost(&err))?;
    let task = tokio::spawn(async move {
        std::future::poll_fn(|cx| driver.poll_close(cx)).await;
    });
    let task = Connection(task.abort_handle());
    let mut stream = sender.send_request(request(&exchange)?).await.map_err(|err| failed(&err))?;
    if !exchange.body.is_empty() {
        stream.send_data(exchange.body.clone()).await.map_err(|err| failed(&err))?;
    }
    stream.finish().await.map_err(|err| failed(&err))?;
    let head = answer(&mut stream).await?;
    let first_byte = Instant::now();
    progress.spent(Phase::Processing, first_byte.saturating_duration_since(connected_at));
    let body = QuicBody { stream, _sender: sender, _endpoint: endpoint };
    let response = head.map(|()| Body::Quic(Box::new(body)));
    Ok(Answer { response, first_byte, is_tls: true, connection: task })
}

async fn handshake(
    wire: &Wire<'_>,
    endpoint: &Endpoint,
    exchange: &Exchange,
    address: SocketAddr,
    progress: &mut impl Progress,
) -> Result<quinn::Connection, Failure> {
    let name = exchange.server_name.trim_start_matches('[').trim_end_matches(']');
    let (tls, recorder) = wire.tls.for_quic(ALPN)?;
    let unusable = |why: String| Failure::new(Phase::Tls, Reason::TlsHandshake, why);
    let tls = QuicClientConfig::try_from(tls)
        .map_err(|err| unusable(format!("TLS cannot be used for QUIC: {err}")))?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(SERVER_STREAMS_MAX))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES));
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    let connecting = endpoint.connect_with(config, address, name).map_err(|err| {
        Failure::new(Phase::Tls, Reason::BadTarget, format!("`{name}` cannot be called: {err}"))
    })?;
    let outcome = connecting.await;
    // A new one for each handshake: its facts stand alone.
    let facts = progress.tls();
    facts.fill(&recorder);
    let connection = outcome.map_err(|err| {
        if let Some((reason, message)) = recorder.refusal() {
            return Failure::new(Phase::Tls, reason, format!("QUIC handshake: {message}"));
        }
        let reason = match &err {
            QuicError::TimedOut => Reason::Timeout,
            QuicError::Reset => Reason::Reset,
            _ => Reason::TlsHandshake,
        };
        Failure::new(Phase::Tls, reason, format!("QUIC handshake: {err}"))
    })?;
    facts.established_by_quic();
    Ok(connection)
}

fn request(exchange: &Exchange) -> Result<Request<()>, Failure> {
    let mut request = speak::request(exchange)?.map(|_| ());
    *request.uri_mut() = speak::uri(
        Uri::builder()
            .scheme("https")
            .authority(speak::host_value(exchange)?.as_bytes())
            .path_and_query(speak::path_and_query(exchange)),
    )?;
    let sends_length = matches!(exchange.method, Method::POST | Method::PUT | Method::PATCH);
    if sends_length || !exchange.body.is_empty() {
        let length = HeaderValue::from(exchange.body.len());
        request.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    Ok(request)
}

/// The head of the answer itself.
async fn answer(
    stream: &mut RequestStream<BidiStream<Bytes>, Bytes>,
) -> Result<Response<()>, Failure> {
    for _ in 0..EARLY_ANSWERS_MAX {
        let head = stream.recv_response().await.map_err(|err| failed(&err))?;
        if !head.status().is_informational() {
            return Ok(head);
        }
    }
    let message = format!("More than {EARLY_ANSWERS_MAX} answers before the answer");
    Err(Failure::new(Phase::Processing, Reason::Protocol, message))
}

fn failed(err: &StreamError) -> Failure {
    let reason = match err {
        StreamError::ConnectionError { .. } | StreamError::RemoteTerminate { .. } => Reason::Closed,
        _ => Reason::Protocol,
    };
    Failure::new(Phase::Processing, reason, format!("Error for HTTP/3 request: {err}"))
}

fn lost(err: &ConnectionError) -> Failure {
    let message = format!("Error for HTTP/3 request: {err}");
    Failure::new(Phase::Processing, Reason::Closed, message)
}

impl QuicBody {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, super::BodyError>>> {
        match self.stream.poll_recv_data(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(None)) => Poll::Ready(None),
            Poll::Ready(Ok(Some(mut data))) => {
                let data = data.copy_to_bytes(data.remaining());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Err(err)) => Poll::Ready(Some(Err(Box::new(err)))),
        }
    }
}

impl std::fmt::Debug for QuicBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicBody").finish_non_exhaustive()
    }
}
