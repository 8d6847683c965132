//! The http prober against plain servers.

use std::{io::Write, net::SocketAddr};

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{AppendHeaders, IntoResponse, Response},
    routing::{any, get},
};

use super::harness::{Prober, Samples, canned, closed_port, raw_server, read_head, serve};

const PHASES: [&str; 5] = ["resolve", "connect", "tls", "processing", "transfer"];

fn phase(name: &str) -> String {
    format!("probe_http_duration_seconds{{phase=\"{name}\"}}")
}

/// A prober with one module `m`, whose `http:` section holds `keys`.
async fn prober(keys: &str) -> Prober {
    Prober::start(&format!(
        "modules:\n  m:\n    prober: http\n    timeout: 5s\n    http: {{{keys}}}\n"
    ))
    .await
}

async fn probe(keys: &str, target: &str) -> Samples {
    prober(keys).await.probe("m", target).await
}

/// Echoes what was asked for, and has a page for each thing that probes look at.
async fn site() -> SocketAddr {
    async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> String {
        let mut text = format!("{method} {uri}\n");
        for (name, value) in &headers {
            text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        text + &String::from_utf8_lossy(&body)
    }
    async fn status(Path(code): Path<u16>) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }
    async fn hop(Path((code, left)): Path<(u16, u32)>) -> Response {
        let code = StatusCode::from_u16(code).unwrap();
        let next = if left > 1 {
            format!("../{}/{}", code.as_u16(), left - 1)
        } else {
            "/echo".to_owned()
        };
        (code, [(header::LOCATION, next)]).into_response()
    }
    async fn cookie(headers: HeaderMap) -> Response {
        match headers.get(header::COOKIE) {
            Some(_) => "thank you".into_response(),
            None => (
                StatusCode::FOUND,
                AppendHeaders([(header::LOCATION, "/cookie"), (header::SET_COOKIE, "a=1; Path=/")]),
            )
                .into_response(),
        }
    }
    async fn headers() -> Response {
        let several = AppendHeaders([
            (header::SET_COOKIE, "a=1"),
            (header::SET_COOKIE, "b=2"),
            (header::LAST_MODIFIED, "Sat, 21 Nov 2026 05:30:02 GMT"),
        ]);
        (several, "hello\nworld\n").into_response()
    }
    serve(
        Router::new()
            .route("/echo", any(echo))
            .route("/status/{code}", any(status))
            .route("/hop/{code}/{left}", any(hop))
            .route("/cookie", get(cookie))
            .route("/headers", get(headers)),
    )
    .await
}

#[tokio::test]
async fn a_good_page() {
    let site = site().await;
    let samples = probe("", &format!("http://{site}/headers")).await;
    samples.assert_success();
    samples.assert(&[
        ("probe_http_status_code", 200.0),
        ("probe_http_content_length", 12.0),
        ("probe_http_uncompressed_body_length", 12.0),
        ("probe_http_redirects", 0.0),
        ("probe_http_ssl", 0.0),
        ("probe_http_version", 1.1),
        ("probe_failed_due_to_regex", 0.0),
        ("probe_http_last_modified_timestamp_seconds", 1_795_239_002.0),
        ("probe_ip_protocol", 4.0),
        ("probe_ip_addr_hash", 3_668_918_509.0),
        ("probe_timeout_seconds", 5.0),
    ]);
    let total = samples.get("probe_duration_seconds");
    let phases: f64 = PHASES.iter().map(|name| samples.get(&phase(name))).sum();
    assert!(samples.get(&phase("processing")) > 0.0 && phases <= total, "{}", samples.text);
    assert_eq!(samples.get(&phase("tls")), 0.0);
    assert!(!samples.has("probe_ssl_earliest_cert_expiry"));
}

