//! Servers that misbehave: each must cost one probe its success and nothing else.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use blackbox::{Guard, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Prober, Samples, canned, raw_server, read_head};

async fn probe(timeout: &str, keys: &str, target: &str) -> Samples {
    let yaml =
        format!("modules:\n  m:\n    prober: http\n    timeout: {timeout}\n    http: {{{keys}}}\n");
    Prober::start(&yaml).await.probe("m", target).await
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let silent = raw_server(|mut stream| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let started = Instant::now();
    let samples = probe("300ms", "", &format!("http://{silent}/")).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    samples.assert_failure("processing", "timeout");
    assert!(samples.get("probe_duration_seconds") >= 0.3);
    let samples = probe("300ms", "", &format!("https://{silent}/")).await;
    samples.assert_failure("tls", "timeout");
    assert!(samples.get("probe_http_duration_seconds{phase=\"tls\"}") > 0.1, "{}", samples.text);
}

#[tokio::test]
async fn endless_answers_end_at_the_deadline() {
    let head = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-More: and more\r\n").await.is_ok() {}
    })
    .await;
    probe("5s", "", &format!("http://{head}/")).await.assert_failure("processing", "protocol");
    let body = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 65536]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let samples = probe("400ms", "", &format!("http://{body}/")).await;
    samples.assert_failure("transfer", "timeout");
    assert!(samples.get("probe_http_uncompressed_body_length") > 1024.0);
    assert!(samples.get("probe_http_duration_seconds{phase=\"transfer\"}") > 0.2);
    probe("20s", "fail_if_body_matches_regexp: [y]", &format!("http://{body}/"))
        .await
        .assert_failure("validate", "body_size");
    probe("20s", "body_size_limit: 1MB", &format!("http://{body}/"))
        .await
        .assert_failure("validate", "body_size");
    let dripping = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    probe("300ms", "", &format!("http://{dripping}/")).await.assert_failure("transfer", "timeout");
}

#[tokio::test]
async fn broken_answers() {
    for (answer, phase, reason) in [
        ("", "processing", "closed"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "processing", "protocol"),
        ("\0\u{1}\u{2}garbage\r\n\r\n", "processing", "protocol"),
        ("HTTP/1.1 20", "processing", "closed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "transfer", "closed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc", "processing", "protocol"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "transfer", "closed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "transfer", "closed"),
        ("HTTP/1.1 999999 OK\r\n\r\n", "processing", "protocol"),
    ] {
        let server = canned(answer).await;
        let samples = probe("5s", "", &format!("http://{server}/")).await;
        samples.assert_failure(phase, reason);
    }
    let plain = raw_server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    probe("5s", "", &format!("https://{plain}/")).await.assert_failure("tls", "tls_handshake");
}

#[tokio::test]
async fn compressed_bombs_stop_at_the_limit() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let server = canned([head.as_bytes(), &bomb].concat()).await;
    let target = format!("http://{server}/");
    let limited = probe("20s", "compression: gzip, body_size_limit: 1MB", &target).await;
    limited.assert_failure("validate", "body_size");
    assert_eq!(limited.get("probe_http_uncompressed_body_length"), f64::from(1 << 20));
    let kept = probe("20s", "compression: gzip, fail_if_body_matches_regexp: [x]", &target).await;
    kept.assert_failure("validate", "body_size");
}

#[tokio::test]
async fn guarded_probes_do_not_reach_inside() {
    let hit = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let inside = {
        let hit = std::sync::Arc::clone(&hit);
        raw_server(move |_stream| {
            hit.store(true, std::sync::atomic::Ordering::SeqCst);
            async {}
        })
        .await
    };
    let settings = Settings { guard: Guard::public(), ..Settings::default() };
    let prober = Prober::with("modules: {m: {prober: http, timeout: 2s}}", settings).await;
    let port = inside.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0",
    ] {
        let samples = prober.probe("m", &format!("http://{host}:{port}/")).await;
        samples.assert_failure("resolve", "blocked_address");
    }
    assert!(!hit.load(std::sync::atomic::Ordering::SeqCst));

    // A redirect does not get around it either: only the redirecting server's own address is allowed.
    let to_inside =
        canned(format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.9:{port}/\r\n\r\n")).await;
    let allowed = ["127.0.0.1/32".parse().unwrap()];
    let settings =
        Settings { guard: Guard::Public { allowed: allowed.into() }, ..Settings::default() };
    let prober = Prober::with("modules: {m: {prober: http, timeout: 2s}}", settings).await;
    let samples = prober.probe("m", &format!("http://{to_inside}/")).await;
    samples.assert_failure("resolve", "blocked_address");
    assert_eq!(samples.get("probe_http_redirects"), 1.0);
    assert!(!hit.load(std::sync::atomic::Ordering::SeqCst));
}
