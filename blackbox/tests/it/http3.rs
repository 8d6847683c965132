//! HTTP/3 against a server of quinn's and h3's own, which knows nothing else.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h3::server::RequestStream;
use h3_quinn::BidiStream;
use http::{Request, Response};
use quinn::crypto::rustls::QuicServerConfig;

use super::{
    harness::{Prober, Samples},
    tls::{self, Authority, Identity, authority},
};

type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

fn server(identity: &Identity, clients: Option<&Authority>) -> SocketAddr {
    let versions = &[&rustls::version::TLS13];
    let config = tls::server_config(identity, &["h3"], versions, clients);
    let config = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let Ok(mut connection) =
                    h3::server::Connection::<_, Bytes>::new(h3_quinn::Connection::new(connection))
                        .await
                else {
                    return;
                };
                while let Ok(Some(resolver)) = connection.accept().await {
                    let Ok((request, stream)) = resolver.resolve_request().await else { continue };
                    tokio::spawn(answer(request, stream));
                }
            });
        }
    });
    address
}

async fn answer(request: Request<()>, mut stream: Stream) {
    let head = |status: u16| Response::builder().status(status);
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let body = match request.uri().path() {
        "/hop" => {
            let _ =
                stream.send_response(head(302).header("location", "/ok").body(()).unwrap()).await;
            String::new()
        }
        "/down" => {
            let to = format!("http://{host}/ok");
            let _ = stream.send_response(head(302).header("location", to).body(()).unwrap()).await;
            String::new()
        }
        "/early" => {
            let _ = stream.send_response(head(103).body(()).unwrap()).await;
            let _ = stream.send_response(head(200).body(()).unwrap()).await;
            "ok".to_owned()
        }
        "/silent" => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            return;
        }
        "/reset" => return,
        "/endless" => {
            let _ = stream.send_response(head(200).body(()).unwrap()).await;
            while stream.send_data(Bytes::from(vec![b'x'; 65536])).await.is_ok() {}
            return;
        }
        path => {
            let status = if path == "/missing" { 404 } else { 200 };
            let mut sent = Vec::new();
            while let Ok(Some(mut data)) = stream.recv_data().await {
                let n_bytes = bytes::Buf::remaining(&data);
                sent.extend_from_slice(&bytes::Buf::copy_to_bytes(&mut data, n_bytes));
            }
            let text = format!(
                "{} {host} {} {}",
                request.method(),
                request.headers().get("x-one").map_or("", |v| v.to_str().unwrap()),
                String::from_utf8_lossy(&sent)
            );
            let length = text.len().to_string();
            let _ = stream
                .send_response(head(status).header("content-length", length).body(()).unwrap())
                .await;
            text
        }
    };
    if !body.is_empty() {
        let _ = stream.send_data(Bytes::from(body)).await;
    }
    let _ = stream.finish().await;
}

async fn probe(tls: &str, keys: &str, target: &str) -> Samples {
    let yaml = format!(
        "modules: {{m: {{prober: http, timeout: 2s, http: {{enable_http3: true, enable_http2: false, \
         preferred_ip_protocol: ip4, tls_config: {{{tls}}}, {keys}}}}}}}"
    );
    Prober::start(&yaml).await.probe("m", target).await
}