#[tokio::test]
async fn statuses() {
    let site = site().await;
    for (keys, code, good) in [
        ("", 200, true),
        ("", 204, true),
        ("", 299, true),
        ("", 404, false),
        ("", 304, false),
        ("valid_status_codes: [404]", 404, true),
        ("valid_status_codes: [404]", 200, false),
        ("valid_status_codes: [200, 503]", 503, true),
    ] {
        let samples = probe(keys, &format!("http://{site}/status/{code}")).await;
        assert_eq!(samples.get("probe_http_status_code"), f64::from(code));
        if good { samples.assert_success() } else { samples.assert_failure("validate", "status") }
    }
}

#[tokio::test]
async fn what_is_sent() {
    let site = site().await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let secret = file("secret", " s3cret\n");
    let body = file("body", "from a file");
    for (keys, expected) in [
        ("", "GET /echo\\?a=b"),
        ("", "user-agent: Watchpost-Blackbox/"),
        ("", "connection: close"),
        ("method: HEAD", ""),
        ("method: POST, body: hello", "POST /echo(?s:.*)content-length: 5\n(?s:.*)hello$"),
        ("method: POST", "content-length: 0"),
        (&format!("method: PUT, body_file: {body}"), "from a file$"),
        ("headers: {X-One: two, user-agent: me}", "user-agent: me\n(?s:.*)|x-one: two"),
        ("headers: {host: other.example}", "host: other.example\n"),
        (
            &format!("http_headers: {{X-A: {{values: [a, b]}}, X-B: {{files: [{secret}]}}}}"),
            "x-a: b\nx-b: s3cret\n",
        ),
        ("basic_auth: {username: u, password: p}", "authorization: Basic dTpw\n"),
        (
            &format!("basic_auth: {{username: u, password_file: {secret}}}"),
            "authorization: Basic dTpzM2NyZXQ=\n",
        ),
        ("bearer_token: abc", "authorization: Bearer abc\n"),
        (&format!("bearer_token_file: {secret}"), "authorization: Bearer s3cret\n"),
        ("authorization: {credentials: abc}", "authorization: Bearer abc\n"),
        ("authorization: {type: Token, credentials: abc}", "authorization: Token abc\n"),
        ("compression: gzip, valid_status_codes: [200]", ""),
    ] {
        let rule = if expected.is_empty() {
            String::new()
        } else {
            format!(", fail_if_body_not_matches_regexp: [{expected:?}]")
        };
        let all = format!("{keys}{rule}");
        let samples =
            probe(all.trim_start_matches(", "), &format!("http://{site}/echo?a=b#c")).await;
        if keys.starts_with("compression") {
            samples.assert_failure("validate", "encoding");
        } else {
            samples.assert_success();
        }
    }
    // Without compression nobody is told that encodings are welcome.
    probe("fail_if_body_matches_regexp: [accept-encoding]", &format!("http://{site}/echo"))
        .await
        .assert_success();
    let user = format!("http://u:p%40@{site}/echo");
    probe("fail_if_body_not_matches_regexp: [\"Basic dTpwQA==\"]", &user).await.assert_success();
    let missing = "bearer_token_file: /does/not/exist";
    probe(missing, &format!("http://{site}/echo")).await.assert_failure("setup", "configuration");
}

#[tokio::test]
async fn hostname_parameter() {
    let site = site().await;
    let target = format!("http://{site}/echo");
    let expects = "fail_if_body_not_matches_regexp: [\"host: a.example\\n\"]";
    prober(expects).await.probe_with("m", &target, "&hostname=a.example").await.assert_success();
    let same = format!("{expects}, headers: {{Host: a.example}}");
    prober(&same).await.probe_with("m", &target, "&hostname=a.example").await.assert_success();
    let other = prober("headers: {Host: b.example}").await;
    let path = super::harness::probe_path("m", &target, "&hostname=a.example");
    let answer = other.get(&path).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        "host header defined both in module configuration (b.example) and with URL-parameter 'hostname' (a.example)\n"
    );
}

