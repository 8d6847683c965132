//! `basic_auth_users`, `rate_limit` and `http_server_config.headers`.

use axum::{Router, routing::get};
use reqwest::{RequestBuilder, header};

use crate::{
    eventually,
    server::{Folder, Server, client},
};

fn users(password: &str) -> String {
    format!("basic_auth_users:\n  ada: {}\n", bcrypt::hash(password, 4).unwrap())
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn only_the_right_password_passes() {
    let folder = Folder::new();
    let server = Server::start(folder.config(&users("right")), Router::new());
    let client = client(None).build().unwrap();
    let ask = || client.get(server.url("http"));
    let refused = ask().send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Basic");
    assert_eq!(status(ask().basic_auth("ada", Some("wrong"))).await, 401);
    assert_eq!(status(ask().basic_auth("eve", Some("right"))).await, 401);
    assert_eq!(status(ask().bearer_auth("right")).await, 401);
    let text = ask().basic_auth("ada", Some("right")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "127.0.0.1 ada tls=false HTTP/1.1");
    assert!(server.counts("watchpost_demo_http_requests_unauthorized_total 4"));
    server.stop().await;
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let folder = Folder::new();
    let server = Server::start(folder.config(&users("old")), Router::new());
    let client = client(None).build().unwrap();
    let ask = |password| client.get(server.url("http")).basic_auth("ada", Some(password));
    assert_eq!(status(ask("old")).await, 200);
    folder.write("web.yml", &users("new"));
    eventually("the new password passes", || async { status(ask("new")).await == 200 }).await;
    assert_eq!(status(ask("old")).await, 401, "it was remembered under the old hash");
    folder.write("web.yml", "basic_auth_users:\n  ada: not-a-hash\n");
    eventually("the broken file is counted", || async {
        assert_eq!(status(ask("new")).await, 200);
        server.counts("watchpost_demo_web_config_failed 1")
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn headers_are_on_every_answer() {
    let folder = Folder::new();
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: default-src 'self'\n";
    let config = folder.config(&format!("{headers}{}", users("right")));
    let server = Server::start(config, Router::new());
    let client = client(None).build().unwrap();
    for password in ["right", "wrong"] {
        let request = client.get(server.url("http")).basic_auth("ada", Some(password));
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-frame-options"], "deny");
        assert_eq!(response.headers()["content-security-policy"], "default-src 'self'");
    }
    server.stop().await;
}

#[tokio::test]
async fn too_many_requests() {
    let folder = Folder::new();
    let config = folder.config("rate_limit:\n  interval: 1h\n  burst: 2\n");
    let server = Server::start(config, Router::new());
    let client = client(None).build().unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(status(client.get(server.url("http"))).await);
    }
    assert_eq!(seen, [200, 200, 429]);
    server.stop().await;
}

#[tokio::test]
async fn a_handler_that_panics_answers_500() {
    async fn panics() -> &'static str {
        panic!("a bug made for this test")
    }
    let server =
        Server::start(service::web::Config::default(), Router::new().route("/bug", get(panics)));
    let client = client(None).build().unwrap();
    assert_eq!(status(client.get(format!("{}bug", server.url("http")))).await, 500);
    assert_eq!(status(client.get(server.url("http"))).await, 200);
    server.stop().await;
}
