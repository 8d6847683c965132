//! Stopping: open requests are answered, idle connections are closed, and nothing waits longer than the grace period.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    response::Response,
    routing::get,
};
use service::web;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};

use crate::{
    eventually,
    server::{Server, client},
};

const OPEN: &str = "watchpost_demo_http_connections_open";

/// `/slow` says when a request has come, and answers when told to.
#[derive(Clone, Default)]
struct Slow {
    entered: Arc<Notify>,
    may_answer: Arc<Notify>,
}

impl Slow {
    fn router(&self) -> Router {
        let slow = self.clone();
        let answer = async move || {
            slow.entered.notify_one();
            slow.may_answer.notified().await;
            "done"
        };
        Router::new().route("/slow", get(answer))
    }
}

#[tokio::test]
async fn an_open_request_is_answered_and_new_ones_are_refused() {
    let slow = Slow::default();
    let server = Server::start(web::Config::default(), slow.router());
    let url = format!("{}slow", server.url("http"));
    let request = tokio::spawn(client(None).build().unwrap().get(url).send());
    // An idle connection that is kept alive must not hold anything up.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 512];
    assert_ne!(idle.read(&mut answer).await.unwrap(), 0);
    slow.entered.notified().await;
    assert!(server.counts(&format!("{OPEN} 2")));

    server.shutdown.fire();
    eventually("the idle one is closed", || async { server.counts(&format!("{OPEN} 1")) }).await;
    eventually("new ones are refused", || async {
        TcpStream::connect(server.address).await.is_err()
    })
    .await;
    slow.may_answer.notify_one();
    assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
    server.stopped().await;
}

#[tokio::test]
async fn the_grace_period_ends() {
    let slow = Slow::default();
    let config = web::Config::default().with_grace(Duration::from_millis(50));
    let server = Server::start(config, slow.router());
    let url = format!("{}slow", server.url("http"));
    let request = tokio::spawn(client(None).build().unwrap().get(url).send());
    slow.entered.notified().await;
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let config = web::Config::default().with_connections_max(1);
    let server = Server::start(config, Router::new());
    let first = TcpStream::connect(server.address).await.unwrap();
    eventually("the first is open", || async { server.counts(&format!("{OPEN} 1")) }).await;
    let second = tokio::spawn(client(None).build().unwrap().get(server.url("http")).send());
    let limited = "watchpost_demo_http_connections_limited_total 1";
    eventually("the second waits", || async { server.counts(limited) }).await;
    drop(first);
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    server.stop().await;
}

/// A WebSocket leaves its HTTP connection behind but keeps its place, and its handler hears of the end.
#[tokio::test]
async fn a_websocket_is_a_connection() {
    let shutdown = service::Shutdown::new();
    let heard = shutdown.clone();
    let upgrade = async move |upgrade: WebSocketUpgrade| -> Response {
        upgrade.on_upgrade(async move |mut socket| {
            socket.send(Message::Text("hello".into())).await.unwrap();
            heard.fired().await;
            let _ = socket.send(Message::Close(None)).await;
        })
    };
    let server = Server::start(web::Config::default(), Router::new().route("/live", get(upgrade)));
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\x81\x05hello") {
        assert_ne!(socket.read_buf(&mut received).await.unwrap(), 0, "{received:?}");
    }
    assert!(received.starts_with(b"HTTP/1.1 101"));
    assert!(server.counts(&format!("{OPEN} 1")));
    shutdown.fire();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 0x00], "a close frame");
    server.stop().await;
}