#[tokio::test]
async fn rules_about_body_and_headers() {
    let site = site().await;
    let target = format!("http://{site}/headers");
    for (keys, reason) in [
        ("fail_if_body_matches_regexp: [\"hello\"]", Some("body_regex")),
        ("fail_if_body_matches_regexp: [x, \"o.w\"]", None),
        ("fail_if_body_matches_regexp: [\"(?s)o.w\"]", Some("body_regex")),
        ("fail_if_body_not_matches_regexp: [\"hello\", \"world\\n$\"]", None),
        ("fail_if_body_not_matches_regexp: [\"^world\"]", Some("body_regex")),
        ("fail_if_header_matches: [{header: set-cookie, regexp: \"b=\"}]", Some("header_regex")),
        ("fail_if_header_matches: [{header: set-cookie, regexp: \"c=\"}]", None),
        ("fail_if_header_matches: [{header: x-none, regexp: \"c=\"}]", Some("header_regex")),
        ("fail_if_header_matches: [{header: x-none, regexp: \"c=\", allow_missing: true}]", None),
        ("fail_if_header_not_matches: [{header: set-cookie, regexp: \"b=\"}]", None),
        (
            "fail_if_header_not_matches: [{header: set-cookie, regexp: \"c=\"}]",
            Some("header_regex"),
        ),
        ("fail_if_header_not_matches: [{header: x-none, regexp: a}]", Some("header_regex")),
        ("fail_if_header_not_matches: [{header: x-none, regexp: a, allow_missing: true}]", None),
        ("valid_http_versions: [HTTP/1.1]", None),
        ("valid_http_versions: [HTTP/2.0, HTTP/1.0]", Some("http_version")),
        ("fail_if_ssl: true", None),
        ("fail_if_not_ssl: true", Some("not_ssl")),
        ("body_size_limit: 12", None),
        ("body_size_limit: 11", Some("body_size")),
    ] {
        let samples = probe(keys, &target).await;
        match reason {
            None => samples.assert_success(),
            Some(reason) => samples.assert_failure("validate", reason),
        }
        let by_regex = reason.is_some_and(|reason| reason.ends_with("regex"));
        assert_eq!(
            samples.get("probe_failed_due_to_regex"),
            f64::from(u8::from(by_regex)),
            "{keys}"
        );
        let length = if keys.ends_with("11") { 11.0 } else { 12.0 };
        assert_eq!(samples.get("probe_http_uncompressed_body_length"), length, "{keys}");
    }
}

#[tokio::test]
async fn redirects() {
    let site = site().await;
    for (path, keys, redirects, status, failure) in [
        ("/hop/302/1", "", 1.0, 200.0, None),
        ("/hop/301/10", "", 10.0, 200.0, None),
        ("/hop/302/11", "", 11.0, 302.0, Some("too_many_redirects")),
        ("/hop/302/11", "valid_status_codes: [302]", 11.0, 302.0, None),
        ("/hop/302/1", "follow_redirects: false", 1.0, 302.0, Some("status")),
        ("/hop/302/1", "no_follow_redirects: true, valid_status_codes: [302]", 1.0, 302.0, None),
        (
            "/hop/302/1",
            "method: POST, body: x, fail_if_body_not_matches_regexp: [\"^GET /echo\\n\"]",
            1.0,
            200.0,
            None,
        ),
        (
            "/hop/307/1",
            "method: POST, body: xyz, fail_if_body_not_matches_regexp: [\"^POST (?s:.*)xyz$\"]",
            1.0,
            200.0,
            None,
        ),
        (
            "/hop/302/1",
            "fail_if_body_not_matches_regexp: [\"referer: http://127.0.0.1:\\\\d+/hop/302/1\\n\"]",
            1.0,
            200.0,
            None,
        ),
        ("/cookie", "fail_if_body_not_matches_regexp: [thank]", 1.0, 200.0, None),
    ] {
        let samples = probe(keys, &format!("http://{site}{path}")).await;
        samples.assert(&[("probe_http_redirects", redirects), ("probe_http_status_code", status)]);
        match failure {
            None => samples.assert_success(),
            Some(reason) => samples.assert_failure("validate", reason),
        }
    }
    for location in ["ftp://x/", "http://", "http://a b/"] {
        let bad = canned(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n")).await;
        probe("", &format!("http://{bad}/")).await.assert_failure("validate", "bad_redirect");
    }
}

#[tokio::test]
async fn credentials_do_not_follow_redirects_to_others() {
    let other = site().await;
    let from = canned(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{other}/echo\r\nSet-Cookie: s=1\r\n\r\n"
    ))
    .await;
    let keys = "bearer_token: abc, headers: {Cookie: mine=1, X-Plain: y}, http_headers: {X-Key: {secrets: [k]}}, \
                fail_if_body_matches_regexp: [\"authorization:\", \"mine=1\", \"x-key:\"], fail_if_body_not_matches_regexp: [\"x-plain: y\"]";
    let samples = probe(keys, &format!("http://{from}/")).await;
    samples.assert_success();
    assert_eq!(samples.get("probe_http_redirects"), 1.0);
}

