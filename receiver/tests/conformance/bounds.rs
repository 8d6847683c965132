//! What is too much: refused before it costs anything, for good where it can never succeed, and counted by what it met.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use futures_util::StreamExt;
use proto::{
    remote_write::{self, Message, v2},
    snappy,
};
use receiver::ingest::Limits;

use crate::sender::{Receiving, V2, bare, field, now, sample};

impl Receiving {
    /// The answer, and that the bound was counted once.
    async fn meets(&self, message: &[u8], status: StatusCode, limit: &str) -> String {
        let metric = format!("receiver_write_limits_total{{limit=\"{limit}\"}}");
        let before = self.metric(&metric).await;
        let answer = self.post_v2(message).await;
        assert_eq!((answer.status, answer.written()), (status, Some((0, 0, 0))), "{}", answer.text);
        assert_eq!((self.metric(&metric).await - before).to_bits(), 1.0f64.to_bits(), "{limit}");
        answer.text
    }
}

#[tokio::test]
async fn bounds_of_a_request() {
    let limits = Limits {
        decoded_bytes_max: 100_000,
        series_per_request_max: 3,
        samples_per_request_max: 5,
        symbols_per_request_max: 9,
        expanded_bytes_max: 5_000,
        ..Limits::default()
    };
    let test = Receiving::with_limits(limits).await;
    let ts = now();
    let too_large = StatusCode::PAYLOAD_TOO_LARGE;
    test.meets(&[0; 100_001], too_large, "decoded").await;
    let mut request = V2::new();
    for _ in 0..4 {
        request.series(&[("__name__", "x")]).samples = vec![sample(ts, 1.0)];
    }
    let text = test.meets(&request.bytes(), too_large, "series").await;
    assert!(text.contains("more than 3 series"), "{text}");
    let samples: Vec<(i64, f64)> = (0..6).map(|at| (ts + at, 1.0)).collect();
    let request = V2::new().with(&[("__name__", "x")], &samples);
    test.meets(&request.bytes(), too_large, "samples").await;
    let mut request = V2::new();
    request.request.symbols = vec![String::new(); 10];
    test.meets(&request.bytes(), too_large, "symbols").await;
    // Twice a reference of one byte to a string of 3,000.
    let long = "x".repeat(3_000);
    let mut request = V2::new();
    for name in ["a", "b"] {
        request.series(&[("__name__", name), ("l", &long)]).samples = vec![sample(ts, 1.0)];
    }
    test.meets(&request.bytes(), too_large, "expanded").await;
    assert_eq!(test.n_series().await, 0);
    // What is within them all is taken.
    let request = V2::new().with(&[("__name__", "x")], &samples[..5]);
    test.v2(&request).await.assert_written(5, 0, 0);
}

/// Blocks that claim more than they can hold, and messages that hold much of nothing.
#[tokio::test]
async fn bombs_cost_nothing() {
    let test = Receiving::open().await;
    let headers = [("Content-Type", remote_write::V2_CONTENT_TYPE)];
    for bomb in [&b"\xff\xff\xff\xff\x0f"[..], b"\x80\x80\x80\x10\x00\x00"] {
        test.post(&headers, bomb.to_vec()).await.assert_refused((0, 0, 0), "compressed bytes can");
    }
    let counted = test.metric("receiver_write_limits_total{limit=\"ratio\"}").await;
    assert_eq!(counted.to_bits(), 2.0f64.to_bits());
    // Two bytes each, over a million of them.
    let many = |number: u8, n: usize| [number << 3 | 2, 0].repeat(n);
    test.meets(&many(5, 1_100_000), StatusCode::PAYLOAD_TOO_LARGE, "series").await;
    test.meets(&many(4, 1_100_000), StatusCode::PAYLOAD_TOO_LARGE, "symbols").await;
    for (number, limit) in [(2, "samples"), (3, "samples"), (4, "exemplars")] {
        let mut body = Vec::new();
        field(&mut body, 5, &many(number, 1_100_000));
        test.meets(&body, StatusCode::PAYLOAD_TOO_LARGE, limit).await;
    }
    // Ten million references of one series.
    let mut series = Vec::new();
    field(&mut series, 1, &vec![0; 10_000_000]);
    let mut body = Vec::new();
    field(&mut body, 4, b"");
    field(&mut body, 5, &series);
    test.post_v2(&body).await.assert_refused((0, 0, 0), "too_many_labels");
    // Groups in groups in groups.
    test.post_v2(&[0x0b; 10_000]).await.assert_refused((0, 0, 0), "nested");
    assert_eq!(test.n_series().await, 0);
}

