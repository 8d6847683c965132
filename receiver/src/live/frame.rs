//! Messages as the bytes that go over the wire.
//!
//! An update is encoded once and its bytes are shared by every subscriber; only a client that lags gets its own.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use serde_json::json;

use super::{
    protocol::{self, Close, GapReason, Refusal},
    source,
};

/// One value of an update.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Which value of the channel: see [`Entry`].
    pub(super) i: u32,
    /// Milliseconds since 1970.
    pub(super) t: i64,
    /// The stale marker stands for "no value" and is shown as `null`.
    pub(super) v: f64,
}

/// A series, or a row of a view with fields, as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Index of its first value; never used again in this channel once the entry is gone.
    pub(super) i: u32,
    pub(super) labels: Vec<(String, String)>,
    /// Unit of the values, for derived series.
    pub(super) unit: Option<&'static str>,
}

/// One column of a view whose entries are rows: entry `i` covers the values `i..i + fields.len()`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
}

/// What happened in a channel, with its place in the order of the channel.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) seq: u64,
    pub(super) made: Instant,
    /// The values of a data frame, in order of index; `None` in a `series` frame.
    pub(super) points: Option<Vec<Point>>,
    pub(super) text: Bytes,
}

impl Frame {
    pub(super) fn data(
        ch: u64,
        seq: u64,
        made: Instant,
        points: Vec<Point>,
        width: u32,
    ) -> Arc<Self> {
        let text = data(ch, seq, &points, width, 1);
        Arc::new(Self { seq, made, points: Some(points), text })
    }

    pub(super) fn series(
        ch: u64,
        seq: u64,
        made: Instant,
        added: &[Arc<Entry>],
        removed: &[u32],
    ) -> Arc<Self> {
        let added: Vec<_> = added.iter().map(|entry| entry_json(entry)).collect();
        let text =
            text(json!({"op": "series", "ch": ch, "seq": seq, "add": added, "del": removed}));
        Arc::new(Self { seq, made, points: None, text })
    }
}

/// `{"op":"d",…}`. `points` is in order of index; `width` is how many indices the channel has handed out;
/// `merged` is how many updates were made one.
pub(super) fn data(ch: u64, seq: u64, points: &[Point], width: u32, merged: u64) -> Bytes {
    let newest = points.iter().map(|point| point.t).max().unwrap_or(0);
    let dense = points.len() == width as usize;
    let mut out = Vec::with_capacity(64 + points.len() * 12);
    let number = |out: &mut Vec<u8>, n: i64| out.extend_from_slice(n.to_string().as_bytes());
    out.extend_from_slice(b"{\"op\":\"d\",\"ch\":");
    number(&mut out, ch.cast_signed());
    out.extend_from_slice(b",\"seq\":");
    number(&mut out, seq.cast_signed());
    if merged > 1 {
        out.extend_from_slice(b",\"n\":");
        number(&mut out, merged.cast_signed());
    }
    out.extend_from_slice(b",\"t\":");
    number(&mut out, newest);
    if !dense {
        list(&mut out, "i", points, |out, point| number(out, i64::from(point.i)));
    }
    if points.iter().any(|point| point.t != newest) {
        list(&mut out, "dt", points, |out, point| number(out, point.t - newest));
    }
    list(&mut out, "v", points, |out, point| value(out, point.v));
    out.push(b'}');
    out.into()
}

fn list<T>(out: &mut Vec<u8>, name: &str, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    array(out, items, write);
}

fn array<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// `null` is the stale marker; JSON has no other non-finite numbers, so they are written as Prometheus writes them.
fn value(out: &mut Vec<u8>, value: f64) {
    let word: &[u8] = match value {
        _ if source::is_stale(value) => b"null",
        _ if value.is_nan() => b"\"NaN\"",
        f64::INFINITY => b"\"+Inf\"",
        f64::NEG_INFINITY => b"\"-Inf\"",
        _ => {
            return serde_json::to_writer(out, &value).expect("writing to memory cannot fail");
        }
    };
    out.extend_from_slice(word);
}

/// The past of one index.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    /// Times relative to the snapshot's `t0`; `None` on the snapshot's grid. A column on the grid that is shorter than
    /// the others ends with them.
    pub(super) times: Option<Vec<i64>>,
    pub(super) values: Vec<f64>,
}

/// Everything a newcomer needs.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    pub(super) ch: u64,
    pub(super) seq: u64,
    pub(super) t0: i64,
    pub(super) step_ms: i64,
    pub(super) fields: &'a [Field],
    pub(super) entries: &'a [Arc<Entry>],
    /// In order of index: one for each value of each entry.
    pub(super) columns: &'a [Column],
    /// Rows that exist but are not shown, because a view has a bound.
    pub(super) more: usize,
}

