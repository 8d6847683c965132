//! A headless Chromium that opens one page and is asked what stands there, by the `DevTools` protocol.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::{find_tool, http, process::Process};

const ANSWER_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Page {
    _browser: Process,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    /// What the page complained about: uncaught errors, refused resources, broken rules of its own.
    pub(crate) complaints: Vec<String>,
}

impl Page {
    /// Opens `url`; `None`, after a loud word, where no Chromium is installed.
    pub(crate) async fn open(folder: &Path, url: &str) -> Option<Self> {
        let program = find_tool(&["chromium", "chromium-browser", "google-chrome"])?;
        let mut command = Command::new(program);
        command.args([
            "--headless",
            // Sandboxes need privileges that build machines rarely give, and the page is our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en-US",
            "--window-size=1280,900",
            "--remote-debugging-port=0",
        ]);
        command.arg(format!("--user-data-dir={}", folder.join("chromium").display()));
        command.arg("about:blank").env("HOME", folder);
        let mut browser = Process::start("chromium", folder, command);
        let endpoint = browser.says("DevTools listening on ws://").await;
        let address = endpoint.split('/').next().unwrap().to_owned();
        let tab: Value = http()
            .put(format!("http://{address}/json/new?about:blank"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let (socket, _) =
            connect_async(tab["webSocketDebuggerUrl"].as_str().unwrap()).await.unwrap();
        let mut page = Self { _browser: browser, socket, next_id: 1, complaints: Vec::new() };
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            page.call(domain, json!({})).await;
        }
        page.call("Page.navigate", json!({ "url": url })).await;
        Some(page)
    }

    /// All visible text.
    pub(crate) async fn text(&mut self) -> String {
        let parameters = json!({ "expression": "document.body ? document.body.innerText : ''", "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters).await;
        answer["result"]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the visible text satisfies `condition`, and returns it.
    pub(crate) async fn text_when(
        &mut self,
        what: &str,
        condition: impl Fn(&str) -> bool,
    ) -> String {
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            let text = self.text().await;
            if condition(&text) {
                return text;
            }
            assert!(
                Instant::now() < deadline,
                "not on the page: {what}\n{text}\n{}",
                self.complaints.join("\n")
            );
            tokio::time::sleep(super::POLL).await;
        }
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let message = json!({ "id": id, "method": method, "params": parameters });
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let message = tokio::time::timeout(ANSWER_MAX, self.socket.next()).await;
            let message = message.expect("Chromium answers").expect("the socket is open").unwrap();
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == id {
                return message["result"].clone();
            }
            self.listen(&message);
        }
    }

    /// Keeps what an event complains about.
    fn listen(&mut self, event: &Value) {
        let parameters = &event["params"];
        let is_complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => parameters["entry"]["level"] == "error",
            Some("Runtime.consoleAPICalled") => parameters["type"] == "error",
            _ => false,
        };
        if is_complaint {
            self.complaints.push(parameters.to_string());
        }
    }
}
