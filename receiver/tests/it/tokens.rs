//! Tokens: what each opens, that nothing is open without one, and that they stop when they are revoked.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use futures_util::StreamExt;
use receiver::{
    Config,
    db::testing,
    http::auth::{self, Access},
    token::{
        Scope, command,
        store::{self, NewToken},
    },
};
use serde_json::{Value, json};
use service::Secret;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tower::ServiceExt;

use crate::harness::TestReceiver;

/// As on an address that others can reach.
async fn guarded() -> TestReceiver {
    let database = testing::database().await;
    let wide: SocketAddr = "0.0.0.0:9201".parse().unwrap();
    let access = Access::new(service::web::Config::default(), &[wide], false);
    let config = Config { admin_api: true, access, ..Config::new(database.url().to_owned()) };
    TestReceiver::with_config(database, config).await
}

async fn token(receiver: &TestReceiver, name: &str, scopes: &[Scope]) -> Secret {
    let new = NewToken { name: name.to_owned(), scopes: scopes.to_vec(), expires_in_s: None };
    store::create(&receiver.db, &new).await.unwrap().1
}

async fn ask(
    receiver: &TestReceiver,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let shutdown = service::Shutdown::new();
    let (reload, _) = service::reload::channel();
    let lifecycle = service::LifecycleArgs { enable_lifecycle: true };
    let lifecycle = service::admin::lifecycle_router(lifecycle, reload, shutdown.clone());
    let router = receiver.receiver.router_with(&shutdown, lifecycle);
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
}

async fn status_with(receiver: &TestReceiver, method: &str, path: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    ask(receiver, method, path, &[("Authorization", &bearer)], "").await.0.as_u16()
}

/// A path that matches a route.
fn example(route: &str) -> String {
    let mut path = String::new();
    for part in route.split('/').skip(1) {
        path += "/";
        path += if part.starts_with('{') { "1" } else { part };
    }
    path
}

#[tokio::test]
async fn nothing_but_health_is_open_without_a_token() {
    let receiver = guarded().await;
    let mut n_routes = 0;
    for (route, scope) in auth::routes() {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            let (status, headers, text) = ask(&receiver, method, &example(route), &[], "").await;
            if scope.is_none() {
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {route}");
                continue;
            }
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {route}: {text}");
            assert!(text.contains("Authorization: Bearer") && text.ends_with('\n'), "{text}");
            let challenges: Vec<_> = headers.get_all("WWW-Authenticate").iter().collect();
            assert_eq!(challenges[0], "Bearer realm=\"watchpost\"");
            assert!(
                challenges[1].to_str().unwrap().starts_with("Basic "),
                "browsers are asked, too"
            );
            n_routes += 1;
        }
    }
    assert!(n_routes > 50);
    assert_eq!(ask(&receiver, "GET", "/no/such/page", &[], "").await.0, StatusCode::UNAUTHORIZED);
    let (_, _, metrics) = {
        let reader = token(&receiver, "reader", &[Scope::Read]).await;
        let bearer = format!("Bearer {}", reader.expose());
        ask(&receiver, "GET", "/metrics", &[("Authorization", &bearer)], "").await
    };
    assert!(metrics.contains("receiver_requests_denied_total{reason=\"no_token\"}"), "{metrics}");
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_say_and_nothing_else() {
    let receiver = guarded().await;
    for held in Scope::ALL {
        let secret = token(&receiver, held.as_str(), &[held]).await;
        for (route, needed) in auth::routes() {
            let Some(needed) = needed else { continue };
            let method = if needed == Scope::Read { "GET" } else { "POST" };
            let bearer = format!("Bearer {}", secret.expose());
            let authorization = [("Authorization", bearer.as_str())];
            let (status, headers, text) =
                ask(&receiver, method, &example(route), &authorization, "").await;
            if held == needed {
                assert!(
                    status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN,
                    "{held}: {route}: {status} {text}"
                );
            } else {
                assert_eq!(status, StatusCode::FORBIDDEN, "{held}: {route}");
                assert_eq!(text, format!("this needs a token with the scope `{needed}`\n"));
                let challenge = headers["WWW-Authenticate"].to_str().unwrap();
                assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
            }
        }
    }
    let all = token(&receiver, "all", &Scope::ALL).await;
    assert_eq!(status_with(&receiver, "GET", "/api/v1/status/storage", all.expose()).await, 200);
    let list = status_with(&receiver, "GET", "/api/v1/admin/tokens", all.expose()).await;
    assert_eq!(list, 200);
}

