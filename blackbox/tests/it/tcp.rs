//! The tcp and unix probers.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixListener,
};

use super::{
    harness::{Prober, Samples, closed_port, raw_server},
    reference::{Original, assert_same},
    tls::{authority, starttls_server},
};

async fn probe(keys: &str, target: impl ToString) -> Samples {
    let yaml = format!("modules:\n  m:\n    prober: tcp\n    timeout: 1s\n    tcp: {{{keys}}}\n");
    Prober::start(&yaml).await.probe("m", &target.to_string()).await
}

/// Greets, then answers each line with what it was, and says nothing to silence.
pub(crate) async fn echo() -> SocketAddr {
    raw_server(|stream| async move {
        let mut stream = BufReader::new(stream);
        let _ = stream.write_all(b"hello there\r\n220 ready to echo\r\n").await;
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|n| n > 0) {
            let _ = stream.write_all(format!("you said {line}").as_bytes()).await;
            if line.starts_with("bye") {
                return;
            }
            line.clear();
        }
    })
    .await
}

#[tokio::test]
async fn conversations() {
    let echo = echo().await;
    for (steps, failure) in [
        ("[]", None),
        ("[{expect: \"^220\"}]", None),
        ("[{expect: \"^hello (.*)$\", send: \"a ${1}\"}, {expect: \"said a there$\"}]", None),
        ("[{send: \"bye\"}, {expect: \"never\"}]", Some(("validate", "expect_regex"))),
        ("[{expect: \"never\"}]", Some(("processing", "timeout"))),
        ("[{expect_bytes: \"hello there\\r\\n\"}, {expect: \"^220\"}]", None),
        ("[{expect_bytes: \"hallo\"}]", Some(("validate", "expect_bytes"))),
    ] {
        let samples = probe(&format!("query_response: {steps}"), echo).await;
        match failure {
            None => samples.assert_success(),
            Some((phase, reason)) => samples.assert_failure(phase, reason),
        }
        let reason = failure.map(|(_, reason)| reason);
        samples.assert(&[
            ("probe_failed_due_to_regex", f64::from(u8::from(reason == Some("expect_regex")))),
            ("probe_failed_due_to_bytes", f64::from(u8::from(reason == Some("expect_bytes")))),
        ]);
    }
    let labels = "query_response: [{expect: \"^220 (\\\\w+) (?P<rest>.*)$\", labels: [{name: state, value: \"${1}\"}, {name: all, value: \"x-${rest}\"}]}]";
    let samples = probe(labels, echo).await;
    assert_eq!(samples.get("probe_expect_info{state=\"ready\",all=\"x-to echo\"}"), 1.0);
}

#[tokio::test]
async fn hosts_and_ports() {
    let closed = closed_port().await;
    let samples = probe("", closed).await;
    samples.assert_failure("connect", "refused");
    samples.assert(&[("probe_failed_due_to_regex", 0.0), ("probe_ip_protocol", 4.0)]);
    probe("", "localhost").await.assert_failure("setup", "bad_target");
    let echo = echo().await;
    probe("preferred_ip_protocol: ip4", format!("localhost:{}", echo.port()))
        .await
        .assert_success();
    probe("source_ip_address: 127.0.0.7", echo).await.assert_success();
    probe("source_ip_address: 192.0.2.1", echo).await.assert_failure("connect", "permission");
}

#[tokio::test]
async fn endless_talk_is_bounded() {
    let one_line =
        raw_server(
            |mut stream| async move { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} },
        )
        .await;
    probe("query_response: [{expect: y}]", one_line).await.assert_failure("processing", "protocol");
    let many = raw_server(|mut stream| async move {
        while stream.write_all(&b"no\n".repeat(1000)).await.is_ok() {}
    })
    .await;
    probe("query_response: [{expect: y}]", many).await.assert_failure("processing", "timeout");
}

