//! Pushing, with the program itself: the receiver goes away, the program is killed meanwhile, and nothing is missing.
//!
//! `WATCHPOST_PUSH_AWAY_SECONDS=600 cargo test -p exporter --test push -- --nocapture` keeps the receiver away for ten
//! minutes instead of some seconds.

#![cfg(unix)]

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use proto::{
    remote_write::{Message, V2_CONTENT_TYPE, is_stale, v2},
    snappy,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Times of samples by series, and the newest value.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    is_away: bool,
    series: BTreeMap<String, Vec<(i64, f64)>>,
    described: BTreeMap<String, String>,
}

async fn write(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let mut taken = receiver.0.lock().unwrap();
    if taken.is_away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    assert_eq!(headers[header::CONTENT_TYPE], V2_CONTENT_TYPE);
    let mut raw = Vec::new();
    snappy::decompress(&body, 1 << 26, &mut raw).unwrap();
    let request = v2::Request::decode(raw.as_slice()).unwrap();
    let mut n_samples = 0;
    for series in &request.timeseries {
        let text = |reference: u32| request.symbols[reference as usize].as_str();
        let labels: Vec<String> = series
            .labels_refs
            .chunks(2)
            .map(|pair| format!("{}={}", text(pair[0]), text(pair[1])))
            .collect();
        n_samples += series.samples.len();
        if let Some(metadata) = series.metadata {
            taken.described.insert(labels[0].clone(), text(metadata.help_ref).to_owned());
        }
        let samples = series.samples.iter().map(|sample| (sample.timestamp, sample.value));
        taken.series.entry(labels.join(",")).or_default().extend(samples);
    }
    let written = [("x-prometheus-remote-write-samples-written", n_samples.to_string())];
    (StatusCode::NO_CONTENT, written).into_response()
}

impl Receiver {
    async fn start() -> (Self, SocketAddr) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/api/v1/write", post(write)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, address)
    }

    fn set_away(&self, is_away: bool) {
        self.0.lock().unwrap().is_away = is_away;
    }

    /// The samples of a metric without labels of its own.
    fn samples(&self, metric: &str) -> Vec<(i64, f64)> {
        let key = format!("__name__={metric},instance=here,job=node");
        self.0.lock().unwrap().series.get(&key).cloned().unwrap_or_default()
    }
}

struct Agent(Child);

impl Agent {
    fn start(receiver: SocketAddr, folder: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_watchpost-exporter"))
            .args(["--web.listen-address=127.0.0.1:0", "--collector.disable-defaults"])
            .args(["--collector.loadavg", "--collector.time", "--remote-write.interval=1s"])
            .arg(format!("--remote-write.url=http://{receiver}/api/v1/write"))
            .arg(format!("--remote-write.queue-dir={}", folder.display()))
            .arg("--remote-write.instance=here")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(process)
    }

    /// As `kill -9` does.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As `kill` does.
    fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missing_after_an_outage_and_a_kill() {
    let away = env::var("WATCHPOST_PUSH_AWAY_SECONDS").ok().and_then(|text| text.parse().ok());
    let away = Duration::from_secs(away.unwrap_or(8));
    let (receiver, address) = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(address, folder.path());
    until("first samples", || receiver.samples("up").len() >= 2).await;

    receiver.set_away(true);
    tokio::time::sleep(away / 2).await;
    let killed = Instant::now();
    agent.kill();
    let agent = Agent::start(address, folder.path());
    let restart = killed.elapsed();
    tokio::time::sleep(away / 2).await;
    let before = receiver.samples("up").len();
    receiver.set_away(false);
    let expected = before + away.as_secs() as usize;
    until("what waited", || receiver.samples("up").len() >= expected).await;
    agent.stop();

    let up = receiver.samples("up");
    let (last, scrapes) = up.split_last().unwrap();
    assert!(is_stale(last.1), "the end of everything is marked");
    assert!(scrapes.iter().all(|(_, value)| *value == 1.0));
    let mut longest = 0;
    let mut n_late = 0;
    for pair in up.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap > 0, "in order, and none twice: {pair:?}");
        longest = longest.max(gap);
        n_late += u32::from(gap > 1_300);
    }
    println!(
        "away {} s, restart {} ms: {} scrapes, longest gap {longest} ms, {n_late} above 1.3 s",
        away.as_secs(),
        restart.as_millis(),
        scrapes.len()
    );
    // The program was not there for a moment; a busy machine may be late, too.
    assert!(longest < 2_500 + restart.as_millis() as i64, "{longest} ms without a sample");
    assert!(u128::from(n_late) <= 2 + away.as_millis() / 20_000, "{n_late} samples are missing");
    for metric in ["node_load1", "node_time_seconds", "scrape_duration_seconds"] {
        assert_eq!(receiver.samples(metric).len(), up.len(), "{metric}");
    }
    let described = receiver.0.lock().unwrap().described.clone();
    assert_eq!(described["__name__=node_load1"], "1m load average.");
    for own in ["watchpost_exporter_remote_write_samples_total", "process_open_fds"] {
        assert!(!receiver.samples(own).is_empty(), "{own} is sent as well");
    }
}

/// Prometheus 2.42 knows only version 1.0, and takes 2.0 for an empty request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_prometheus_takes_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "global: {}\n").unwrap();
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--web.enable-remote-write-receiver")
        .stderr(Stdio::null())
        .spawn();
    let Ok(process) = started else {
        eprintln!("SKIPPED: no prometheus is installed, so none has taken what we push");
        return;
    };
    let prometheus = Agent(process);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let agent = Agent::start(address, &folder.path().join("queue"));
    let query =
        "/api/v1/query?query=count_over_time(node_load1%7Binstance%3D%22here%22%7D%5B1m%5D)";
    until("three samples in Prometheus", || {
        let answer = get(address, query);
        // "value":[time,"3"]
        let count =
            answer.rsplit_once(",\"").and_then(|(_, rest)| rest.split('"').next()?.parse().ok());
        count.is_some_and(|count: f64| count >= 3.0)
    })
    .await;
    let metadata = get(address, "/api/v1/query?query=up%7Bjob%3D%22node%22%7D");
    assert!(metadata.contains("\"instance\":\"here\""), "{metadata}");
    agent.stop();
    prometheus.kill();
}

fn get(address: SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_string(&mut answer);
    answer
}