#[tokio::test]
async fn a_new_token_works_at_once_and_a_revoked_one_stops_within_seconds() {
    let receiver = guarded().await;
    let path = "/api/v1/status/storage";
    let (first, second) = (
        token(&receiver, "first", &[Scope::Read]).await,
        token(&receiver, "second", &[Scope::Read]).await,
    );
    assert_eq!(status_with(&receiver, "GET", path, first.expose()).await, 200);
    let third = token(&receiver, "third", &[Scope::Read]).await;
    assert_eq!(status_with(&receiver, "GET", path, third.expose()).await, 200);
    assert_eq!(status_with(&receiver, "GET", path, "wpt_nonsense").await, 401);
    let stranger = receiver::token::generate();
    assert_eq!(status_with(&receiver, "GET", path, stranger.expose()).await, 401);

    // From elsewhere: this receiver is not told.
    store::revoke(&receiver.db, &store::Which::Name("first".to_owned())).await.unwrap().unwrap();
    let revoked = Instant::now();
    while status_with(&receiver, "GET", path, first.expose()).await == 200 {
        assert!(revoked.elapsed() < Duration::from_secs(10), "a revoked token still works");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status_with(&receiver, "GET", path, first.expose()).await, 401);
    assert_eq!(status_with(&receiver, "GET", path, second.expose()).await, 200);

    sqlx::query("UPDATE watchpost.token SET expires_at = now() WHERE name = 'second'")
        .execute(&receiver.db)
        .await
        .unwrap();
    let expired = Instant::now();
    while status_with(&receiver, "GET", path, second.expose()).await == 200 {
        assert!(expired.elapsed() < Duration::from_secs(10), "an expired token still works");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Its use was noted, some time after the answer.
    let asked = Instant::now();
    let used = async || -> bool {
        let tokens = store::list(&receiver.db).await.unwrap();
        tokens.iter().find(|token| token.name == "third").unwrap().last_used_at.is_some()
    };
    while !used().await {
        assert!(asked.elapsed() < Duration::from_secs(10), "its use was not noted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn while_the_database_is_away_known_tokens_pass_and_nobody_is_told_that_his_is_wrong() {
    let receiver = guarded().await;
    let known = token(&receiver, "known", &[Scope::Read]).await;
    let stranger = receiver::token::generate();
    // The console's page needs no database.
    assert_eq!(status_with(&receiver, "GET", "/", known.expose()).await, 200);
    let rename = async |from: &str, to: &str| {
        let statement = format!("ALTER TABLE watchpost.{from} RENAME TO {to}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&receiver.db).await.unwrap();
    };
    rename("token", "token_away").await;
    let began = Instant::now();
    // Longer than what was read counts as fresh.
    while began.elapsed() < Duration::from_secs(6) {
        assert_eq!(status_with(&receiver, "GET", "/", known.expose()).await, 200);
        assert_eq!(status_with(&receiver, "GET", "/", stranger.expose()).await, 503);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(status_with(&receiver, "GET", "/", "hunter2").await, 401, "no token at all");
    rename("token_away", "token").await;
    let back = Instant::now();
    while status_with(&receiver, "GET", "/", stranger.expose()).await != 401 {
        assert!(back.elapsed() < Duration::from_secs(10), "the database is there again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn browsers_bring_it_as_a_password_and_foreign_pages_change_nothing() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let receiver = guarded().await;
    let secret = token(&receiver, "person", &[Scope::Read, Scope::Admin]).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("anybody:{}", secret.expose())));
    let with = [("Authorization", basic.as_str()), ("Host", "watch:9201")];
    assert_eq!(ask(&receiver, "GET", "/", &with, "").await.0, StatusCode::OK);
    let delete = "/api/v1/admin/tsdb/delete_series?match[]=up";
    let of_origin = |origin| [with[0], with[1], ("Origin", origin)];
    let foreign = of_origin("http://evil.example");
    assert_eq!(ask(&receiver, "POST", delete, &foreign, "").await.0, StatusCode::FORBIDDEN);
    let own = of_origin("http://watch:9201");
    assert_eq!(ask(&receiver, "POST", delete, &own, "").await.0, StatusCode::NO_CONTENT);

    let open = TestReceiver::open().await;
    let without = [("Host", "localhost:9201"), ("Origin", "http://evil.example")];
    for path in [delete, "/api/v1/write"] {
        assert_eq!(ask(&open, "POST", path, &without, "").await.0, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(ask(&open, "POST", delete, &[], "").await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn tokens_are_managed_over_http() {
    let receiver = guarded().await;
    let admin = token(&receiver, "admin", &[Scope::Admin]).await;
    let bearer = format!("Bearer {}", admin.expose());
    let with = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let post = async |body: Value| {
        let (status, headers, text) =
            ask(&receiver, "POST", "/api/v1/admin/tokens", &with, &body.to_string()).await;
        (status.as_u16(), headers, text)
    };
    let (status, headers, text) =
        post(json!({"name": "grafana", "scopes": ["read"], "expires_in": "90d"})).await;
    assert_eq!(status, 201, "{text}");
    assert_eq!(headers["Cache-Control"], "no-store");
    let made: Value = serde_json::from_str(&text).unwrap();
    let secret = made["data"]["token"].as_str().unwrap().to_owned();
    assert_eq!(status_with(&receiver, "GET", "/", &secret).await, 200);

    for (body, expected, said) in [
        (json!({"name": "grafana", "scopes": ["read"]}), 409, "already"),
        (json!({"name": "", "scopes": ["read"]}), 400, "needs a name"),
        (json!({"name": "a\nb", "scopes": ["read"]}), 400, "control character"),
        (json!({"name": "x", "scopes": []}), 400, "needs a scope"),
        (json!({"name": "x", "scopes": ["root"]}), 400, "no scope `root`"),
        (json!({"name": "x", "scopes": ["read"], "expires_in": "soon"}), 400, "not a duration"),
        (json!({"name": "x", "scopes": ["read"], "expires_in": "0s"}), 400, "at least a second"),
        (json!({"name": "x", "scope": "read"}), 400, "unknown field"),
    ] {
        let (status, _, text) = post(body.clone()).await;
        assert_eq!(status, expected, "{body}: {text}");
        assert!(text.contains(said), "{body}: {text}");
    }

    let (_, _, text) = ask(&receiver, "GET", "/api/v1/admin/tokens", &with, "").await;
    assert!(!text.contains("wpt_") && !text.contains("hash"), "{text}");
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(listed["data"][1]["name"], "grafana");
    assert_eq!(listed["data"][1]["scopes"], json!(["read"]));
    let path = format!("/api/v1/admin/tokens/{}", made["data"]["id"]);
    assert_eq!(ask(&receiver, "DELETE", &path, &with, "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(ask(&receiver, "DELETE", &path, &with, "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(status_with(&receiver, "GET", "/", &secret).await, 401, "at once where it was done");
}

#[tokio::test]
async fn tokens_are_managed_from_the_command_line() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(subcommand)]
        token: command::Token,
    }
    let receiver = guarded().await;
    let run = async |words: &[&str]| -> Result<String, String> {
        let words = [&["x"], words, &["--database-url", receiver.url()]].concat();
        let cli: Cli = service::flags::parse_from(&words).map_err(|err| err.to_string())?;
        let mut out = Vec::new();
        let done = command::execute(&cli.token, &mut out).await;
        done.map_err(|err| service::error::chain(err.as_ref()))?;
        Ok(String::from_utf8(out).unwrap())
    };
    let made = run(&["create", "--name", "web 1", "--scope", "write,read"]).await.unwrap();
    let secret = made.trim_end();
    assert_eq!(status_with(&receiver, "GET", "/", secret).await, 200);
    assert!(
        run(&["create", "--name", "web 1", "--scope", "read"])
            .await
            .unwrap_err()
            .contains("already")
    );
    assert!(run(&["create", "--name", "x", "--scope", "root"]).await.is_err());
    let list = run(&["list"]).await.unwrap();
    assert!(list.contains("write,read") && list.contains("web 1"), "{list}");
    assert!(!list.contains(secret));
    let revoked = run(&["revoke", "web 1"]).await.unwrap();
    assert_eq!(revoked, "revoked `web 1`; receivers refuse it within seconds\n");
    assert!(run(&["revoke", "web 1"]).await.unwrap_err().contains("no token `web 1`"));
}

/// Live updates go on for days: whoever may not read any more is not left listening.
#[tokio::test]
async fn a_live_connection_ends_with_its_token() {
    let receiver = guarded().await;
    let secret = token(&receiver, "viewer", &[Scope::Read]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = receiver.receiver.router(&service::Shutdown::new());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut request = format!("ws://{address}/api/v1/live").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", "watchpost.live.v1+json".parse().unwrap());
    headers.insert("Authorization", format!("Bearer {}", secret.expose()).parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))), "hello");
    store::revoke(&receiver.db, &store::Which::Name("viewer".to_owned())).await.unwrap().unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(15), async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(closed.await.expect("still open"), 4401);
    serving.abort();
}

/// Users of `--web.config.file` and tokens side by side: each is let in by its own.
#[tokio::test]
async fn passwords_and_tokens_live_together() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let hash = bcrypt::hash("test", 4).unwrap();
    std::fs::write(&file, format!("basic_auth_users:\n  ada: {hash}\n")).unwrap();
    let web = service::web::Config::load(Some(&file)).unwrap().letting_bearers_pass();
    let database = testing::database().await;
    let loopback: SocketAddr = "127.0.0.1:9201".parse().unwrap();
    let access = Access::new(web.clone(), &[loopback], false);
    let config = Config { access, ..Config::new(database.url().to_owned()) };
    let receiver = TestReceiver::with_config(database, config).await;
    let secret = token(&receiver, "prometheus", &[Scope::Read]).await;
    let listeners = service::web::bind(&["127.0.0.1:0".to_owned()]).unwrap();
    let url = format!("http://{}/", listeners[0].address());
    let shutdown = service::Shutdown::new();
    let router = receiver.receiver.router(&shutdown);
    let serving = tokio::spawn(service::web::serve(listeners, router, web, shutdown.clone()));
    let status = async |authorization: Option<String>| {
        let mut request = reqwest::Client::builder().no_proxy().build().unwrap().get(&url);
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some(format!("Basic {}", STANDARD.encode("ada:test")))).await, 200);
    assert_eq!(status(Some(format!("Basic {}", STANDARD.encode("ada:wrong")))).await, 401);
    assert_eq!(status(Some(format!("Bearer {}", secret.expose()))).await, 200);
    assert_eq!(status(Some("Bearer wpt_wrong".to_owned())).await, 401);
    shutdown.fire();
    serving.await.unwrap().unwrap();
}
