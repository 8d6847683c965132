//! The sender against receivers of all kinds, over real sockets.

use std::{
    collections::VecDeque,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use proto::{
    exposition::Exposition,
    remote_write::{Message, v1, v2},
    scrape::{self, Target},
    snappy,
};

use super::*;
use crate::{Outbox, args::Label, client::Credentials};

/// What a receiver answers.
#[derive(Clone, Debug)]
enum Reply {
    /// As one that speaks 2.0.
    Two,
    /// 204, and nothing about what was written: as one that speaks 1.0 only, whatever it was sent.
    One,
    Status(u16, &'static [(&'static str, &'static str)], &'static str),
}

#[derive(Clone, Default)]
struct Receiver(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// For the next requests; the last stays.
    replies: Mutex<VecDeque<Reply>>,
    got: Mutex<Vec<Got>>,
    n: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Got {
    version: Version,
    /// Value of `n` and its time, of what was answered with success.
    samples: Vec<(f64, i64)>,
    n_series: usize,
    n_described: usize,
    taken: bool,
    headers: HeaderMap,
}

async fn write(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    receiver.0.n.fetch_add(1, Ordering::Relaxed);
    let reply = {
        let mut replies = receiver.0.replies.lock().unwrap();
        if replies.len() > 1 { replies.pop_front().unwrap() } else { replies[0].clone() }
    };
    let mut raw = Vec::new();
    snappy::decompress(&body, 1 << 26, &mut raw).unwrap();
    let version = match headers[header::CONTENT_TYPE].to_str().unwrap() {
        V2_CONTENT_TYPE => Version::Two,
        V1_CONTENT_TYPE => Version::One,
        other => panic!("{other}"),
    };
    let mut got = Got {
        version,
        samples: Vec::new(),
        n_series: 0,
        n_described: 0,
        taken: matches!(reply, Reply::Two)
            || (matches!(reply, Reply::One) && version == Version::One),
        headers,
    };
    let mut n_samples = 0;
    match version {
        Version::One => {
            assert_eq!(got.headers["x-prometheus-remote-write-version"], "0.1.0");
            let request = v1::WriteRequest::decode(raw.as_slice()).unwrap();
            got.n_described = request.metadata.len();
            got.n_series = request.timeseries.len();
            for series in &request.timeseries {
                n_samples += series.samples.len();
                if series.labels.iter().any(|l| l.name == "__name__" && l.value == "n") {
                    got.samples.extend(series.samples.iter().map(|s| (s.value, s.timestamp)));
                }
            }
        }
        Version::Two => {
            assert_eq!(got.headers["x-prometheus-remote-write-version"], "2.0.0");
            let request = v2::Request::decode(raw.as_slice()).unwrap();
            got.n_series = request.timeseries.len();
            for series in &request.timeseries {
                n_samples += series.samples.len();
                got.n_described += usize::from(series.metadata.is_some());
                let is_n = |pair: &[u32]| {
                    request.symbols[pair[0] as usize] == "__name__"
                        && request.symbols[pair[1] as usize] == "n"
                };
                if series.labels_refs.chunks(2).any(is_n) {
                    got.samples.extend(series.samples.iter().map(|s| (s.value, s.timestamp)));
                }
            }
        }
    }
    receiver.0.got.lock().unwrap().push(got);
    match reply {
        Reply::Two => (StatusCode::NO_CONTENT, [(WRITTEN, n_samples.to_string())]).into_response(),
        Reply::One => StatusCode::NO_CONTENT.into_response(),
        Reply::Status(status, headers, text) => {
            let mut answer = (StatusCode::from_u16(status).unwrap(), text).into_response();
            for (name, value) in headers {
                answer.headers_mut().insert(*name, value.parse().unwrap());
            }
            answer
        }
    }
}

struct Running {
    receiver: Receiver,
    outbox: Outbox,
    closing: Shutdown,
    sender: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

async fn start(replies: &[Reply], change: impl FnOnce(&mut Config)) -> Running {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let receiver = Receiver::default();
    receiver.0.replies.lock().unwrap().extend(replies.iter().cloned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/api/v1/write", post(write)).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config {
        program: "test".to_owned(),
        url: format!("http://{address}/api/v1/write").parse().unwrap(),
        interval: Duration::from_secs(1),
        labels: Vec::new(),
        queue_dir: folder.path().join("queue"),
        queue_bytes: 16 << 20,
        timeout: Duration::from_secs(5),
        protocol: None,
        credentials: Credentials::default(),
    };
    change(&mut config);
    let (outbox, sender) = crate::open(&config).unwrap();
    let closing = Shutdown::new();
    let sender = tokio::spawn(sender.run(closing.clone()));
    Running { receiver, outbox, closing, sender, folder }
}

impl Running {
    /// A scrape whose only metric says `n`, at the time `n`.
    async fn push(&self, n: i64) {
        let mut metrics = Exposition::new();
        metrics.gauge("n", "A number.", n as f64);
        let mut target = Target::new(&[("job", "test")]);
        let mut request = target.scraped(&metrics, n, Duration::ZERO);
        request.metadata = scrape::metadata(&metrics);
        self.outbox.push(request).await;
    }

    /// Everything that was taken, after everything was sent.
    async fn finish(self) -> (Vec<Got>, Vec<f64>, Arc<Stats>) {
        self.closing.fire();
        self.sender.await.unwrap();
        drop(self.folder);
        let got = self.receiver.0.got.lock().unwrap().clone();
        let taken = got.iter().filter(|got| got.taken).flat_map(|got| &got.samples);
        let values = taken.map(|(value, _)| *value).collect();
        (got, values, Arc::clone(self.outbox.stats()))
    }
}

use crate::stats::Stats;

fn count(stats: &Stats, name: &str) -> f64 {
    let mut page = Exposition::new();
    stats.write(&mut page);
    let text = page.to_text();
    let line =
        text.lines().find(|line| line.starts_with(&format!("watchpost_test_remote_write_{name} ")));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn version_two_with_descriptions() {
    let running = start(&[Reply::Two], |config| {
        config
            .credentials
            .headers
            .push(Label { name: "X-Scope-OrgID".into(), value: "team".into() });
    })
    .await;
    running.push(1).await;
    running.push(2).await;
    let (got, values, stats) = running.finish().await;
    assert_eq!(values, [1.0, 2.0]);
    assert!(got.iter().all(|got| got.version == Version::Two && got.n_described >= 1));
    assert_eq!(got[0].headers["content-encoding"], "snappy");
    assert_eq!(got[0].headers["x-scope-orgid"], "team");
    assert!(got[0].headers["user-agent"].to_str().unwrap().starts_with("watchpost/"));
    assert_eq!((count(&stats, "samples_total"), count(&stats, "protocol_version")), (12.0, 2.0));
    assert_eq!(count(&stats, "samples_pending"), 0.0);
}

#[tokio::test]
async fn receivers_of_version_one_get_it() {
    for first in [
        Reply::Status(415, &[], "unsupported protobuf message"),
        Reply::Status(400, &[], "proto: illegal wireType 7"),
        // Prometheus before 3.0 takes 2.0 for an empty request of 1.0.
        Reply::One,
    ] {
        let running = start(&[first.clone(), Reply::One], |_| {}).await;
        for n in 1..=5 {
            running.push(n).await;
        }
        let (got, values, stats) = running.finish().await;
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0], "{first:?}");
        assert_eq!(got[0].version, Version::Two);
        assert!(got[1..].iter().all(|got| got.version == Version::One), "{first:?}");
        assert!(got[1].n_described > 0);
        assert_eq!(count(&stats, "protocol_version"), 1.0);
        assert_eq!(count(&stats, "samples_failed_total"), 0.0);
    }
}

#[tokio::test]
async fn what_may_pass_comes_again_and_what_never_does_is_dropped() {
    let replies = [
        Reply::Status(503, &[("retry-after", "0")], "the database is away"),
        Reply::Status(500, &[], ""),
        Reply::Status(429, &[("retry-after", "0")], "slow down"),
        Reply::Two,
        // A 2.0 receiver that refuses says how much it wrote.
        Reply::Status(400, &[(WRITTEN, "2")], "series n: out of order"),
        Reply::Status(422, &[], "no such thing"),
        Reply::Two,
    ];
    let running = start(&replies, |_| {}).await;
    for n in 1..=4 {
        running.push(n).await;
        // Each alone: what waits is put together otherwise.
        while running.outbox.stats().pending() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (got, values, stats) = running.finish().await;
    assert_eq!(values, [1.0, 4.0]);
    assert_eq!(got.len(), 7);
    assert!(got.iter().all(|got| got.version == Version::Two));
    // Each scrape has six samples: of the second two were written, of the third none.
    assert_eq!(count(&stats, "samples_total"), 14.0);
    assert_eq!(count(&stats, "samples_failed_total"), 10.0);
    assert_eq!(count(&stats, "samples_retried_total"), 18.0);
}

#[tokio::test]
async fn a_request_that_is_too_large_comes_in_pieces() {
    let running = start(&[Reply::Status(503, &[], "")], |_| {}).await;
    for n in 1..=9 {
        running.push(n).await;
    }
    let replies = [
        Reply::Status(503, &[], ""),
        // The first, which was on its way alone.
        Reply::Two,
        Reply::Status(413, &[], "too large"),
        Reply::Status(413, &[], "too large"),
        Reply::Two,
    ];
    *running.receiver.0.replies.lock().unwrap() = replies.into();
    let (got, values, stats) = running.finish().await;
    assert_eq!(values, (1..=9).map(f64::from).collect::<Vec<_>>());
    assert!(got.iter().any(|got| got.samples.len() > 1), "what waits is put together");
    assert_eq!(count(&stats, "samples_failed_total"), 0.0);
}

#[tokio::test]
async fn what_is_left_at_the_end_is_sent_at_the_next_start() {
    let running = start(&[Reply::Status(503, &[("retry-after", "60")], "")], |_| {}).await;
    running.push(1).await;
    while running.receiver.0.n.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.push(2).await;
    let Running { receiver, outbox, closing, sender, folder } = running;
    closing.fire();
    sender.await.unwrap();
    drop(outbox);
    let path = folder.path().join("queue");
    let again = start(&[Reply::Two], |config| config.queue_dir = path).await;
    let (_, values, _) = again.finish().await;
    assert_eq!(values, [1.0, 2.0]);
    assert!(receiver.0.got.lock().unwrap().iter().all(|got| !got.taken));
}

#[tokio::test]
async fn credentials_are_read_for_each_request() {
    let secrets = tempfile::tempdir().unwrap();
    let token = secrets.path().join("token");
    std::fs::write(&token, "one\n").unwrap();
    let running =
        start(&[Reply::Two], |config| config.credentials.token_file = Some(token.clone())).await;
    running.push(1).await;
    while running.outbox.stats().pending() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::write(&token, "two\n").unwrap();
    running.push(2).await;
    let (got, values, _) = running.finish().await;
    assert_eq!(values, [1.0, 2.0]);
    let sent: Vec<&str> =
        got.iter().map(|got| got.headers[header::AUTHORIZATION].to_str().unwrap()).collect();
    assert_eq!(sent, ["Bearer one", "Bearer two"]);
}

#[test]
fn answers_and_what_they_mean() {
    let answer = |status: u16, headers: &[(&'static str, &str)]| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect(),
        body: b"why\nnot".to_vec(),
    };
    let kind = |version, fixed, answer: &Answer| match judge(version, fixed, answer) {
        Verdict::Taken { .. } => "taken",
        Verdict::Later { .. } => "later",
        Verdict::Refused { .. } => "refused",
        Verdict::NotTwo { .. } => "as one",
        Verdict::TooLarge { .. } => "smaller",
    };
    use Version::{One, Two};
    for (version, fixed, status, headers, expected) in [
        (One, false, 204, &[][..], "taken"),
        (Two, false, 200, &[(WRITTEN, "1")], "taken"),
        (Two, false, 204, &[], "as one"),
        (Two, true, 204, &[], "taken"),
        (Two, false, 415, &[], "as one"),
        (Two, true, 415, &[], "refused"),
        (One, false, 415, &[], "refused"),
        (Two, false, 400, &[], "as one"),
        (Two, false, 400, &[(WRITTEN, "0")], "refused"),
        (One, false, 400, &[], "refused"),
        (Two, false, 401, &[], "later"),
        (Two, false, 403, &[], "later"),
        (Two, false, 404, &[], "later"),
        (Two, false, 422, &[], "refused"),
        (Two, false, 413, &[], "smaller"),
        (Two, false, 429, &[], "later"),
        (One, false, 503, &[], "later"),
        (Two, false, 599, &[], "later"),
        (Two, false, 308, &[], "later"),
    ] {
        assert_eq!(
            kind(version, fixed, &answer(status, headers)),
            expected,
            "{version:?} {status}"
        );
    }
    let after = |text| answer(503, &[("retry-after", text)]).retry_after();
    assert_eq!(after("7"), Some(Duration::from_secs(7)));
    assert!(after("Fri, 31 Dec 9999 23:59:59 GMT").unwrap() > RETRY_AFTER_MAX);
    assert_eq!(after("soon"), None);
    assert_eq!(answer(400, &[]).said(), "400 Bad Request: why not");
}