#[tokio::test]
async fn a_page_over_http3() {
    let authority = authority();
    let address = server(&authority.issue(&["localhost", "site.example"], 2020, 2080), None);
    let ca = format!("ca_file: {}", authority.file.display());
    let target = |path: &str| format!("https://localhost:{}{path}", address.port());
    let keys = "valid_http_versions: [HTTP/3.0], fail_if_not_ssl: true";
    let samples = probe(&ca, keys, &target("/ok")).await;
    samples.assert_success();
    let length = format!("GET localhost:{}  ", address.port()).len() as f64;
    samples.assert(&[
        ("probe_http_version", 3.0),
        ("probe_http_status_code", 200.0),
        ("probe_http_ssl", 1.0),
        ("probe_http_content_length", length),
        ("probe_http_uncompressed_body_length", length),
        ("probe_ssl_earliest_cert_expiry", 3_471_292_800.0),
        ("probe_ssl_last_chain_expiry_timestamp_seconds", 3_471_292_800.0),
        ("probe_tls_version_info{version=\"TLS 1.3\"}", 1.0),
    ]);
    assert!(samples.text.contains("probe_ssl_last_chain_info{"), "{}", samples.text);
    for phase in ["resolve", "connect", "tls", "processing", "transfer"] {
        assert!(
            samples.has(&format!("probe_http_duration_seconds{{phase=\"{phase}\"}}")),
            "{phase}"
        );
    }
    assert!(samples.get("probe_http_duration_seconds{phase=\"tls\"}") > 0.0);
    assert!(samples.get("probe_http_duration_seconds{phase=\"processing\"}") > 0.0);
    // http:// means the same, for there is no HTTP/3 without TLS.
    probe(&ca, "", &target("/ok").replace("https:", "http:")).await.assert_success();
    let keys = "method: POST, body: hello, headers: {X-One: two, Host: site.example}, \
                fail_if_body_not_matches_regexp: [\"^POST site.example two hello$\"]";
    probe(&ca, keys, &target("/ok")).await.assert_success();
    probe(&ca, "", &target("/early")).await.assert_success();
    probe(&ca, "", &target("/missing")).await.assert_failure("validate", "status");
    let samples = probe(&ca, "", &target("/hop")).await;
    samples.assert_success();
    samples.assert(&[("probe_http_redirects", 1.0), ("probe_http_version", 3.0)]);
    let samples = probe(&ca, "", &target("/down")).await;
    samples.assert_failure("validate", "bad_redirect");
}

#[tokio::test]
async fn servers_that_are_wrong_or_not_there() {
    let authority = authority();
    let ca = format!("ca_file: {}", authority.file.display());
    for (names, from, to, tls, reason) in [
        ("localhost", 2020, 2080, String::new(), "cert_untrusted"),
        ("localhost", 2020, 2021, ca.clone(), "cert_expired"),
        ("other.example", 2020, 2080, ca.clone(), "cert_name"),
    ] {
        let address = server(&authority.issue(&[names], from, to), None);
        let target = format!("https://localhost:{}/ok", address.port());
        let samples = probe(&tls, "", &target).await;
        samples.assert_failure("tls", reason);
        assert!(samples.has("probe_ssl_peer_earliest_cert_expiry"), "{}", samples.text);
        samples.assert(&[("probe_http_ssl", 0.0), ("probe_http_version", 0.0)]);
        probe("insecure_skip_verify: true", "", &target).await.assert_success();
    }
    let address = server(&authority.issue(&["localhost"], 2020, 2080), None);
    let target = |path: &str| format!("https://localhost:{}{path}", address.port());
    probe(&ca, "", &target("/silent")).await.assert_failure("processing", "timeout");
    let samples = probe(&ca, "", &target("/reset")).await;
    assert_eq!(samples.get("probe_success"), 0.0, "{}", samples.text);
    let started = Instant::now();
    let samples = probe(&ca, "", &target("/endless")).await;
    samples.assert_failure("transfer", "timeout");
    assert!(started.elapsed() < Duration::from_secs(8));
    assert!(samples.get("probe_http_uncompressed_body_length") > 65536.0);
    probe(&ca, "body_size_limit: 1KB", &target("/endless"))
        .await
        .assert_failure("validate", "body_size");
    // Nobody who speaks QUIC is there, whatever there is over TCP: no other protocol is tried.
    let https = tls::server(&authority.issue(&["localhost"], 2020, 2080), &[]).await;
    let samples = probe(&ca, "", &format!("https://localhost:{}/", https.port())).await;
    samples.assert_failure("tls", "timeout");
}

#[tokio::test]
async fn client_certificates_over_http3() {
    let (authority, dir) = (authority(), tempfile::tempdir().unwrap());
    let address = server(&authority.issue(&["localhost"], 2020, 2080), Some(&authority));
    let (certificate, key) = authority.issue(&["client"], 2020, 2080).write(dir.path(), "client");
    let ca = format!("ca_file: {}", authority.file.display());
    let target = format!("https://localhost:{}/ok", address.port());
    let files = format!("{ca}, cert_file: {certificate}, key_file: {key}");
    probe(&files, "", &target).await.assert_success();
    assert_eq!(probe(&ca, "", &target).await.get("probe_success"), 0.0);
}
