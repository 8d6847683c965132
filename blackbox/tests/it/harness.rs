//! What the tests share: a prober on a port of its own, servers to probe, and a reader of what comes back.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, path::Path};

use axum::Router;
use blackbox::{Blackbox, Config, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// A running prober.
#[derive(Debug)]
pub(crate) struct Prober {
    pub(crate) address: SocketAddr,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Samples by series, as in `probe_http_duration_seconds{phase="tls"}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples {
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) text: String,
}

impl Prober {
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::with(yaml, Settings::default()).await
    }

    pub(crate) async fn with(yaml: &str, settings: Settings) -> Self {
        let config = Config::parse(yaml, Path::new("test.yml")).unwrap();
        let address = serve(Blackbox::new(config, settings).router(None)).await;
        Self { address }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, "").await
    }

    pub(crate) async fn probe(&self, module: &str, target: &str) -> Samples {
        self.probe_with(module, target, "").await
    }

    /// `extra` is more of the query, such as `&hostname=x`.
    pub(crate) async fn probe_with(&self, module: &str, target: &str, extra: &str) -> Samples {
        let answer = self.get(&probe_path(module, target, extra)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Samples::read(&answer.body)
    }
}

pub(crate) fn probe_path(module: &str, target: &str, extra: &str) -> String {
    let target: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
    format!("/probe?module={module}&target={target}{extra}")
}

impl Samples {
    pub(crate) fn read(text: &str) -> Self {
        let values = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                (series.to_owned(), value.parse().expect("a number"))
            })
            .collect();
        Self { values, text: text.to_owned() }
    }

    /// The same without one family.
    pub(crate) fn without(&self, family: &str) -> Self {
        let kept: Vec<&str> = self.text.lines().filter(|line| !line.contains(family)).collect();
        Self::read(&kept.join("\n"))
    }

    #[track_caller]
    pub(crate) fn get(&self, series: &str) -> f64 {
        match self.values.get(series) {
            Some(value) => *value,
            None => panic!("no {series} in\n{}", self.text),
        }
    }

    pub(crate) fn has(&self, series: &str) -> bool {
        self.values.contains_key(series)
    }

    #[track_caller]
    pub(crate) fn assert(&self, expected: &[(&str, f64)]) {
        for (series, value) in expected {
            assert_eq!(self.get(series), *value, "{series} in\n{}", self.text);
        }
    }

    #[track_caller]
    pub(crate) fn assert_success(&self) {
        assert_eq!(self.get("probe_success"), 1.0, "{}", self.text);
        assert_eq!(self.failure(), None, "{}", self.text);
    }

    #[track_caller]
    pub(crate) fn assert_failure(&self, phase: &str, reason: &str) {
        assert_eq!(self.get("probe_success"), 0.0, "{}", self.text);
        let expected = format!("probe_failure_info{{phase=\"{phase}\",reason=\"{reason}\"}}");
        assert_eq!(self.failure(), Some(expected.as_str()), "{}", self.text);
    }

    fn failure(&self) -> Option<&str> {
        self.values
            .keys()
            .find(|series| series.starts_with("probe_failure_info"))
            .map(String::as_str)
    }
}

/// Serves a router on a port of its own until the test ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A server that does with each connection whatever a test likes.
pub(crate) async fn raw_server<F, Fut>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// A server that answers every request with these bytes and closes.
pub(crate) async fn canned(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Vec<u8> = answer.into();
    raw_server(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

/// Reads up to the empty line after a request's head.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// One port for datagrams and streams, as DNS servers have it.
pub(crate) async fn udp_and_tcp() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // The same number may be somebody else's for streams.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

/// An address on which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let mut body = bytes[end + 4..].to_vec();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() }
}

fn unchunked(body: &[u8]) -> Vec<u8> {
    let mut rest = body;
    let mut out = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        out.extend_from_slice(&rest[end + 2..][..size]);
        rest = &rest[end + 2 + size + 2..];
    }
    out
}
