//! What both programs probe: a site that notes each request, over plain connections and over TLS, and proxies to it.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{AppendHeaders, IntoResponse, Response},
    routing::any,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::harness::{raw_server, read_head, serve};

/// Every request since the last look: method, address, headers and body, a line each.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Vec<Vec<String>>>>);

impl Requests {
    pub(super) fn take(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn note(&self, lines: Vec<String>) {
        self.0.lock().unwrap().push(lines);
    }
}

async fn note(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let mut lines = vec![format!("{} {}", head.method, head.uri)];
    let headers = head.headers.iter();
    lines.extend(headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    lines[1..].sort();
    lines.push(format!("body: {}", String::from_utf8_lossy(&body)));
    requests.note(lines);
    next.run(Request::from_parts(head, Body::from(body))).await
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// What the reference encoder makes of `hello hello hello`.
const BROTLI: [u8; 20] = [
    0x1b, 0x10, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f, 0x01,
    0x4f, 0x1c, 0x60, 0x1c,
];

async fn encoded(Path(name): Path<String>) -> Response {
    let text = b"hello hello hello";
    let body = match name.as_str() {
        "gzip" => gzip(text),
        "deflate" => deflate(text),
        _ => BROTLI.to_vec(),
    };
    ([(header::CONTENT_ENCODING, name)], body).into_response()
}

async fn redirect(Path((code, left)): Path<(u16, u32)>) -> Response {
    let next = if left > 1 { format!("../{code}/{}", left - 1) } else { "/echo".to_owned() };
    (StatusCode::from_u16(code).unwrap(), [(header::LOCATION, next)]).into_response()
}

async fn cookie(headers: HeaderMap) -> Response {
    if headers.contains_key(header::COOKIE) {
        return "seen".into_response();
    }
    let to_itself =
        AppendHeaders([(header::LOCATION, "/cookie"), (header::SET_COOKIE, "a=1; Path=/")]);
    (StatusCode::FOUND, to_itself).into_response()
}

async fn headers() -> impl IntoResponse {
    let several = AppendHeaders([
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("last-modified", "Sat, 21 Nov 2026 05:30:02 GMT"),
        ("x-empty", ""),
    ]);
    (several, "hello\nworld\n")
}

/// A page for each thing that probes look at.
pub(super) fn site(requests: &Requests) -> Router {
    Router::new()
        .route("/echo", any(|| async { "ok" }))
        .route("/json", any(|| async { "{\"status\": \"ok\"}" }))
        .route("/headers", any(headers))
        .route("/big", any(|| async { "x".repeat(100_000) }))
        .route("/slow", any(|| async { tokio::time::sleep(Duration::from_secs(5)).await }))
        .route("/encoded/{name}", any(encoded))
        .route("/cookie", any(cookie))
        .route("/redirect/{code}/{left}", any(redirect))
        .route(
            "/status/{code}",
            any(|Path(code): Path<u16>| async move { StatusCode::from_u16(code).unwrap() }),
        )
        .route(
            "/to/{code}",
            any(|Path(code): Path<u16>, Query(query): Query<Vec<(String, String)>>| async move {
                let location = query.into_iter().next().map(|(_, to)| to).unwrap_or_default();
                (StatusCode::from_u16(code).unwrap(), [(header::LOCATION, location)])
            }),
        )
        .layer(middleware::from_fn_with_state(requests.clone(), note))
}

pub(super) async fn plain(requests: &Requests) -> SocketAddr {
    serve(site(requests)).await
}

/// The same over TLS, by HTTP/2 where the client agrees to it.
pub(super) async fn encrypted(requests: &Requests, acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let site = site(requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(site.clone()));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// A proxy that opens tunnels, and notes what it is asked.
pub(super) async fn tunnels(requests: &Requests) -> SocketAddr {
    let requests = requests.clone();
    raw_server(move |mut stream| {
        let requests = requests.clone();
        async move {
            let head = read_head(&mut stream).await;
            let mut lines: Vec<String> =
                head.lines().filter(|l| !l.is_empty()).map(str::to_lowercase).collect();
            lines[1..].sort();
            let authority = head.split(' ').nth(1).unwrap_or_default().to_owned();
            requests.note(lines);
            let Ok(mut onward) = TcpStream::connect(authority).await else { return };
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await
}
