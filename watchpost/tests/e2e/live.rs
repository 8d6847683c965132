//! Whoever listens on the WebSocket sees a sample within a second of its acknowledgement.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use proto::{
    remote_write::{
        self, Message as _,
        v1::{Label, Sample, TimeSeries, WriteRequest},
    },
    snappy,
};
use receiver::db::testing;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::harness::{
    http,
    process::{Process, watchpost},
};

/// The promise.
const SEEN_WITHIN: Duration = Duration::from_secs(1);
const ROUNDS: usize = 30;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(address: &str) -> Socket {
    let mut request = format!("ws://{address}/api/v1/live").into_client_request().unwrap();
    let protocol = "watchpost.live.v1+json".parse().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    let (mut socket, answer) = connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "watchpost.live.v1+json");
    assert_eq!(next(&mut socket).await["op"], "hello");
    socket
}

/// The next message of the protocol.
async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(30), socket.next()).await;
        match message.expect("the server says something").expect("the socket is open").unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// Reads until a data frame, or a snapshot, holds `value`.
async fn until_seen(socket: &mut Socket, value: f64) {
    loop {
        let message = next(socket).await;
        let holds = |values: &Value| {
            values.as_array().is_some_and(|v| v.iter().any(|v| v.as_f64() == Some(value)))
        };
        let seen = match message["op"].as_str() {
            Some("d") => holds(&message["v"]),
            Some("snap") => message["cols"].as_array().unwrap().iter().any(holds),
            Some("err") => panic!("{message}"),
            _ => false,
        };
        if seen {
            return;
        }
    }
}

fn body(value: f64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let labels = [("__name__", "e2e_live"), ("job", "test")]
        .map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() });
    let request = WriteRequest {
        timeseries: vec![TimeSeries {
            labels: labels.to_vec(),
            samples: vec![Sample { value, timestamp: i64::try_from(now).unwrap() }],
            ..TimeSeries::default()
        }],
        metadata: Vec::new(),
    };
    snappy::compress(&request.encode_to_vec())
}

#[tokio::test]
async fn a_sample_is_seen_within_a_second_of_its_acknowledgement() {
    let folder = testing::folder();
    let database = testing::database().await;
    let mut command = watchpost();
    command.args(["receiver", "--web.listen-address", "127.0.0.1:0"]);
    command.args(["--database-url", database.url()]);
    let mut receiver = Process::start("receiver", folder.path(), command);
    let address = receiver.address().await;
    let mut socket = connect(&address).await;
    // The series does not exist yet: it has to join a subscription that is there already.
    let subscribe = json!({"op": "sub", "id": 1, "match": ["e2e_live{job=\"test\"}"]});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    while next(&mut socket).await["op"] != "ok" {}

    let http = http();
    let mut delays = Vec::new();
    for round in 0..ROUNDS {
        let value = round as f64 + 0.25;
        let answer = http
            .post(format!("http://{address}/api/v1/write"))
            .header("Content-Type", remote_write::V1_CONTENT_TYPE)
            .header("Content-Encoding", "snappy")
            .body(body(value))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
        let acknowledged = Instant::now();
        until_seen(&mut socket, value).await;
        delays.push(acknowledged.elapsed());
    }
    delays.sort();
    eprintln!(
        "from acknowledgement to WebSocket client: median {:?}, slowest {:?} of {ROUNDS}",
        delays[ROUNDS / 2],
        delays[ROUNDS - 1]
    );
    assert!(delays[ROUNDS - 1] < SEEN_WITHIN, "{delays:?}");
    // A listener must not hold up the end.
    receiver.stop().await;
}
