//! The senders of today, with everything switched on that they can send: by their own counters nothing fails, is dropped or
//! tried again, and what they have is in PostgreSQL.
//!
//! `WATCHPOST_E2E_PROMETHEUS_3` names a Prometheus of version 3, `WATCHPOST_E2E_VMAGENT` a vmagent.

use std::{fs, path::Path, process::Command};

use receiver::db::{
    managed::{Managed, ManagedConfig},
    testing,
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{
    find_tool, flow_time, free_port, http,
    process::{Process, watchpost},
    prometheus::{self, Prometheus, Sending},
    stored::Samples,
    until,
};

const FEATURES: &str = "--enable-feature=native-histograms,exemplar-storage,metadata-wal-records";

/// A target that has exemplars: `OpenMetrics`, with another one at each scrape. Gives its address.
async fn target_with_exemplars() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut n = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            n += 1;
            let now = std::time::SystemTime::now();
            let now =
                now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as f64 / 1000.0;
            let body = format!(
                "# HELP orders Orders.\n# TYPE orders counter\n\
                 orders_total{{shop=\"a\"}} {n} # {{trace_id=\"trace-{n}\"}} 0.5 {now:.3}\n# EOF\n"
            );
            let mut head = [0; 4096];
            // One read is enough for a scraper's request.
            let _ = stream.read(&mut head).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// A receiver on a PostgreSQL of its own.
struct Receiving {
    folder: tempfile::TempDir,
    postgres: Managed,
    receiver: Process,
    address: String,
}

impl Receiving {
    async fn start() -> Self {
        let folder = testing::folder();
        let config = ManagedConfig::new(folder.path().join("postgres"));
        let postgres = Managed::start(config, |_| {}).await.unwrap();
        let mut command = watchpost();
        command.args(["receiver", "--web.listen-address", "127.0.0.1:0"]);
        command.args(["--database-url", &postgres.url()]);
        let mut receiver = Process::start("receiver", folder.path(), command);
        let address = receiver.address().await;
        Self { folder, postgres, receiver, address }
    }

    fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    async fn number(&self, sql: &str) -> i64 {
        let db = PgPool::connect(&self.postgres.url()).await.unwrap();
        let number =
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&db).await.unwrap();
        db.close().await;
        number
    }

    /// The sum of one of the receiver's own metrics.
    async fn own(&self, metric: &str) -> f64 {
        let page = http().get(format!("http://{}/metrics", self.address)).send().await.unwrap();
        prometheus::sum(&page.text().await.unwrap(), metric)
    }

    async fn stop(self) {
        self.receiver.stop().await;
        self.postgres.stop().await;
    }
}

/// Everything that a Prometheus 3 has, sent by this version of the protocol.
async fn prometheus_sends(message: &str) {
    let Some(program) = find_tool(&["prometheus-3"]) else { return };
    let receiving = Receiving::start().await;
    let targets = [
        ("orders", target_with_exemplars().await),
        ("receiver", receiving.address.clone()),
        ("absent", "127.0.0.1:9".to_owned()),
    ];
    let sending = Sending {
        url: receiving.url(),
        flags: &[FEATURES],
        settings: &format!(
            "    protobuf_message: {message}\n    send_exemplars: true\n    send_native_histograms: true\n    metadata_config:\n      send_interval: 5s\n"
        ),
    };
    let folder = receiving.folder.path().to_owned();
    let sender = Prometheus::start(&program, &folder, &targets, sending).await;
    tokio::time::sleep(flow_time()).await;
    sender.settle().await;
    for what in ["samples", "histograms", "exemplars", "metadata"] {
        for fate in ["failed", "retried", "dropped"] {
            let counter = format!("prometheus_remote_storage_{what}_{fate}_total");
            let n = sender.own(&counter).await;
            assert!(n.abs() < 0.5, "{counter} is {n}: {}", receiving.receiver.log());
        }
    }
    let sent = sender.everything().await;
    let db = PgPool::connect(&receiving.postgres.url()).await.unwrap();
    let stored = Samples::read(&db).await;
    db.close().await;
    sent.assert_equals(&stored);
    let exemplars = receiving.number("SELECT count(*) FROM watchpost.exemplar").await;
    let sent_exemplars = sender.own("prometheus_remote_storage_exemplars_total").await;
    assert_eq!(exemplars, sent_exemplars as i64);
    let histograms = receiving
        .number(
            "SELECT sum(n)::bigint FROM (SELECT (SELECT count(*) FROM watchpost.histograms(m.name)) AS n FROM watchpost.metric m) x",
        )
        .await;
    let described = receiving
        .number("SELECT count(*) FROM watchpost.metric WHERE type <> 'unknown' AND help <> ''")
        .await;
    eprintln!(
        "{message}: {} samples, {histograms} histograms, {exemplars} exemplars, {described} families described",
        sent.n_samples()
    );
    assert!(sent.n_samples() > 1000 && sent.n_stale() > 100);
    assert!(exemplars as u64 + 5 > flow_time().as_secs(), "{exemplars} exemplars");
    assert!(histograms > 20, "{histograms} histograms");
    assert!(described > 50, "{described} families are described");
    receiving.stop().await;
}

