//! A Prometheus and a receiver with the same samples.

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use proto::{
    remote_write::{self, Message, v1::WriteRequest},
    snappy,
};
use receiver::{
    Config, Receiver,
    db::testing::{self, TestDatabase},
};
use serde_json::Value;
use service::Shutdown;
use tempfile::TempDir;

/// How long a start may take; the machine may be busy.
const POLLS_MAX: u32 = 1200;
const POLL: Duration = Duration::from_millis(50);

/// What was asked: path under `/api/v1/`, and parameters.
pub(crate) type Parameters<'a> = [(&'a str, &'a str)];

/// An answer: status, and the body as JSON, or as text where it is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) json: Value,
}

pub(crate) struct Pair {
    pub(crate) reference: Reference,
    _receiver: Receiver,
    pub(crate) url: String,
    shutdown: Shutdown,
    http: reqwest::Client,
    _database: TestDatabase,
}

/// The program, if there is one of version 3; otherwise a loud word.
fn program() -> Option<PathBuf> {
    let named = ["WATCHPOST_COMPLIANCE_PROMETHEUS", "WATCHPOST_E2E_PROMETHEUS"]
        .iter()
        .find_map(env::var_os);
    let program = named.map_or_else(|| PathBuf::from("prometheus"), PathBuf::from);
    let output = Command::new(&program).arg("--version").output().ok();
    let version = output.map(|output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    });
    if version.is_some_and(|version| version.contains("version 3.")) {
        return Some(program);
    }
    eprintln!(
        "SKIPPED: this test needs a Prometheus 3 (WATCHPOST_COMPLIANCE_PROMETHEUS=/path/to/prometheus)"
    );
    None
}

/// A Prometheus that scrapes nothing. Killed when dropped.
pub(crate) struct Reference {
    child: Child,
    pub(crate) url: String,
    _folder: TempDir,
}

impl Reference {
    /// `extra` is added to its configuration.
    pub(crate) async fn start(extra: &str) -> Option<Self> {
        let program = program()?;
        let folder = testing::folder();
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, format!("global: {{scrape_interval: 1m}}\n{extra}")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y"])
            .arg("--enable-feature=native-histograms")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let reference = Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let http = client();
        for _ in 0..POLLS_MAX {
            let answer = http.get(format!("{}/-/ready", reference.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Some(reference);
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("Prometheus does not start");
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client() -> reqwest::Client {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap()
}

impl Pair {
    /// `None`, after a loud word, where there is no Prometheus.
    pub(crate) async fn start() -> Option<Self> {
        let reference = Reference::start("").await?;
        let database = testing::database().await;
        let (receiver, _closing) =
            Receiver::open(Config::new(database.url().to_owned())).await.unwrap();
        let shutdown = Shutdown::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = receiver.router(&shutdown);
        let stopping = shutdown.clone();
        tokio::spawn(async move {
            let served = axum::serve(listener, router);
            served.with_graceful_shutdown(async move { stopping.fired().await }).await.unwrap();
        });
        Some(Self {
            reference,
            _receiver: receiver,
            url,
            shutdown,
            http: client(),
            _database: database,
        })
    }

    /// Writes the same to both.
    pub(crate) async fn write(&self, requests: &[WriteRequest]) {
        for request in requests {
            let body = snappy::compress(&request.encode_to_vec());
            for url in [&self.reference.url, &self.url] {
                let answer = self
                    .http
                    .post(format!("{url}/api/v1/write"))
                    .header("Content-Type", remote_write::V1_CONTENT_TYPE)
                    .header("Content-Encoding", "snappy")
                    .header("X-Prometheus-Remote-Write-Version", "0.1.0")
                    .body(body.clone())
                    .send()
                    .await
                    .unwrap();
                let status = answer.status();
                assert!(status.is_success(), "{url}: {status}: {}", answer.text().await.unwrap());
            }
        }
    }

    /// Asks both, by a form; first the answer of Prometheus.
    pub(crate) async fn post(&self, path: &str, parameters: &Parameters<'_>) -> (Answer, Answer) {
        let ask = async |url: &str| {
            let url = format!("{url}/api/v1/{path}");
            let body = form(parameters);
            let kind = "application/x-www-form-urlencoded";
            read(self.http.post(url).header("Content-Type", kind).body(body)).await
        };
        tokio::join!(ask(&self.reference.url), ask(&self.url))
    }

    /// Asks both, by the address; first the answer of Prometheus.
    pub(crate) async fn get(&self, path: &str, parameters: &Parameters<'_>) -> (Answer, Answer) {
        let ask = async |url: &str| {
            read(self.http.get(format!("{url}/api/v1/{path}?{}", form(parameters)))).await
        };
        tokio::join!(ask(&self.reference.url), ask(&self.url))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.shutdown.fire();
    }
}

async fn read(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, text, json }
}

/// Names and values as a form.
pub(crate) fn form(parameters: &Parameters<'_>) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte.is_ascii_alphanumeric() {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs =
        parameters.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}