impl Snapshot<'_> {
    pub(super) fn encode(&self) -> Bytes {
        let mut head = json!({
            "op": "snap", "ch": self.ch, "seq": self.seq, "t0": self.t0, "step": self.step_ms,
            "series": self.entries.iter().map(|entry| entry_json(entry)).collect::<Vec<_>>(),
        });
        if !self.fields.is_empty() {
            head["fields"] = self
                .fields
                .iter()
                .map(|field| json!({"name": field.name, "u": field.unit}))
                .collect();
        }
        if self.more > 0 {
            head["more"] = self.more.into();
        }
        let mut out = serde_json::to_vec(&head).expect("plain JSON");
        out.pop();
        list(&mut out, "cols", self.columns, |out, column| {
            array(out, &column.values, |out, v| value(out, *v));
        });
        if self.columns.iter().any(|column| column.times.is_some()) {
            list(&mut out, "ts", self.columns, |out, column| match &column.times {
                None => out.extend_from_slice(b"null"),
                Some(times) => {
                    array(out, times, |out, t| out.extend_from_slice(t.to_string().as_bytes()));
                }
            });
        }
        out.push(b'}');
        out.into()
    }
}

fn entry_json(entry: &Entry) -> serde_json::Value {
    let labels: serde_json::Map<_, _> =
        entry.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut json = json!({"i": entry.i, "m": labels});
    if let Some(unit) = entry.unit {
        json["u"] = unit.into();
    }
    json
}

pub(super) fn hello(epoch: &str, now_ms: i64) -> Bytes {
    text(json!({
        "op": "hello", "v": 1, "epoch": epoch, "server": env!("CARGO_PKG_VERSION"), "now": now_ms,
        "hb_s": protocol::HEARTBEAT_EVERY.as_secs(),
        "limits": {
            "subs": protocol::SUBSCRIPTIONS_MAX,
            "series_per_sub": protocol::SERIES_PER_SUBSCRIPTION_MAX,
            "series": protocol::SERIES_PER_CONNECTION_MAX,
            "event_queue": protocol::REPLIES_MAX,
        },
    }))
}

pub(super) fn ok(id: i64, ch: u64, resumed: bool) -> Bytes {
    text(json!({"op": "ok", "id": id, "ch": ch, "mode": if resumed { "resumed" } else { "snap" }}))
}

/// Updates `from..=to` are lost; `from` is absent when the client's own count is of another epoch.
pub(super) fn gap(ch: u64, from: Option<u64>, to: u64, why: GapReason) -> Bytes {
    let mut gap = json!({"op": "gap", "ch": ch, "to": to, "why": why.name()});
    if let Some(from) = from {
        gap["from"] = from.into();
    }
    text(gap)
}

pub(super) fn heartbeat(now_ms: i64) -> Bytes {
    text(json!({"op": "hb", "t": now_ms}))
}

pub(super) fn pong(n: i64, now_ms: i64) -> Bytes {
    text(json!({"op": "pong", "n": n, "t": now_ms}))
}

pub(super) fn refused(id: Option<i64>, refusal: &Refusal) -> Bytes {
    let mut err = json!({"op": "err", "code": refusal.code(), "msg": refusal.to_string()});
    if let Some(id) = id {
        err["id"] = id.into();
    }
    text(err)
}

pub(super) fn bye(close: Close, retry_ms: u64) -> Bytes {
    text(json!({"op": "bye", "code": close.code(), "reason": close.reason(), "retry_ms": retry_ms}))
}

fn text(json: serde_json::Value) -> Bytes {
    json.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(points: &[(u32, i64, f64)], width: u32, merged: u64) -> String {
        let points: Vec<_> = points.iter().map(|&(i, t, v)| Point { i, t, v }).collect();
        String::from_utf8(data(7, 3, &points, width, merged).to_vec()).unwrap()
    }

    #[test]
    fn updates_are_dense_when_whole_and_say_when_times_differ() {
        let stale = source::NONE;
        assert_eq!(
            shown(&[(0, 9, 0.44), (1, 9, stale)], 2, 1),
            r#"{"op":"d","ch":7,"seq":3,"t":9,"v":[0.44,null]}"#
        );
        assert_eq!(
            shown(&[(1, 5, -0.0), (4, 9, f64::NEG_INFINITY)], 5, 4),
            r#"{"op":"d","ch":7,"seq":3,"n":4,"t":9,"i":[1,4],"dt":[-4,0],"v":[-0.0,"-Inf"]}"#
        );
        assert_eq!(
            shown(&[(0, 1, f64::NAN)], 2, 1),
            r#"{"op":"d","ch":7,"seq":3,"t":1,"i":[0],"v":["NaN"]}"#
        );
    }

    #[test]
    fn snapshots() {
        let entry =
            Entry { i: 0, labels: vec![("a".to_owned(), "b\"".to_owned())], unit: Some("percent") };
        let columns = [
            Column { times: None, values: vec![1.0, source::NONE] },
            Column { times: Some(vec![0, 5]), values: vec![2.0, 3.0] },
        ];
        let snapshot = Snapshot {
            ch: 1,
            seq: 2,
            t0: 3,
            step_ms: 4,
            fields: &[Field { name: "up", unit: "bool" }],
            entries: &[Arc::new(entry)],
            columns: &columns,
            more: 0,
        };
        let json: serde_json::Value = serde_json::from_slice(&snapshot.encode()).unwrap();
        assert_eq!(
            json,
            json!({"op": "snap", "ch": 1, "seq": 2, "t0": 3, "step": 4,
                "fields": [{"name": "up", "u": "bool"}],
                "series": [{"i": 0, "m": {"a": "b\""}, "u": "percent"}],
                "cols": [[1.0, null], [2.0, 3.0]], "ts": [null, [0, 5]]})
        );
    }
}
