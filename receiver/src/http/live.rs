//! Live updates over HTTP (`docs/live.md`).
//!
//! | path | answer |
//! |---|---|
//! | `GET /api/v1/live` | a WebSocket, subprotocol `watchpost.live.v1+json` |
//! | `GET /api/v1/live/snapshot` | one snapshot as JSON: `match[]` or `view` (and `server`), `range`, `step`, `points` |

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{
        Extension, RawQuery, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Json, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt, stream::FuturesUnordered};
use serde_json::json;
use service::Shutdown;
use tokio::time::{self, Instant as Deadline, MissedTickBehavior};

use crate::{
    live::{
        Action, Hub, Session, Topic, Window, Work,
        protocol::{
            CLIENT_MESSAGE_BYTES_MAX, Close, HEARTBEAT_EVERY, PING_EVERY, PONG_TIMEOUT, Refusal,
            SUBPROTOCOL, Subscribe, WRITE_TIMEOUT,
        },
    },
    token::Pass,
};

/// Messages that are read for each that is written while there is much to write.
const READS_PER_WRITE: usize = 4;

#[derive(Clone)]
struct Live {
    hub: Hub,
    shutdown: Shutdown,
}

/// The live endpoints.
pub fn router(hub: Hub, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/api/v1/live", get(upgrade))
        .route("/api/v1/live/snapshot", get(snapshot))
        .with_state(Live { hub, shutdown })
}

async fn upgrade(
    State(live): State<Live>,
    pass: Option<Extension<Pass>>,
    headers: HeaderMap,
    request: WebSocketUpgrade,
) -> Response {
    if !is_same_origin(&headers) {
        return refuse(
            StatusCode::FORBIDDEN,
            "origin",
            "this page is of another origin than the server",
        );
    }
    request
        .protocols([SUBPROTOCOL])
        .max_message_size(CLIENT_MESSAGE_BYTES_MAX)
        .max_frame_size(CLIENT_MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| serve(socket, live, pass.map(|Extension(pass)| pass)))
        .into_response()
}

/// Browsers say which page opens a WebSocket, and send cookies and passwords whichever it is: without this check any
/// page could read along. Programs send no `Origin`.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let of_origin = origin.to_str().ok().and_then(|origin| {
        origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))
    });
    match (of_origin, host) {
        (Some(origin), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

async fn snapshot(State(live): State<Live>, RawQuery(query): RawQuery) -> Response {
    let made = async {
        let request = subscription_of(query.as_deref().unwrap_or_default())?;
        live.hub.snapshot(Topic::of(&request)?, Window::of(&request)?).await
    };
    match made.await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(refusal) => {
            let status = match refusal {
                Refusal::Unavailable | Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            refuse(status, refusal.code(), &refusal.to_string())
        }
    }
}

/// The query string as a subscription: lists are repeated keys, as in Prometheus' API.
fn subscription_of(query: &str) -> Result<Subscribe, Refusal> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|err| Refusal::BadArgument(err.to_string()))?;
    let mut request = Subscribe::default();
    for (key, value) in pairs {
        match &*key {
            "match[]" | "match" => request.matches.push(value),
            "view" => request.view = Some(value),
            "server" => request.args.server = Some(value),
            "range" => request.range = Some(value),
            "step" => request.step = Some(value),
            "points" => {
                let wrong = |_| Refusal::BadArgument(format!("points `{value}` is not a number"));
                request.points = Some(value.parse().map_err(wrong)?);
            }
            _ => {
                return Err(Refusal::BadArgument(format!(
                    "there is no parameter `{key}`; there are match[], view, server, range, step and points"
                )));
            }
        }
    }
    Ok(request)
}

/// Errors as Prometheus' API has them.
fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({"status": "error", "errorType": code, "error": message}))).into_response()
}

async fn serve(mut socket: WebSocket, live: Live, pass: Option<Pass>) {
    let Some(session) = Session::open(&live.hub) else {
        let _ = time::timeout(WRITE_TIMEOUT, close(&mut socket, Close::Busy)).await;
        return;
    };
    Connection { socket, session, work: FuturesUnordered::new(), ping_sent: None }
        .run(&live.shutdown, pass)
        .await;
}

struct Connection {
    socket: WebSocket,
    session: Session,
    work: FuturesUnordered<Work>,
    ping_sent: Option<Instant>,
}

/// Whether the connection goes on.
enum Flow {
    On,
    Over,
}

