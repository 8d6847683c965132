//! The words of the protocol: what clients may say, what the server says, the limits, the close codes.
//!
//! The whole protocol with examples stands in `docs/live.md`.

use std::time::Duration;

use serde::Deserialize;

/// The WebSocket subprotocol; the server echoes it when the client asks for it.
pub const SUBPROTOCOL: &str = "watchpost.live.v1+json";

/// Subscriptions of one connection. A page needs a handful.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Series of one `match` subscription: what a chart or a small program can use.
pub const SERIES_PER_SUBSCRIPTION_MAX: usize = 500;
/// Series of all `match` subscriptions of one connection.
pub const SERIES_PER_CONNECTION_MAX: usize = 5_000;
/// Replies that may wait for a client. A client that asks without reading is closed.
pub const REPLIES_MAX: usize = 256;
/// Bytes of one message from a client.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Selectors of one `match` subscription.
pub const SELECTORS_MAX: usize = 16;
/// Points of one series in a snapshot: about the pixels of a wide chart.
pub const POINTS_MAX: u32 = 1_000;
/// Points of one series when the client does not say.
pub const POINTS_DEFAULT: u32 = 600;
/// How far a snapshot reaches back. Longer ranges are for the query API.
pub const RANGE_MAX: Duration = Duration::from_secs(6 * 3600);
/// How far a snapshot reaches back when the client does not say.
pub const RANGE_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// Browsers cannot see protocol pings; this is how they notice a dead connection.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// Protocol pings keep middleboxes from forgetting the connection.
pub const PING_EVERY: Duration = Duration::from_secs(25);
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// A write that is blocked this long ends the connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client may say.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    Sub(Subscribe),
    Unsub { ch: u64 },
    Rate { ch: u64, max_hz: f64 },
    Ping { n: i64 },
}

/// Exactly one of `match` and `view`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Chosen by the client; the answer carries it.
    pub id: i64,
    #[serde(default, rename = "match")]
    pub matches: Vec<String>,
    pub view: Option<String>,
    #[serde(default)]
    pub args: Args,
    /// How far the snapshot reaches back, as `15m`.
    pub range: Option<String>,
    /// The least distance of two points in the snapshot, as `1s`.
    pub step: Option<String>,
    /// The most points of one series in the snapshot.
    pub points: Option<u32>,
    pub resume: Option<Resume>,
}

/// Arguments of a view.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// View `server`: the value of its `instance` label.
    pub server: Option<String>,
}

/// Where a client that was cut off stopped.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    pub epoch: String,
    pub seq: u64,
}

/// The messages of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Hello,
    Ok,
    Snap,
    Data,
    Series,
    Gap,
    Heartbeat,
    Pong,
    Err,
    Bye,
}

impl Op {
    pub const ALL: [Self; 10] = [
        Self::Hello,
        Self::Ok,
        Self::Snap,
        Self::Data,
        Self::Series,
        Self::Gap,
        Self::Heartbeat,
        Self::Pong,
        Self::Err,
        Self::Bye,
    ];

    /// The value of `op` on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Ok => "ok",
            Self::Snap => "snap",
            Self::Data => "d",
            Self::Series => "series",
            Self::Gap => "gap",
            Self::Heartbeat => "hb",
            Self::Pong => "pong",
            Self::Err => "err",
            Self::Bye => "bye",
        }
    }
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The server is stopping.
    Restart,
    /// Too many connections.
    Busy,
    /// A binary message or one that is not of this protocol.
    BadFrame,
    /// No pong within [`PONG_TIMEOUT`].
    PongTimeout,
    /// The token that opened the connection was revoked or has expired.
    Revoked,
    /// A write was blocked for [`WRITE_TIMEOUT`], or replies piled up.
    Slow,
}

impl Close {
    pub const ALL: [Self; 6] =
        [Self::Restart, Self::Busy, Self::BadFrame, Self::Revoked, Self::PongTimeout, Self::Slow];

    /// The WebSocket close code (RFC 6455 section 7.4; 4000–4999 are for applications).
    pub fn code(self) -> u16 {
        match self {
            Self::Restart => 1012,
            Self::Busy => 1013,
            Self::BadFrame => 4400,
            Self::Revoked => 4401,
            Self::PongTimeout => 4408,
            Self::Slow => 4413,
        }
    }

    /// The same as a word, for people and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Busy => "busy",
            Self::BadFrame => "bad_frame",
            Self::Revoked => "revoked",
            Self::PongTimeout => "pong_timeout",
            Self::Slow => "slow",
        }
    }
}

/// Why updates are missing; a fresh snapshot follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The client (or the hub) could not keep up.
    Slow,
    /// The server was started anew since.
    Restart,
    /// The client was away for longer than updates are kept.
    Expired,
}

impl GapReason {
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Restart => "restart",
            Self::Expired => "expired",
        }
    }
}

/// Why a request was refused. The connection stays open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    BadSelector(String),
    #[error("{0}")]
    BadArgument(String),
    #[error("more than {limit} series match; add a matcher")]
    TooWide { limit: usize },
    #[error("this connection has {limit} {what}, the most it may have; unsubscribe first")]
    TooMany { what: &'static str, limit: usize },
    #[error("the server serves as many different subscriptions as it may; try again in a minute")]
    Busy,
    #[error("the store does not answer; see the server's log")]
    Unavailable,
    #[error("channel {0} is not subscribed on this connection")]
    NoSuchChannel(u64),
}

impl Refusal {
    /// The `code` of the `err` message.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSelector(_) => "bad_selector",
            Self::BadArgument(_) => "bad_argument",
            Self::TooWide { .. } => "selector_too_wide",
            Self::TooMany { .. } => "limit",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::NoSuchChannel(_) => "no_such_channel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        let read = |text: &str| serde_json::from_str::<Request>(text);
        let sub = read(
            r#"{"op":"sub","id":3,"view":"server","args":{"server":"db-1:9100"},"range":"15m","resume":{"epoch":"k3f9","seq":184223}}"#,
        )
        .unwrap();
        assert_eq!(
            sub,
            Request::Sub(Subscribe {
                id: 3,
                view: Some("server".to_owned()),
                args: Args { server: Some("db-1:9100".to_owned()) },
                range: Some("15m".to_owned()),
                resume: Some(Resume { epoch: "k3f9".to_owned(), seq: 184_223 }),
                ..Subscribe::default()
            })
        );
        let raw = read(r#"{"op":"sub","id":2,"match":["up"],"step":"1s","points":600}"#).unwrap();
        assert!(matches!(raw, Request::Sub(Subscribe { points: Some(600), .. })));
        assert_eq!(read(r#"{"op":"unsub","ch":77}"#).unwrap(), Request::Unsub { ch: 77 });
        assert_eq!(
            read(r#"{"op":"rate","ch":77,"max_hz":0.2}"#).unwrap(),
            Request::Rate { ch: 77, max_hz: 0.2 }
        );
        assert_eq!(read(r#"{"op":"ping","n":5}"#).unwrap(), Request::Ping { n: 5 });
        for bad in [
            "",
            "[]",
            r#"{"op":"shout"}"#,
            r#"{"op":"unsub"}"#,
            r#"{"op":"unsub","ch":-1}"#,
            r#"{"op":"unsub","ch":1,"x":1}"#,
            r#"{"op":"sub","id":1,"matches":["up"]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
