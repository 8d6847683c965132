//! The http prober over TLS: names, trust, dates, versions, and what is told when they are wrong.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::harness::{Prober, Samples};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A certificate authority of our own, and its certificate in a file.
pub(crate) struct Authority {
    issuer: Issuer,
    pub(crate) file: PathBuf,
    _dir: tempfile::TempDir,
}

/// A certificate and its key.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
    params
}

pub(crate) fn authority() -> Authority {
    let mut params = named("test root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, issuer.pem()).unwrap();
    Authority { issuer, file, _dir: dir }
}

impl Authority {
    /// A server's certificate for `names`, valid between two years.
    pub(crate) fn issue(&self, names: &[&str], from: i32, to: i32) -> Identity {
        let mut params = named(names[0]);
        params.subject_alt_names =
            CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
                .unwrap()
                .subject_alt_names;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params.serial_number = Some(vec![0x8a, 0x01].into());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone()], key }
    }
}

impl Identity {
    /// Puts certificate and key into files of this name; gives their paths.
    pub(crate) fn write(&self, dir: &std::path::Path, name: &str) -> (String, String) {
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        let body =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &self.chain[0]);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        std::fs::write(&certificate, pem).unwrap();
        std::fs::write(&key, self.key.serialize_pem()).unwrap();
        (certificate.display().to_string(), key.display().to_string())
    }
}

/// An HTTPS server that answers `ok`, in HTTP/2 where that is asked for.
pub(crate) async fn server(identity: &Identity, alpn: &[&str]) -> SocketAddr {
    let acceptor = acceptor(identity, alpn);
    serve_tls(acceptor).await
}

pub(crate) fn acceptor(identity: &Identity, alpn: &[&str]) -> TlsAcceptor {
    acceptor_of(identity, alpn, rustls::DEFAULT_VERSIONS, None)
}

/// One that speaks these versions, and lets only those in whom `clients` knows, where that is given.
pub(crate) fn acceptor_of(
    identity: &Identity,
    alpn: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
    clients: Option<&Authority>,
) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(server_config(identity, alpn, versions, clients)))
}

pub(crate) fn server_config(
    identity: &Identity,
    alpn: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
    clients: Option<&Authority>,
) -> ServerConfig {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(identity.chain.clone(), key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

async fn serve_tls(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let service = hyper::service::service_fn(|_request| async {
                        Ok::<_, std::convert::Infallible>(hyper::Response::new("ok".to_owned()))
                    });
                    let io = hyper_util::rt::TokioIo::new(tls);
                    let executor = hyper_util::rt::TokioExecutor::new();
                    let _ = hyper::server::conn::http2::Builder::new(executor)
                        .serve_connection(io, service)
                        .await;
                } else {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match tls.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    let _ = tls.shutdown().await;
                }
            });
        }
    });
    address
}

/// The health service of the grpc tests, over TLS.
pub(crate) async fn grpc_server(identity: &Identity) -> SocketAddr {
    let acceptor = acceptor(identity, &["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(stream).await else { return };
                let io = hyper_util::rt::TokioIo::new(tls);
                let executor = hyper_util::rt::TokioExecutor::new();
                let service = hyper::service::service_fn(super::grpc::health);
                let _ = hyper::server::conn::http2::Builder::new(executor)
                    .serve_connection(io, service)
                    .await;
            });
        }
    });
    address
}

/// A server that speaks plainly until `STARTTLS`, and then answers each line with `secret` before it.
pub(crate) async fn starttls_server(identity: &Identity) -> SocketAddr {
    let acceptor = acceptor(identity, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = stream.write_all(b"220 hello\r\n").await;
                let mut line = vec![0; "STARTTLS\n".len()];
                if stream.read_exact(&mut line).await.is_err() || line != b"STARTTLS\n" {
                    return;
                }
                let _ = stream.write_all(b"go\n").await;
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                let mut line = vec![0; "hello\n".len()];
                if tls.read_exact(&mut line).await.is_ok() {
                    let _ = tls.write_all(&[&b"secret "[..], &line].concat()).await;
                }
            });
        }
    });
    address
}

async fn probe(keys: &str, target: &str) -> Samples {
    let yaml = format!("modules:\n  m:\n    prober: http\n    timeout: 5s\n    http: {{{keys}}}\n");
    Prober::start(&yaml).await.probe("m", target).await
}

#[tokio::test]
async fn a_trusted_server() {
    let authority = authority();
    let identity = authority.issue(&["localhost", "127.0.0.1", "*.local.example"], 2020, 2080);
    let address = server(&identity, &[]).await;
    let keys =
        format!("tls_config: {{ca_file: {}}}, fail_if_not_ssl: true", authority.file.display());
    let samples = probe(&keys, &format!("https://localhost:{}/", address.port())).await;
    samples.assert_success();
    samples.assert(&[
        ("probe_http_ssl", 1.0),
        ("probe_ssl_earliest_cert_expiry", 3_471_292_800.0),
        ("probe_ssl_last_chain_expiry_timestamp_seconds", 3_471_292_800.0),
        ("probe_ssl_peer_earliest_cert_expiry", 3_471_292_800.0),
        ("probe_tls_version_info{version=\"TLS 1.3\"}", 1.0),
        ("probe_http_version", 1.1),
    ]);
    assert!(samples.get("probe_http_duration_seconds{phase=\"tls\"}") > 0.0);
    let info = samples.values.keys().find(|s| s.starts_with("probe_ssl_last_chain_info")).unwrap();
    for part in [
        "issuer=\"CN=test root,O=Acme\\\\, Inc.\"",
        "serialnumber=\"8a01\"",
        "subject=\"CN=localhost,O=Acme\\\\, Inc.\"",
        "subjectalternative=\"localhost,*.local.example\"",
    ] {
        assert!(info.contains(part), "{part} in {info}");
    }
    let cipher = samples.values.keys().find(|s| s.starts_with("probe_tls_cipher_info")).unwrap();
    assert!(cipher.starts_with("probe_tls_cipher_info{cipher=\"TLS_"), "{cipher}");
    probe(&keys, &format!("https://{address}/")).await.assert_success();
    probe(&format!("{keys}, fail_if_ssl: true"), &format!("https://{address}/"))
        .await
        .assert_failure("validate", "ssl");
}

