//! The live protocol over real sockets: the handshake, the liveness, and clients that stop reading.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use receiver::http;
use serde_json::{Value, json};
use service::Shutdown;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Response},
};

use crate::live::{World, now_ms};

const PATIENCE: Duration = Duration::from_secs(30);
const SUBPROTOCOL: &str = "watchpost.live.v1+json";

struct Server {
    world: World,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Server {
    fn start() -> Self {
        let world = World::new();
        let listeners = service::web::bind(&["127.0.0.1:0".to_owned()]).unwrap();
        let address = listeners[0].address();
        let shutdown = Shutdown::new();
        let router = http::live::router(world.hub.clone(), shutdown.clone());
        let config = service::web::Config::default();
        tokio::spawn(service::web::serve(listeners, router, config, shutdown.clone()));
        Self { world, address, shutdown }
    }

    async fn dial(&self, headers: &[(&'static str, String)]) -> Result<(Client, Response), Error> {
        let mut request = format!("ws://{}/api/v1/live", self.address).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await?;
        let (socket, response) = client_async(request, stream).await?;
        Ok((Client(socket), response))
    }

    async fn connect(&self) -> Client {
        let (mut client, _) = self.dial(&[]).await.unwrap();
        assert_eq!(client.read().await["op"], "hello");
        client
    }
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn next(&mut self) -> Message {
        let message = tokio::time::timeout(PATIENCE, self.0.next()).await;
        message.expect("nothing came").expect("the connection ended").unwrap()
    }

    async fn read(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, selector: &str) -> Value {
        self.send(json!({"op": "sub", "id": 1, "match": [selector]})).await;
        assert_eq!(self.read().await["op"], "ok");
        self.read().await
    }

    /// Reads on until the server closes; the last message and the code.
    async fn closed(&mut self) -> (Value, u16) {
        let mut last = Value::Null;
        loop {
            match self.next().await {
                Message::Text(text) => last = serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => return (last, frame.unwrap().code.into()),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn the_subprotocol_is_echoed_and_other_origins_are_refused() {
    let server = Server::start();
    let asked = [
        ("sec-websocket-protocol", SUBPROTOCOL.to_owned()),
        ("origin", format!("http://{}", server.address)),
    ];
    let (_, response) = server.dial(&asked).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    let (_, response) = server.dial(&[]).await.unwrap();
    assert!(!response.headers().contains_key("sec-websocket-protocol"), "programs need not ask");
    let Err(Error::Http(response)) =
        server.dial(&[("origin", "http://evil.example".to_owned())]).await
    else {
        panic!("a foreign page got in");
    };
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn a_sample_arrives_within_a_second_of_its_commit() {
    let server = Server::start();
    let t = now_ms();
    server.world.store(&[("load", t, 0.0)]);
    let mut client = server.connect().await;
    client.subscribe("load").await;
    let mut worst = Duration::ZERO;
    for n in 1..=20 {
        let committed = Instant::now();
        server.world.commit(&[("load", t + n, n as f64)]);
        assert_eq!(client.read().await["v"], json!([n as f64]));
        worst = worst.max(committed.elapsed());
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[tokio::test]
async fn who_sends_nonsense_is_told_and_closed() {
    let server = Server::start();
    let nonsense = [Message::text("hello?"), Message::binary(vec![1, 2]), Message::text("[]")];
    for message in nonsense {
        let mut client = server.connect().await;
        client.0.send(message).await.unwrap();
        let (bye, code) = client.closed().await;
        assert_eq!((&bye["op"], &bye["code"], code), (&json!("bye"), &json!(4400), 4400));
    }
    // Beyond the size of a message the connection just ends.
    let mut client = server.connect().await;
    client.0.send(Message::text("x".repeat(100_000))).await.unwrap();
    let ended =
        tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = client.0.next().await {} });
    ended.await.unwrap();
}

#[tokio::test]
async fn stopping_says_when_to_come_back() {
    let server = Server::start();
    let mut client = server.connect().await;
    server.shutdown.fire();
    let (bye, code) = client.closed().await;
    assert_eq!((&bye["op"], code), (&json!("bye"), 1012));
    assert!(bye["retry_ms"].as_u64().unwrap() < 5_000);
}

/// One client never reads; the buffers of the system fill up; it is closed after the time-out of a write. The others
/// must not notice at any moment.
#[tokio::test]
async fn a_client_that_stops_reading_is_closed_and_the_others_do_not_notice() {
    let server = Server::start();
    let t = now_ms();
    // Long names make big updates, so that the system's buffers fill quickly.
    let names: Vec<_> = (0..400).map(|n| format!("load{{i=\"{n}\"}}")).collect();
    let round = |at: i64| {
        names.iter().map(|name| (name.as_str(), at, at as f64 + 0.123_456)).collect::<Vec<_>>()
    };
    server.world.store(&round(t));
    let mut stalled = server.connect().await;
    stalled.subscribe("load").await;
    let mut healthy = Vec::new();
    for _ in 0..8 {
        let mut client = server.connect().await;
        client.subscribe("load").await;
        healthy.push(client);
    }
    // A request whose answer is long: another snapshot.
    let flood = json!({"op": "sub", "id": 1, "match": ["load"]}).to_string();
    let began = Instant::now();
    let mut n = 0;
    let mut worst = Duration::ZERO;
    while server.world.metric("live_evicted_total{reason=\"slow\"}") == 0.0 {
        assert!(began.elapsed() < Duration::from_secs(60), "never closed");
        for _ in 0..200 {
            // It keeps asking and never reads, so that its answers fill the buffers of the system.
            let sent = stalled.0.send(Message::text(flood.clone()));
            if tokio::time::timeout(Duration::from_millis(1), sent).await.is_err() {
                break;
            }
        }
        n += 1;
        let committed = Instant::now();
        server.world.commit(&round(t + n));
        for client in &mut healthy {
            loop {
                let message = client.read().await;
                if message["op"] == "d" {
                    assert_eq!(message["t"], t + n);
                    break;
                }
            }
        }
        worst = worst.max(committed.elapsed());
    }
    assert!(worst < Duration::from_secs(2), "a healthy client waited {worst:?}");
}

#[tokio::test]
async fn the_snapshot_over_http() {
    let world = World::new();
    let t = now_ms();
    world.store(&[("load{i=\"a\"}", t, 1.5)]);
    let router = http::live::router(world.hub.clone(), Shutdown::new());
    let get = |query: &str| {
        let (router, path) = (router.clone(), format!("/api/v1/live/snapshot?{query}"));
        async move {
            let (status, _, body) = crate::console_assets::get(router, &path).await;
            (status, serde_json::from_slice::<Value>(&body).unwrap())
        }
    };
    let (status, snap) = get("match[]=load%7Bi%3D%22a%22%7D&range=5m").await;
    assert_eq!((status, &snap["cols"]), (200, &json!([[1.5]])));
    let (status, refusal) = get("match[]=load%7B").await;
    assert_eq!((status, &refusal["errorType"]), (400, &json!("bad_selector")));
    let (status, snap) = get("view=servers").await;
    assert_eq!((status, &snap["series"]), (200, &json!([])));
    let (status, _) = get("view=server&server=a%3A1&range=1y").await;
    assert_eq!(status, 400);
}
