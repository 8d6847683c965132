//! `tls_server_config`: certificates, HTTP/2, client certificates, and reading them anew.

use axum::Router;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    eventually,
    server::{Authority, Folder, Server, client, identity},
};

const SERVER: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

#[tokio::test]
async fn https_with_http_2_by_alpn() {
    let (folder, authority) = (Folder::new(), Authority::new("root"));
    folder.certify("server", &["localhost"], &authority);
    let config = folder.config(SERVER);
    assert!(config.is_tls());
    let server = Server::start(config, Router::new());
    let both = client(Some(&authority)).build().unwrap();
    let text = both.get(server.url("https")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "127.0.0.1 - tls=true HTTP/2.0");
    let old = client(Some(&authority)).http1_only().build().unwrap();
    let text = old.get(server.url("https")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "127.0.0.1 - tls=true HTTP/1.1");
    let stranger = client(Some(&Authority::new("other"))).build().unwrap();
    assert!(stranger.get(server.url("https")).send().await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn http_2_can_be_turned_off() {
    let (folder, authority) = (Folder::new(), Authority::new("root"));
    folder.certify("server", &["localhost"], &authority);
    let config = folder.config(&format!("{SERVER}http_server_config:\n  http2: false\n"));
    let server = Server::start(config, Router::new());
    let both = client(Some(&authority)).build().unwrap();
    let text = both.get(server.url("https")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "127.0.0.1 - tls=true HTTP/1.1");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_speaks_http_is_told() {
    let (folder, authority) = (Folder::new(), Authority::new("root"));
    folder.certify("server", &["localhost"], &authority);
    let server = Server::start(folder.config(SERVER), Router::new());
    let response = client(None).build().unwrap().get(server.url("http")).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(response.text().await.unwrap().contains("https://"));

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[0xff; 64]).await.unwrap();
    let mut answer = Vec::new();
    // An end or a reset, but no bytes: this client would not understand them.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    assert!(server.counts("watchpost_demo_tls_handshakes_failed_total 2"));
    server.stop().await;
}

#[tokio::test]
async fn client_certificates_are_verified() {
    let (folder, authority) = (Folder::new(), Authority::new("root"));
    folder.certify("server", &["localhost"], &authority);
    folder.certify("scraper", &["scraper.example.org"], &authority);
    folder.certify("other", &["other.example.org"], &authority);
    folder.certify("forged", &["scraper.example.org"], &Authority::new("root"));
    folder.write("ca.crt", &authority.pem);
    let config = folder.config(&format!(
        "{SERVER}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [scraper.example.org]\n"
    ));
    assert!(config.asks_for_credentials());
    let server = Server::start(config, Router::new());
    for (name, is_let_in) in
        [(Some("scraper"), true), (Some("other"), false), (Some("forged"), false), (None, false)]
    {
        for is_old in [false, true] {
            let mut builder = client(Some(&authority));
            if let Some(name) = name {
                builder = builder.identity(identity(&folder, name));
            }
            if is_old {
                builder = builder.tls_version_max(reqwest::tls::Version::TLS_1_2);
            }
            let outcome = builder.build().unwrap().get(server.url("https")).send().await;
            assert_eq!(outcome.is_ok(), is_let_in, "{name:?} {outcome:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn any_certificate_but_not_none() {
    let (folder, authority) = (Folder::new(), Authority::new("root"));
    folder.certify("server", &["localhost"], &authority);
    folder.certify("stranger", &["x"], &Authority::new("other"));
    let config = folder.config(&format!("{SERVER}  client_auth_type: RequireAnyClientCert\n"));
    assert!(!config.asks_for_credentials(), "anybody can make a certificate");
    let server = Server::start(config, Router::new());
    let without = client(Some(&authority)).build().unwrap();
    assert!(without.get(server.url("https")).send().await.is_err());
    let with = client(Some(&authority)).identity(identity(&folder, "stranger")).build().unwrap();
    assert_eq!(with.get(server.url("https")).send().await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    let (folder, first, second) =
        (Folder::new(), Authority::new("first"), Authority::new("second"));
    folder.certify("server", &["localhost"], &first);
    let server = Server::start(folder.config(SERVER), Router::new());
    let knows_first = client(Some(&first)).build().unwrap();
    let knows_second = client(Some(&second)).build().unwrap();
    assert!(knows_first.get(server.url("https")).send().await.is_ok());
    assert!(knows_second.get(server.url("https")).send().await.is_err());

    folder.certify("server", &["localhost"], &second);
    eventually("the second certificate is served", || async {
        knows_second.get(server.url("https")).send().await.is_ok()
    })
    .await;
    assert!(server.counts("watchpost_demo_web_config_failed 0"));

    folder.write("server.crt", "broken");
    eventually("the broken certificate is counted", || async {
        let _ = knows_second.get(server.url("https")).send().await;
        server.counts("watchpost_demo_web_config_failed 1")
    })
    .await;
    assert!(knows_second.get(server.url("https")).send().await.is_ok());
    server.stop().await;
}
