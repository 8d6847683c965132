//! The console in a real browser, driven over its debugging protocol: pages appear, values move by themselves, and the
//! browser has nothing to complain about — no exception, no error, no violation of the policy.
//!
//! Needs a Chromium on this machine; without one the test says so and checks nothing.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use receiver::http;
use serde_json::{Value, json};
use service::Shutdown;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::live::{World, now_ms};

/// A browser takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

struct Browser {
    process: Child,
    socket: WebSocketStream<TcpStream>,
    session: Value,
    next_id: u64,
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None` when there is no browser.
    async fn start() -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let spawn = |name: &str| {
            Command::new(name)
                .args([
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                ])
                .args([
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                ])
                .args(["--disable-dev-shm-usage", "--lang=en-US", "--remote-debugging-port=0"])
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .env("LANG", "en_US.UTF-8")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
        };
        let mut process = BROWSERS.iter().find_map(|name| spawn(name).ok())?;
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = tokio::time::timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the browser ended");
                if let Some((_, url)) = line.split_once("DevTools listening on ") {
                    return url.to_owned();
                }
            }
        });
        let url = address.await.expect("the browser did not start");
        // Its log must be read, or it stops when the pipe is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let host = url.trim_start_matches("ws://").split('/').next().unwrap().to_owned();
        let stream = TcpStream::connect(host).await.unwrap();
        let (socket, _) = client_async(url, stream).await.unwrap();
        let (next_id, complaints) = (1, Vec::new());
        let mut browser =
            Self { process, socket, session: Value::Null, next_id, complaints, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.session = browser.call("Target.attachToTarget", attach).await["sessionId"].clone();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({})).await;
        }
        Some(browser)
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = json!({"id": id, "method": method, "params": params});
        if !self.session.is_null() {
            request["sessionId"] = self.session.clone();
        }
        self.socket.send(Message::text(request.to_string())).await.unwrap();
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let message = message.expect("the browser is silent").unwrap().unwrap();
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let is_complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                ["error", "warning", "assert"].contains(&params["type"].as_str().unwrap_or(""))
            }
            Some("Log.entryAdded") => {
                ["error", "warning"].contains(&params["entry"]["level"].as_str().unwrap_or(""))
            }
            _ => false,
        };
        if is_complaint {
            self.complaints.push(params.to_string());
        }
    }

    async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url})).await;
    }

    async fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params).await;
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    async fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(expression).await != json!(true) {
            if Instant::now() > deadline {
                let shown = self.evaluate("document.body?.innerText").await;
                panic!("never: {expression}\n{shown}\n{:?}", self.complaints);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn scrape(t: i64, seconds: f64) -> Vec<(&'static str, i64, f64)> {
    vec![
        ("up{instance=\"db-1:9100\",job=\"node\"}", t, 1.0),
        ("node_uname_info{instance=\"db-1:9100\",job=\"node\",nodename=\"db-1\"}", t, 1.0),
        (
            "node_boot_time_seconds{instance=\"db-1:9100\",job=\"node\"}",
            t,
            t as f64 / 1_000.0 - 90_000.0,
        ),
        (
            "node_cpu_seconds_total{instance=\"db-1:9100\",job=\"node\",cpu=\"0\",mode=\"idle\"}",
            t,
            0.75 * seconds,
        ),
        (
            "node_cpu_seconds_total{instance=\"db-1:9100\",job=\"node\",cpu=\"0\",mode=\"user\"}",
            t,
            0.25 * seconds,
        ),
        (
            "node_memory_MemTotal_bytes{instance=\"db-1:9100\",job=\"node\"}",
            t,
            8.0 * 1_073_741_824.0,
        ),
        (
            "node_memory_MemAvailable_bytes{instance=\"db-1:9100\",job=\"node\"}",
            t,
            2.0 * 1_073_741_824.0,
        ),
        (
            "node_filesystem_size_bytes{instance=\"db-1:9100\",job=\"node\",mountpoint=\"/\",fstype=\"ext4\"}",
            t,
            100.0,
        ),
        (
            "node_filesystem_avail_bytes{instance=\"db-1:9100\",job=\"node\",mountpoint=\"/\",fstype=\"ext4\"}",
            t,
            5.0,
        ),
        ("probe_success{instance=\"https://example.org\",job=\"blackbox\"}", t, 1.0),
        ("probe_duration_seconds{instance=\"https://example.org\",job=\"blackbox\"}", t, 0.084),
    ]
}

async fn serve(world: &World) -> SocketAddr {
    let listeners = service::web::bind(&["127.0.0.1:0".to_owned()]).unwrap();
    let address = listeners[0].address();
    let (health, metrics) = (service::Health::default(), service::Metrics::new("receiver"));
    health.ready();
    let router = Router::new()
        .merge(http::live::router(world.hub.clone(), Shutdown::new()))
        .merge(http::console::router())
        .merge(service::admin::router(health, metrics))
        .fallback(http::console::not_found);
    let config = service::web::Config::default();
    tokio::spawn(service::web::serve(listeners, router, config, Shutdown::new()));
    address
}

#[tokio::test]
async fn the_pages_in_a_browser() {
    let Some(mut browser) = Browser::start().await else {
        eprintln!(
            "SKIPPED: no Chromium here ({}): the console was not tried in a browser",
            BROWSERS.join(", ")
        );
        return;
    };
    let world = World::new();
    let address = serve(&world).await;
    let has = |text: &str| format!("(document.body?.innerText ?? \"\").includes({})", json!(text));

    // Nothing yet, and then the first sample, without a reload.
    browser.open(&format!("http://{address}/")).await;
    browser.until(&has("Waiting for the first sample")).await;
    let t = now_ms() / 1_000 * 1_000 - 10_000;
    world.commit(&scrape(t, 0.0));
    browser.until("document.querySelectorAll('.servers tbody tr').length === 1").await;
    world.commit(&scrape(t + 1_000, 1.0));
    for text in ["db-1", "Degraded", "25.0%", "75.0%", "95.0%", "Live"] {
        browser.until(&has(text)).await;
    }
    assert_eq!(browser.evaluate("document.title").await, "Servers · Watchpost");

    // A click opens the server's page; its charts move by themselves.
    browser.evaluate("document.querySelector('[data-row]').click()").await;
    browser.until("location.pathname === '/servers/db-1%3A9100'").await;
    browser.until("document.querySelectorAll('.uplot canvas').length >= 2").await;
    world.commit(&scrape(t + 3_000, 3.0));
    for text in ["CPU by mode", "6.00", "File systems", "up 1\u{2009}d"] {
        browser.until(&has(text)).await;
    }
    // As the system, then light, then dark; the charts are drawn anew.
    for theme in ["light", "dark"] {
        browser.evaluate("document.querySelector('.tools button').click()").await;
        browser.until(&format!("document.documentElement.dataset.theme === '{theme}'")).await;
        browser.until("document.querySelectorAll('.uplot canvas').length >= 2").await;
    }

    browser.open(&format!("http://{address}/monitors")).await;
    for text in ["example.org", "84.0", "Last 40 checks"] {
        browser.until(&has(text)).await;
    }
    browser.open(&format!("http://{address}/status")).await;
    for text in ["Ready", "process_"] {
        browser.until(&has(text)).await;
    }
    // Down, and the title says so.
    world.commit(&[("up{instance=\"db-1:9100\",job=\"node\"}", t + 5_000, 0.0)]);
    browser.until("document.title.startsWith('(1)')").await;

    assert_eq!(browser.complaints, Vec::<String>::new());
    browser.process.kill().await.unwrap();
}