#[tokio::test]
async fn tls_at_once_and_on_demand() {
    let authority = authority();
    let identity = authority.issue(&["localhost"], 2020, 2080);
    let address = starttls_server(&identity).await;
    let target = format!("localhost:{}", address.port());
    let ca = authority.file.display();
    let steps = "query_response: [{expect: \"^220\", send: STARTTLS}, {expect: \"^go$\", starttls: true}, {send: hello}, {expect: \"^secret hello$\"}]";
    let samples = probe(&format!("{steps}, tls_config: {{ca_file: {ca}}}"), &target).await;
    samples.assert_success();
    samples.assert(&[
        ("probe_ssl_earliest_cert_expiry", 3_471_292_800.0),
        ("probe_ssl_last_chain_expiry_timestamp_seconds", 3_471_292_800.0),
        ("probe_tls_version_info{version=\"TLS 1.3\"}", 1.0),
    ]);
    assert!(!samples.text.contains("probe_tls_cipher_info"));
    probe(steps, &target).await.assert_failure("tls", "cert_untrusted");
    let https = super::tls::server(&identity, &[]).await;
    let tls = format!("tls: true, tls_config: {{ca_file: {ca}}}");
    probe(&tls, format!("localhost:{}", https.port())).await.assert_success();
    probe(&tls, https).await.assert_failure("tls", "cert_name");
    let yaml = format!("modules: {{m: {{prober: tcp, timeout: 1s, tcp: {{{tls}}}}}}}");
    Prober::start(&yaml)
        .await
        .probe_with("m", &https.to_string(), "&hostname=localhost")
        .await
        .assert_success();
}

#[tokio::test]
async fn sockets_in_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut sent = vec![0; 5];
            let _ = stream.read_exact(&mut sent).await;
            let _ = stream.write_all(b"pong\n").await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let yaml = "modules: {m: {prober: unix, timeout: 1s, unix: {query_response: [{send: ping}, {expect: \"^pong$\"}]}}}";
    let prober = Prober::start(yaml).await;
    let samples = prober.probe("m", &path.display().to_string()).await;
    samples.assert_success();
    assert!(!samples.has("probe_ip_protocol"), "{}", samples.text);
    prober
        .probe("m", &dir.path().join("none").display().to_string())
        .await
        .assert_failure("connect", "refused");
    let settings =
        blackbox::Settings { guard: blackbox::Guard::public(), ..blackbox::Settings::default() };
    let guarded = Prober::with(yaml, settings).await;
    guarded
        .probe("m", &path.display().to_string())
        .await
        .assert_failure("setup", "blocked_address");
}

#[tokio::test]
async fn tcp_probes_are_the_same() {
    let yaml = r#"
modules:
  plain: {prober: tcp, timeout: 1s}
  good: {prober: tcp, timeout: 1s, tcp: {query_response: [{expect: "^hello (.*)$", send: "bye ${1}"}, {expect: "said bye there"}]}}
  bad: {prober: tcp, timeout: 1s, tcp: {query_response: [{send: "bye"}, {expect: "never"}]}}
  slow: {prober: tcp, timeout: 1s, tcp: {query_response: [{expect: "never"}]}}
  only6: {prober: tcp, timeout: 1s, tcp: {ip_protocol_fallback: false}}
  tls: {prober: tcp, timeout: 1s, tcp: {tls: true, tls_config: {insecure_skip_verify: true}}}
"#;
    let Some(original) = Original::start(yaml) else { return };
    let ours = Prober::start(yaml).await;
    let (echo, closed) = (echo().await, closed_port().await);
    let identity = authority().issue(&["localhost", "*.example"], 2020, 2080);
    let tls = super::tls::server(&identity, &[]).await;
    for (module, target) in [
        ("plain", echo),
        ("good", echo),
        ("bad", echo),
        ("slow", echo),
        ("only6", echo),
        ("plain", closed),
        ("tls", tls),
    ] {
        let target = target.to_string();
        assert_same(
            &format!("{module} {target}"),
            &ours.probe(module, &target).await,
            &original.probe(module, &target).await,
        );
    }
}