#[tokio::test]
async fn http2_where_the_server_speaks_it() {
    let authority = authority();
    let identity = authority.issue(&["localhost"], 2020, 2080);
    let address = server(&identity, &["h2", "http/1.1"]).await;
    let keys = format!("tls_config: {{ca_file: {}}}", authority.file.display());
    let target = format!("https://localhost:{}/", address.port());
    let samples = probe(&format!("{keys}, valid_http_versions: [HTTP/2.0]"), &target).await;
    samples.assert_success();
    samples.assert(&[
        ("probe_http_version", 2.0),
        ("probe_http_content_length", 2.0),
        ("probe_http_uncompressed_body_length", 2.0),
    ]);
    let samples = probe(&format!("{keys}, enable_http2: false"), &target).await;
    samples.assert_success();
    assert_eq!(samples.get("probe_http_version"), 1.1);
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate() {
    let authority = authority();
    let ca = format!("ca_file: {}", authority.file.display());
    for (names, from, to, tls, reason) in [
        (["localhost"], 2020, 2080, String::new(), "cert_untrusted"),
        (["localhost"], 2020, 2021, ca.clone(), "cert_expired"),
        (["localhost"], 2079, 2080, ca.clone(), "cert_not_yet_valid"),
        (["other.example"], 2020, 2080, ca.clone(), "cert_name"),
        (["localhost"], 2020, 2080, format!("{ca}, server_name: else.example"), "cert_name"),
    ] {
        let identity = authority.issue(&names, from, to);
        let address = server(&identity, &[]).await;
        let target = format!("https://localhost:{}/", address.port());
        let samples = probe(&format!("tls_config: {{{tls}}}"), &target).await;
        samples.assert_failure("tls", reason);
        // The original tells nothing of a certificate that it refuses; we do, under names of our own.
        assert!(!samples.has("probe_ssl_earliest_cert_expiry"), "{}", samples.text);
        let end = if to == 2021 { 1_609_459_200.0 } else { 3_471_292_800.0 };
        assert_eq!(samples.get("probe_ssl_peer_earliest_cert_expiry"), end);
        let series = format!(
            "probe_ssl_peer_cert_not_after{{issuer_cn=\"test root\",position=\"0\",serialnumber=\"8a01\",subject_cn=\"{}\"}}",
            names[0]
        );
        assert_eq!(samples.get(&series), end);
        samples.assert(&[("probe_http_ssl", 0.0), ("probe_http_status_code", 0.0)]);

        let insecure = probe("tls_config: {insecure_skip_verify: true}", &target).await;
        insecure.assert_success();
        insecure.assert(&[
            ("probe_ssl_earliest_cert_expiry", end),
            ("probe_ssl_last_chain_expiry_timestamp_seconds", -62_135_596_800.0),
        ]);
    }
}

#[tokio::test]
async fn names_come_from_the_target_the_host_header_or_the_module() {
    let authority = authority();
    let identity = authority.issue(&["site.example"], 2020, 2080);
    let address = server(&identity, &[]).await;
    let ca = authority.file.display();
    let target = format!("https://{address}/");
    for keys in [
        format!("tls_config: {{ca_file: {ca}, server_name: site.example}}"),
        format!("tls_config: {{ca_file: {ca}}}, headers: {{Host: site.example}}"),
        format!("tls_config: {{ca_file: {ca}}}, headers: {{host: \"site.example:8443\"}}"),
    ] {
        probe(&keys, &target).await.assert_success();
    }
    let yaml = format!("modules: {{m: {{prober: http, http: {{tls_config: {{ca_file: {ca}}}}}}}}}");
    let prober = Prober::start(&yaml).await;
    prober.probe_with("m", &target, "&hostname=site.example").await.assert_success();
    prober.probe("m", &target).await.assert_failure("tls", "cert_name");
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_trusted_itself() {
    for is_ca in [false, true] {
        let mut params = named("localhost");
        params.subject_alt_names =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().subject_alt_names;
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        params.not_after = date_time_ymd(2080, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("self.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        let identity = Identity { chain: vec![certificate.der().clone()], key };
        let address = server(&identity, &[]).await;
        let keys = format!("tls_config: {{ca_file: {}}}", file.display());
        let samples = probe(&keys, &format!("https://localhost:{}/", address.port())).await;
        samples.assert_success();
        assert_eq!(
            samples.get("probe_ssl_last_chain_expiry_timestamp_seconds"),
            3_471_292_800.0,
            "{is_ca}"
        );
        probe(&keys, &format!("https://{address}/")).await.assert_failure("tls", "cert_name");
    }
}

#[tokio::test]
async fn files_that_are_not_there() {
    for keys in ["ca_file: /does/not/exist", "ca: nonsense", "cert_file: /none, key_file: /none"] {
        let samples = probe(&format!("tls_config: {{{keys}}}"), "https://127.0.0.1:1/").await;
        assert_eq!(samples.get("probe_success"), 0.0);
        assert!(
            samples.text.contains("reason=\"configuration\"")
                || samples.text.contains("reason=\"refused\""),
            "{}",
            samples.text
        );
    }
}