/// Every message cut anywhere is an answer, and no panic; what was whole before the cut does not count.
#[tokio::test]
async fn truncated_messages_store_nothing() {
    let test = Receiving::open().await;
    let ts = now();
    let mut request = V2::new().with(&[("__name__", "cut")], &[(ts, 1.0), (ts + 1, 2.0)]);
    let histogram = v2::Histogram { timestamp: ts + 2, ..Default::default() };
    request.request.timeseries[0].histograms = vec![histogram];
    // The strings last: wherever it is cut, the series lacks one.
    let symbols = v2::Request { symbols: request.request.symbols.clone(), timeseries: vec![] };
    let series = v2::Request { symbols: vec![], timeseries: request.request.timeseries.clone() };
    let whole = [series.encode_to_vec(), symbols.encode_to_vec()].concat();
    for cut in 1..whole.len() {
        let answer = test.post_v2(&whole[..cut]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "cut at {cut}: {}", answer.text);
        assert_eq!(answer.written(), Some((0, 0, 0)), "cut at {cut}");
    }
    assert_eq!(test.n_series().await, 0);
    test.post_v2(&whole).await.assert_written(2, 1, 0);
    assert_eq!(test.stored("cut").await, bare(&[(ts, 1.0), (ts + 1, 2.0)]));
}

/// A body that is too large is refused by what it declares, and also when it declares nothing.
#[tokio::test]
async fn bodies_are_bounded_as_they_come() {
    let limits = Limits { body_bytes_max: 10_000, ..Limits::default() };
    let test = Receiving::with_limits(limits).await;
    let chunks = futures_util::stream::iter(
        (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 1000]))),
    );
    for (declared, body) in [("10001", Body::empty()), ("", Body::from_stream(chunks))] {
        let mut request = Request::post("/api/v1/write");
        if !declared.is_empty() {
            request = request.header("Content-Length", declared);
        }
        let answer = test.send(request.body(body).unwrap()).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
    }
    let counted = test.metric("receiver_write_limits_total{limit=\"body\"}").await;
    assert_eq!(counted.to_bits(), 2.0f64.to_bits());
}

/// Senders that do not deliver are told to come back: a network may be quicker the next time.
#[tokio::test]
async fn slow_bodies_are_pushed_back() {
    let limits = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let test = Receiving::with_limits(limits).await;
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = test.send(Request::post("/api/v1/write").body(never).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    let counted = test.metric("receiver_write_limits_total{limit=\"body_time\"}").await;
    assert_eq!(counted.to_bits(), 1.0f64.to_bits());
}

/// All requests together have room for so many bytes, decompressed ones included; whoever finds none comes back.
#[tokio::test]
async fn bytes_of_all_requests_are_bounded() {
    let limits = Limits {
        body_bytes_max: 20_000,
        decoded_bytes_max: 20_000,
        in_flight_bytes_max: 0,
        ..Limits::default()
    };
    let test = Receiving::with_limits(limits).await;
    // Clones of one router share the room, as connections do.
    let router = test.receiver.router(&service::Shutdown::new());
    let send = |body: Body| {
        let router = router.clone();
        let request = Request::post("/api/v1/write").body(body).unwrap();
        async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() }
    };
    let hog = || {
        let first = [Ok::<_, std::io::Error>(Bytes::from(vec![0; 19_999]))];
        let never = futures_util::stream::pending();
        Body::from_stream(futures_util::stream::iter(first).chain(never))
    };
    let hogs = [send(hog()), send(hog())];
    let [first, second] = hogs.map(tokio::spawn);
    let small = || Body::from(snappy::compress(&[0x3a, 0].repeat(500)));
    let pushed_back = async {
        while send(small()).await != StatusCode::SERVICE_UNAVAILABLE {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), pushed_back).await.expect("no room is left");
    assert!(test.metric("receiver_write_limits_total{limit=\"in_flight\"}").await > 0.0);
    first.abort();
    second.abort();
    let taken = async {
        while send(small()).await != StatusCode::NO_CONTENT {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken).await.expect("there is room again");
}

/// Time for everything: 503 when it is over, whatever the database does.
#[tokio::test]
async fn requests_are_bounded_in_time() {
    let limits = Limits { request_timeout: Duration::from_millis(300), ..Limits::default() };
    let test = Receiving::with_limits(limits).await;
    let ts = now();
    let request = V2::new().with(&[("__name__", "slow")], &[(ts, 1.0)]);
    let mut lock = test.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE watchpost.batch IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    test.meets(&request.bytes(), StatusCode::SERVICE_UNAVAILABLE, "request_time").await;
    lock.rollback().await.unwrap();
    let stored = async {
        while test.v2(&request).await.status != StatusCode::NO_CONTENT {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stored).await.expect("stored in the end");
    assert_eq!(test.stored("slow").await, bare(&[(ts, 1.0)]));
}
