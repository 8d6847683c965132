//! Which version a request speaks, told by its headers alone.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use proto::{
    remote_write::{Message, v1},
    snappy,
};

use crate::sender::{Receiving, V2, bare, now, v1_series};

const V1: &str = "application/x-protobuf;proto=prometheus.WriteRequest";
const V2_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// The rules N2 to N5: every spelling of RFC 9110, and 415 for everything else, whatever the body is.
#[tokio::test]
async fn content_types_are_read_as_http_has_them() {
    let test = Receiving::open().await;
    let ts = now();
    let mut at = 0;
    for content_type in [
        V2_TYPE,
        "application/x-protobuf; proto=io.prometheus.write.v2.Request",
        "application/x-protobuf;proto=\"io.prometheus.write.v2.Request\"",
        "APPLICATION/X-Protobuf ; Proto = \"io.prometheus.write.v2.Request\"",
        "application/x-protobuf; charset=utf-8; proto=io.prometheus.write.v2.Request",
    ] {
        at += 1;
        let request = V2::new().with(&[("__name__", "second")], &[(ts + at, at as f64)]);
        let body = snappy::compress(&request.bytes());
        // A missing encoding is snappy.
        for headers in [
            &[("Content-Type", content_type), ("Content-Encoding", "snappy")][..],
            &[("Content-Type", content_type)][..],
        ] {
            test.post(headers, body.clone()).await.assert_written(1, 0, 0);
        }
        assert_eq!(test.stored("second").await.len() as i64, at, "{content_type}");
    }
    for headers in [&[("Content-Type", V1)][..], &[("Content-Type", "application/x-protobuf")], &[]]
    {
        at += 1;
        let series = v1_series(&[("__name__", "first")], &[(ts + at, 1.0)]);
        let request = v1::WriteRequest { timeseries: vec![series], metadata: vec![] };
        let answer = test.post(headers, snappy::compress(&request.encode_to_vec())).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.written(), None);
    }
    assert_eq!(test.stored("first").await.len(), 3);
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("Content-Type", "image/png"),
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"),
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "deflate"),
        ("Content-Encoding", "zstd"),
    ] {
        let answer = test.post(&[(name, value)], b"garbage".to_vec()).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{name}: {value}");
        assert!(answer.text.contains("send"), "{}", answer.text);
    }
}

/// N1: POST on both paths.
#[tokio::test]
async fn both_paths_take_posts_only() {
    let test = Receiving::open().await;
    let ts = now();
    for (at, path) in ["/api/v1/write", "/api/v1/push"].into_iter().enumerate() {
        let request = V2::new().with(&[("__name__", "paths")], &[(ts + at as i64, 1.0)]);
        let request = Request::post(path)
            .header("Content-Type", V2_TYPE)
            .body(Body::from(snappy::compress(&request.bytes())))
            .unwrap();
        test.send(request).await.assert_written(1, 0, 0);
        let get = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(test.send(get).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(test.stored("paths").await, bare(&[(ts, 1.0), (ts + 1, 1.0)]));
}

/// N6: the version header is for humans.
#[tokio::test]
async fn the_version_header_decides_nothing() {
    let test = Receiving::open().await;
    let ts = now();
    for (at, version) in ["0.1.0", "2.0.0", "", "banana"].into_iter().enumerate() {
        let request = V2::new().with(&[("__name__", "versions")], &[(ts + at as i64, 1.0)]);
        let headers = [("Content-Type", V2_TYPE), ("X-Prometheus-Remote-Write-Version", version)];
        let answer = test.post(&headers, snappy::compress(&request.bytes())).await;
        answer.assert_written(1, 0, 0);
    }
    assert_eq!(test.stored("versions").await.len(), 4);
}

/// N7, and the compliance suite's corrupt bodies: exactly 400, with words that help.
#[tokio::test]
async fn bodies_that_cannot_be_read_are_400() {
    let test = Receiving::open().await;
    let good = snappy::compress(&V2::new().with(&[("__name__", "x")], &[(now(), 1.0)]).bytes());
    let mut corrupt = good.clone();
    corrupt[0] = b'0';
    let wrong_message = snappy::compress(b"\x2a\xff");
    for (body, word) in [
        (corrupt, "snappy"),
        (b"not snappy at all".to_vec(), "snappy"),
        (b"\xff\x06\x00\x00sNaPpY\x00".to_vec(), "framed"),
        (good[..good.len() / 2].to_vec(), "snappy"),
        (Vec::new(), "snappy"),
        (b"\xff\xff\xff\xff\x0f".to_vec(), "compressed"),
        (wrong_message.clone(), "io.prometheus.write.v2.Request"),
    ] {
        let answer = test.post(&[("Content-Type", V2_TYPE)], body).await;
        answer.assert_refused((0, 0, 0), word);
    }
    let answer = test.post(&[], snappy::compress(b"\x0a\xff")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.written(), None);
    assert!(answer.text.contains("prometheus.WriteRequest"), "{}", answer.text);
    assert_eq!(test.n_series().await, 0);
}

/// N10: nothing at all is a request.
#[tokio::test]
async fn empty_requests_succeed() {
    let test = Receiving::open().await;
    test.post_v2(b"").await.assert_written(0, 0, 0);
    test.v2(&V2::new()).await.assert_written(0, 0, 0);
    assert_eq!(test.post_v1(b"").await.status, StatusCode::NO_CONTENT);
}

/// A 1.0 message is no 2.0 message, nor the other way round: the fields' numbers differ, so nothing is misread.
#[tokio::test]
async fn versions_are_not_mixed_up() {
    let test = Receiving::open().await;
    let series = v1_series(&[("__name__", "mixed")], &[(now(), 1.0)]);
    let first = v1::WriteRequest { timeseries: vec![series], metadata: vec![] }.encode_to_vec();
    test.post_v2(&first).await.assert_written(0, 0, 0);
    let second = V2::new().with(&[("__name__", "mixed")], &[(now(), 1.0)]).bytes();
    assert_eq!(test.post_v1(&second).await.status, StatusCode::NO_CONTENT);
    assert_eq!(test.n_series().await, 0);
}