impl Connection {
    async fn run(mut self, shutdown: &Shutdown, pass: Option<Pass>) {
        let ticks = |every: Duration| {
            let mut ticks = time::interval_at(Deadline::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut heartbeats, mut pings) = (ticks(HEARTBEAT_EVERY), ticks(PING_EVERY));
        let mut is_revoked = false;
        let mut revoked = pin!(async {
            match &pass {
                Some(pass) => pass.ended().await,
                None => std::future::pending().await,
            }
        });
        loop {
            self.work.extend(self.session.repairs());
            let until = match self.session.next(Instant::now()) {
                Action::Send(text) => match self.send(text).await {
                    Flow::On => continue,
                    Flow::Over => return,
                },
                Action::Close(reason, bye) => {
                    // Best effort: who is closed for being slow will not take it.
                    let farewell = async {
                        let text = Utf8Bytes::try_from(bye).unwrap_or_default();
                        if self.socket.send(Message::Text(text)).await.is_ok() {
                            close(&mut self.socket, reason).await;
                        }
                    };
                    let _ = time::timeout(Duration::from_secs(1), farewell).await;
                    return;
                }
                Action::Wait(until) => until,
            };
            let pong_deadline = self.ping_sent.map(|sent| sent + PONG_TIMEOUT);
            let flow = tokio::select! {
                () = self.session.woken() => Flow::On,
                message = self.socket.recv() => self.received(message),
                Some(outcome) = self.work.next(), if !self.work.is_empty() => {
                    self.session.done(outcome);
                    Flow::On
                }
                () = at(until) => Flow::On,
                () = at(pong_deadline) => {
                    self.session.close(Close::PongTimeout);
                    Flow::On
                }
                _ = heartbeats.tick() => {
                    self.session.heartbeat();
                    Flow::On
                }
                _ = pings.tick() => self.ping().await,
                () = &mut revoked, if !is_revoked => {
                    is_revoked = true;
                    self.session.close(Close::Revoked);
                    Flow::On
                }
                () = shutdown.fired() => {
                    self.session.close(Close::Restart);
                    Flow::On
                }
            };
            if let Flow::Over = flow {
                return;
            }
        }
    }

    async fn send(&mut self, text: Bytes) -> Flow {
        let text = Utf8Bytes::try_from(text).unwrap_or_default();
        match time::timeout(WRITE_TIMEOUT, self.socket.send(Message::Text(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Flow::Over,
            Err(_) => {
                self.session.evicted(Close::Slow);
                return Flow::Over;
            }
        }
        // A client with much to take must still be heard.
        for _ in 0..READS_PER_WRITE {
            let Some(message) = self.socket.recv().now_or_never() else { break };
            if let Flow::Over = self.received(message) {
                return Flow::Over;
            }
        }
        while let Some(Some(outcome)) = self.work.next().now_or_never() {
            self.session.done(outcome);
        }
        Flow::On
    }

    async fn ping(&mut self) -> Flow {
        self.ping_sent.get_or_insert_with(Instant::now);
        match time::timeout(WRITE_TIMEOUT, self.socket.send(Message::Ping(Bytes::new()))).await {
            Ok(Ok(())) => Flow::On,
            Ok(Err(_)) => Flow::Over,
            Err(_) => {
                self.session.evicted(Close::Slow);
                Flow::Over
            }
        }
    }

    fn received(&mut self, message: Option<Result<Message, axum::Error>>) -> Flow {
        match message {
            Some(Ok(Message::Text(text))) => self.work.extend(self.session.handle(&text)),
            Some(Ok(Message::Binary(_))) => self.session.close(Close::BadFrame),
            Some(Ok(Message::Pong(_))) => self.ping_sent = None,
            // Pings are answered by the library.
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Flow::Over,
        }
        Flow::On
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

async fn close(socket: &mut WebSocket, reason: Close) {
    let frame = CloseFrame { code: reason.code(), reason: reason.reason().into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
    let _ = SinkExt::close(socket).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_origins_are_refused() {
        let check = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            is_same_origin(&headers)
        };
        assert!(check(None, "a:9201"), "programs");
        assert!(check(Some("http://a:9201"), "a:9201"));
        assert!(check(Some("https://A.example"), "a.example"));
        assert!(!check(Some("http://a:9202"), "a:9201"));
        assert!(!check(Some("http://a.evil"), "a"));
        assert!(!check(Some("null"), "null"));
        assert!(!check(Some("file://a"), "a"));
    }

    #[test]
    fn the_query_string_is_a_subscription() {
        let request =
            subscription_of("match[]=up&match[]=a%7Bb%3D%22c%22%7D&range=5m&points=10").unwrap();
        assert_eq!(request.matches, ["up", "a{b=\"c\"}"]);
        assert_eq!((request.range.as_deref(), request.points), (Some("5m"), Some(10)));
        assert!(subscription_of("points=many").is_err());
        assert!(
            subscription_of("since=1").unwrap_err().to_string().contains("no parameter `since`")
        );
    }
}