#[tokio::test]
async fn prometheus_3_sends_1_0() {
    prometheus_sends("prometheus.WriteRequest").await;
}

#[tokio::test]
async fn prometheus_3_sends_2_0() {
    prometheus_sends("io.prometheus.write.v2.Request").await;
}

/// vmagent tries a protocol of its own first, and goes back to remote write 1.0 when that is refused.
#[tokio::test]
async fn vmagent_sends() {
    let Some(program) = find_tool(&["vmagent"]) else { return };
    let receiving = Receiving::start().await;
    let folder = receiving.folder.path();
    let port = free_port();
    let orders = target_with_exemplars().await;
    let agent = start_vmagent(&program, folder, port, &receiving, &orders);
    tokio::time::sleep(flow_time()).await;
    let count = "SELECT count(*) FROM watchpost.samples_raw('up', '{\"job\": \"orders\"}')";
    let enough = flow_time().as_secs() as i64 - 8;
    until("samples of vmagent are stored", async || {
        (receiving.number(count).await >= enough).then_some(())
    })
    .await;
    let page = http().get(format!("http://127.0.0.1:{port}/metrics")).send().await.unwrap();
    let page = page.text().await.unwrap();
    for (counter, at_most) in [
        ("vmagent_remotewrite_packets_dropped_total", 0.0),
        ("vmagent_remotewrite_samples_dropped_total", 0.0),
        // What it tried by its own protocol.
        ("vmagent_remotewrite_retries_count_total", 1.0),
    ] {
        let n = prometheus::sum(&page, counter);
        assert!(n <= at_most, "{counter} is {n}: {}", agent.log());
    }
    assert!(prometheus::sum(&page, "vmagent_remotewrite_requests_total") > 1.0);
    let refused = receiving.own("receiver_samples_refused_total").await;
    assert!(refused.abs() < 0.5, "{}", receiving.receiver.log());
    eprintln!("vmagent: {} samples", receiving.own("receiver_samples_total").await);
    agent.stop().await;
    receiving.stop().await;
}

fn start_vmagent(
    program: &Path,
    folder: &Path,
    port: u16,
    receiving: &Receiving,
    orders: &str,
) -> Process {
    let config = folder.join("vmagent.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: orders\n    static_configs:\n      - targets: ['{orders}']\n  - job_name: receiver\n    static_configs:\n      - targets: ['{}']\n",
        receiving.address
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("-promscrape.config={}", config.display()))
        .arg(format!("-remoteWrite.url={}", receiving.url()))
        .arg(format!("-remoteWrite.tmpDataPath={}", folder.join("vmagent").display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .current_dir(folder);
    Process::start("vmagent", folder, command)
}
