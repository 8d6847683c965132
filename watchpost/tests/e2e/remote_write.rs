//! Whatever a real Prometheus scraped is in PostgreSQL, bit for bit, none more and none missing; also when the receiver
//! is killed and when PostgreSQL goes away in the middle.

use std::path::Path;

use receiver::db::{
    managed::{Managed, ManagedConfig},
    testing,
};
use sqlx::PgPool;

use crate::harness::{
    find_tool, flow_time, free_port,
    process::{Process, watchpost},
    prometheus::{Prometheus, Sending},
    stored::Samples,
};

/// Everything of one test: a Prometheus that scrapes the exporters, the receiver and itself, and writes to that receiver.
struct Setup {
    folder: tempfile::TempDir,
    postgres: Managed,
    receiver: Process,
    receiver_port: u16,
    exporter: Process,
    blackbox: Process,
    prometheus: Prometheus,
}

async fn start_postgres(folder: &Path) -> Managed {
    Managed::start(ManagedConfig::new(folder.join("postgres")), |_| {}).await.unwrap()
}

async fn start_receiver(folder: &Path, port: u16, database_url: &str) -> Process {
    let mut command = watchpost();
    command.args(["receiver", "--web.listen-address", &format!("127.0.0.1:{port}")]);
    command.args(["--database-url", database_url]);
    let mut receiver = Process::start("receiver", folder, command);
    receiver.address().await;
    receiver
}

/// `watchpost exporter` or `watchpost blackbox`, on any port.
fn start_exporter(folder: &Path, which: &str) -> Process {
    let mut command = watchpost();
    command.args([which, "--web.listen-address", "127.0.0.1:0"]).current_dir(folder);
    Process::start(which, folder, command)
}

impl Setup {
    /// `None`, after a loud word, where no Prometheus is installed.
    async fn start() -> Option<Self> {
        let program = find_tool(&["prometheus"])?;
        let folder = testing::folder();
        let postgres = start_postgres(folder.path()).await;
        let receiver_port = free_port();
        let receiver = start_receiver(folder.path(), receiver_port, &postgres.url()).await;
        let mut exporter = start_exporter(folder.path(), "exporter");
        let mut blackbox = start_exporter(folder.path(), "blackbox");
        let receiver_address = format!("127.0.0.1:{receiver_port}");
        let targets = [
            ("node", exporter.address().await),
            ("blackbox", blackbox.address().await),
            ("receiver", receiver_address.clone()),
            // A target that is always down: its only series are those about the scrape.
            ("absent", "127.0.0.1:9".to_owned()),
        ];
        let url = format!("http://{receiver_address}/api/v1/write");
        let sending = Sending { url, ..Sending::default() };
        let prometheus = Prometheus::start(&program, folder.path(), &targets, sending).await;
        Some(Self { folder, postgres, receiver, receiver_port, exporter, blackbox, prometheus })
    }

    /// Lets everything arrive and compares both sides.
    async fn compare_and_stop(self) {
        self.prometheus.settle().await;
        let failed = self.prometheus.own("prometheus_remote_storage_samples_failed_total").await;
        assert_eq!(failed, 0.0, "{}", self.receiver.log());
        let sent = self.prometheus.everything().await;
        let db = PgPool::connect(&self.postgres.url()).await.unwrap();
        let stored = Samples::read(&db).await;
        db.close().await;
        sent.assert_equals(&stored);
        // The comparison is worth nothing if nothing flowed.
        assert!(sent.n_series() > 100, "only {} series", sent.n_series());
        assert!(sent.n_stale() > 100, "only {} staleness markers", sent.n_stale());
        let up = self.prometheus.query_range_selector("up{job=\"node\"}[1h]").await;
        assert!(up.len() as u64 + 3 > flow_time().as_secs(), "{up:?}");
        eprintln!(
            "compared {} samples of {} series, {} staleness markers among them",
            sent.n_samples(),
            sent.n_series(),
            sent.n_stale()
        );
        self.exporter.stop().await;
        self.blackbox.stop().await;
        self.receiver.stop().await;
        self.postgres.stop().await;
    }
}

#[tokio::test]
async fn what_prometheus_has_is_in_postgres() {
    let Some(setup) = Setup::start().await else { return };
    tokio::time::sleep(flow_time()).await;
    setup.compare_and_stop().await;
}

#[tokio::test]
async fn nothing_is_lost_when_the_receiver_is_killed() {
    let Some(mut setup) = Setup::start().await else { return };
    tokio::time::sleep(flow_time() / 3).await;
    setup.receiver.kill().await;
    tokio::time::sleep(flow_time() / 3).await;
    setup.receiver =
        start_receiver(setup.folder.path(), setup.receiver_port, &setup.postgres.url()).await;
    tokio::time::sleep(flow_time() / 3).await;
    setup.compare_and_stop().await;
}

#[tokio::test]
async fn nothing_is_lost_when_postgres_restarts() {
    let Some(mut setup) = Setup::start().await else { return };
    tokio::time::sleep(flow_time() / 3).await;
    setup.postgres.stop().await;
    tokio::time::sleep(flow_time() / 3).await;
    setup.postgres = start_postgres(setup.folder.path()).await;
    tokio::time::sleep(flow_time() / 3).await;
    setup.compare_and_stop().await;
}