#[tokio::test]
async fn encodings() {
    let text = b"hello hello hello";
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    // What the reference encoder makes of the text.
    let brotli = [
        0x1b, 0x10, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f,
        0x01, 0x4f, 0x1c, 0x60, 0x1c,
    ]
    .to_vec();
    let rule = "fail_if_body_not_matches_regexp: [\"^hello hello hello$\"]";
    for (name, encoded, keys, reason) in [
        ("gzip", &gzip, "compression: gzip", None),
        ("deflate", &deflate, "compression: deflate", None),
        ("br", &brotli, "compression: br", None),
        ("gzip", &gzip, "compression: deflate", Some("encoding")),
        ("gzip", &gzip, "compression: br", Some("encoding")),
        ("gzip", &gzip, "compression: identity", Some("body_regex")),
        ("gzip", &gzip, "follow_redirects: true", Some("body_regex")),
        ("gzip", &gzip[..gzip.len() - 4].to_vec(), "compression: gzip", Some("encoding")),
        ("gzip", &gzip, "compression: gzip, body_size_limit: 16", Some("body_size")),
        ("gzip", &gzip, "compression: gzip, body_size_limit: 17", None),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: {}\r\n\r\n",
            encoded.len()
        );
        let server = canned([head.as_bytes(), encoded].concat()).await;
        let samples = probe(&format!("{keys}, {rule}"), &format!("http://{server}/")).await;
        assert_eq!(samples.get("probe_http_content_length"), encoded.len() as f64);
        match reason {
            None => {
                samples.assert_success();
                assert_eq!(samples.get("probe_http_uncompressed_body_length"), 17.0);
            }
            Some(reason) => samples.assert_failure("validate", reason),
        }
    }
}

#[tokio::test]
async fn lengths_and_versions() {
    for (answer, length, body, version) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            -1.0,
            3.0,
            1.1,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nabcd", -1.0, 4.0, 1.0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.0, 0.0, 1.1),
        ("HTTP/1.1 204 No Content\r\n\r\n", 0.0, 0.0, 1.1),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLast-Modified: yesterday\r\n\r\nok",
            2.0,
            2.0,
            1.1,
        ),
    ] {
        let server = canned(answer).await;
        let samples = probe("", &format!("http://{server}/")).await;
        samples.assert_success();
        samples.assert(&[
            ("probe_http_content_length", length),
            ("probe_http_uncompressed_body_length", body),
            ("probe_http_version", version),
        ]);
        assert!(!samples.has("probe_http_last_modified_timestamp_seconds"));
    }
}

#[tokio::test]
async fn nobody_there() {
    let closed = closed_port().await;
    let samples = probe("", &format!("http://{closed}/")).await;
    samples.assert_failure("connect", "refused");
    for name in PHASES {
        assert!(samples.has(&phase(name)), "{name}");
    }
    samples.assert(&[
        ("probe_http_status_code", 0.0),
        ("probe_ip_protocol", 4.0),
        ("probe_http_version", 0.0),
    ]);
    let samples = probe("", "http://does-not-exist.invalid/").await;
    assert!(samples.get("probe_success") == 0.0);
    assert!(samples.has(&phase("resolve")) && !samples.has(&phase("connect")), "{}", samples.text);
    samples.assert(&[("probe_ip_protocol", 0.0), ("probe_ip_addr_hash", 0.0)]);
    let no_fallback = "preferred_ip_protocol: ip6, ip_protocol_fallback: false";
    probe(no_fallback, &format!("http://{closed}/")).await.assert_failure("resolve", "no_address");
    probe("", "http://").await.assert_failure("setup", "bad_target");
}

#[tokio::test]
async fn proxies() {
    let site = site().await;
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let proxy = {
        let seen = std::sync::Arc::clone(&seen);
        raw_server(move |mut stream| {
            let seen = std::sync::Arc::clone(&seen);
            async move {
                use tokio::io::AsyncWriteExt;
                let head = read_head(&mut stream).await;
                seen.lock().unwrap().push(head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        })
        .await
    };
    let keys = format!("proxy_url: \"http://u:p@{proxy}\"");
    let samples = probe(&keys, &format!("http://{site}/echo")).await;
    samples.assert_success();
    assert_eq!(samples.get("probe_ip_protocol"), 4.0);
    let head = seen.lock().unwrap().pop().unwrap();
    assert!(head.starts_with(&format!("GET http://{site}/echo HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dTpw\r\n"), "{head}");

    let skipping = format!("{keys}, skip_resolve_phase_with_proxy: true");
    let samples = probe(&skipping, "http://only-the-proxy-knows.invalid/x").await;
    samples.assert_success();
    assert!(
        !samples.has("probe_ip_protocol") && !samples.has(&phase("resolve")),
        "{}",
        samples.text
    );
    assert!(samples.has(&phase("connect")));
    let head = seen.lock().unwrap().pop().unwrap();
    assert!(head.starts_with("GET http://only-the-proxy-knows.invalid/x HTTP/1.1\r\n"), "{head}");

    let exempt = format!("proxy_url: \"http://{proxy}\", no_proxy: 127.0.0.0/8");
    probe(&exempt, &format!("http://{site}/echo")).await.assert_success();
    assert!(seen.lock().unwrap().is_empty());
    let refusing = canned("HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let samples =
        probe(&format!("proxy_url: \"http://{refusing}\""), &format!("https://{site}/")).await;
    samples.assert_failure("connect", "proxy");
}

#[tokio::test]
async fn oauth2_tokens() {
    let site = site().await;
    let tokens = serve(Router::new().route(
        "/token",
        any(|headers: HeaderMap, body: String| async move {
            assert_eq!(headers[header::AUTHORIZATION], "Basic aWQ6czNjcmV0");
            assert_eq!(body, "grant_type=client_credentials&scope=a+b&audience=x");
            "{\"access_token\":\"tok\",\"token_type\":\"bearer\",\"expires_in\":60}"
        }),
    ))
    .await;
    let keys = |path: &str| {
        format!(
            "oauth2: {{client_id: id, client_secret: s3cret, scopes: [a, b], endpoint_params: {{audience: x}}, \
             token_url: \"http://{tokens}{path}\"}}, fail_if_body_not_matches_regexp: [\"authorization: Bearer tok\\n\"]"
        )
    };
    probe(&keys("/token"), &format!("http://{site}/echo")).await.assert_success();
    probe(&keys("/none"), &format!("http://{site}/echo")).await.assert_failure("setup", "token");
}
