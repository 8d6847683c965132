//! `watchpost` without a command: started, stopped, killed, started again, and refused.

use std::{fs, path::Path, process::Command};

use receiver::db::testing;
use sqlx::{Connection, PgConnection};

use crate::harness::{
    http,
    process::{Process, nothing_runs_in, watchpost},
    until,
};

/// The suite on ports of its own, scraping every 200 ms.
fn command(storage: &Path) -> Command {
    let mut command = watchpost();
    command.arg("--storage.path").arg(storage);
    command.args(["--web.listen-address", "127.0.0.1:0"]);
    command.args(["--exporter.listen-address", "127.0.0.1:0"]);
    command.args(["--blackbox.listen-address", "127.0.0.1:0"]);
    command.args(["--scrape.interval", "200ms"]);
    command
}

pub(crate) struct Running {
    pub(crate) process: Process,
    /// The address of the page, with its slash.
    pub(crate) console: String,
    pub(crate) exporter: String,
    pub(crate) blackbox: String,
    database_url: String,
}

pub(crate) async fn start(folder: &Path) -> Running {
    let mut process = Process::start("watchpost", folder, command(&folder.join("storage")));
    process.says("Stop it with Ctrl-C").await;
    let console = process.says("console ").await;
    let exporter = process.says("exporter ").await;
    let blackbox = process.says("blackbox ").await;
    let database_url = process.says("psql '").await.trim_end_matches('\'').to_owned();
    Running { process, console, exporter, blackbox, database_url }
}

/// Starts what has to be refused; gives the one line that says why.
async fn refusal(folder: &Path, command: Command) -> String {
    let mut process = Process::start("refused", folder, command);
    let status = process.exit().await;
    assert_eq!(status.code(), Some(1), "{}", process.log());
    assert_eq!(process.output(), "", "nothing was announced");
    let errors: Vec<String> = process
        .log()
        .lines()
        .filter(|line| line.contains("ERROR") || line.contains("level=error"))
        .map(str::to_owned)
        .collect();
    assert_eq!(errors.len(), 1, "one line says why: {}", process.log());
    errors[0].clone()
}

/// The times of all samples of `up`.
async fn times(database_url: &str) -> Vec<i64> {
    let mut db = PgConnection::connect(database_url).await.unwrap();
    let times = sqlx::query_scalar("SELECT ts_ms FROM watchpost.samples_raw('up') ORDER BY ts_ms")
        .fetch_all(&mut db)
        .await
        .unwrap();
    db.close().await.unwrap();
    times
}

async fn some_samples(database_url: &str, at_least: usize) -> Vec<i64> {
    until(&format!("{at_least} samples of up"), async || {
        let times = times(database_url).await;
        (times.len() >= at_least).then_some(times)
    })
    .await
}

#[tokio::test]
async fn it_starts_stops_and_keeps_its_data() {
    let folder = testing::folder();
    let first = start(folder.path()).await;
    let page = http().get(&first.exporter).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("\nnode_"), "{page}");
    let health = http().get(format!("{}-/healthy", first.console)).send().await.unwrap();
    assert!(health.status().is_success());
    let mut health = watchpost();
    let health = health.args(["health", "--url", &first.console]).output().unwrap();
    assert!(health.status.success(), "{health:?}");
    let before = some_samples(&first.database_url, 5).await;

    first.process.stop().await;
    nothing_runs_in(folder.path()).await;

    let second = start(folder.path()).await;
    let after = some_samples(&second.database_url, before.len() + 5).await;
    assert_eq!(after[..before.len()], before[..], "what was there is there");
    second.process.kill().await;

    // Nobody stopped PostgreSQL, and yet it does not stay.
    nothing_runs_in(folder.path()).await;
    let third = start(folder.path()).await;
    some_samples(&third.database_url, after.len() + 5).await;
    third.process.stop().await;
    nothing_runs_in(folder.path()).await;
}

#[tokio::test]
async fn the_end_of_every_series_is_marked() {
    let folder = testing::folder();
    let running = start(folder.path()).await;
    some_samples(&running.database_url, 3).await;
    running.process.stop().await;
    let managed = receiver::db::managed::Managed::start(
        receiver::db::managed::ManagedConfig::new(folder.path().join("storage/postgres")),
        |_| {},
    )
    .await
    .unwrap();
    let mut db = PgConnection::connect(&managed.url()).await.unwrap();
    let last: i64 = sqlx::query_scalar(
        "SELECT bits FROM watchpost.samples_raw('up') ORDER BY ts_ms DESC LIMIT 1",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    assert_eq!(last.cast_unsigned(), proto::remote_write::STALE_MARKER_BITS);
    db.close().await.unwrap();
    managed.stop().await;
}

#[tokio::test]
async fn a_killed_postgres_comes_back() {
    let folder = testing::folder();
    let running = start(folder.path()).await;
    let before = some_samples(&running.database_url, 3).await;
    let pid_file = folder.path().join("storage/postgres/data/postmaster.pid");
    let pid = fs::read_to_string(pid_file).unwrap().lines().next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    let after = until("samples are stored again", async || {
        let mut db = PgConnection::connect(&running.database_url).await.ok()?;
        let times: Vec<i64> =
            sqlx::query_scalar("SELECT ts_ms FROM watchpost.samples_raw('up') ORDER BY ts_ms")
                .fetch_all(&mut db)
                .await
                .ok()?;
        (times.len() > before.len() + 10).then_some(times)
    })
    .await;
    assert_eq!(after[..before.len()], before[..]);
    running.process.stop().await;
    nothing_runs_in(folder.path()).await;
}

#[tokio::test]
async fn a_taken_port_is_refused_before_anything_is_touched() {
    let folder = testing::folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flags = ["--web.listen-address", "--exporter.listen-address", "--blackbox.listen-address"];
    for flag in flags {
        let mut command = watchpost();
        command.arg("--storage.path").arg(folder.path().join("storage"));
        for other in flags {
            command.args([other, if other == flag { &address } else { "127.0.0.1:0" }]);
        }
        let line = refusal(folder.path(), command).await;
        assert!(line.contains(&address) && line.contains("taken") && line.contains(flag), "{line}");
        assert!(!folder.path().join("storage").exists(), "nothing was made");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused() {
    let folder = testing::folder();
    fs::write(folder.path().join("storage"), "a file, not a folder").unwrap();
    let line = refusal(folder.path(), command(&folder.path().join("storage"))).await;
    assert!(line.contains("storage") && line.contains("--storage.path"), "{line}");
    nothing_runs_in(folder.path()).await;
}

#[tokio::test]
async fn data_of_another_postgres_version_is_refused_and_left_alone() {
    let folder = testing::folder();
    start(folder.path()).await.process.stop().await;
    let version = folder.path().join("storage/postgres/data/PG_VERSION");
    let original = fs::read_to_string(&version).unwrap();
    fs::write(&version, "13\n").unwrap();
    let line = refusal(folder.path(), command(&folder.path().join("storage"))).await;
    assert!(line.contains("PostgreSQL 13") && line.contains("--storage.path"), "{line}");
    nothing_runs_in(folder.path()).await;
    fs::write(&version, original).unwrap();
    start(folder.path()).await.process.stop().await;
}

#[tokio::test]
async fn the_same_folder_twice_is_refused() {
    let folder = testing::folder();
    let running = start(folder.path()).await;
    let line = refusal(folder.path(), command(&folder.path().join("storage"))).await;
    assert!(line.contains("in use by another watchpost"), "{line}");
    some_samples(&running.database_url, 3).await;
    running.process.stop().await;
}

#[tokio::test]
async fn the_network_is_not_let_in_without_a_password() {
    let folder = testing::folder();
    let mut command = watchpost();
    command.arg("--storage.path").arg(folder.path().join("storage"));
    command.args(["--blackbox.listen-address", "0.0.0.0:0"]);
    command.args(["--web.listen-address", "127.0.0.1:0"]);
    command.args(["--exporter.listen-address", "127.0.0.1:0"]);
    let line = refusal(folder.path(), command).await;
    assert!(line.contains("send requests") && line.contains("--web.config.file"), "{line}");
}

/// The console wide open to the network asks for a token, which the command line makes, also while all of it runs.
#[tokio::test]
async fn beyond_loopback_a_token_is_asked_for() {
    let folder = testing::folder();
    let mut command = command(&folder.path().join("storage"));
    command.arg("--web.require-token");
    let mut process = Process::start("watchpost", folder.path(), command);
    process.says("Stop it with Ctrl-C").await;
    let console = process.says("console ").await;
    let database_url = process.says("psql '").await.trim_end_matches('\'').to_owned();
    assert_eq!(http().get(&console).send().await.unwrap().status(), 401);
    let mut create = watchpost();
    create.args(["token", "create", "--name", "me", "--scope", "read"]);
    let made = create.args(["--database-url", &database_url]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).unwrap();
    let answer = http().get(&console).bearer_auth(token.trim_end()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!process.log().contains(token.trim_end()), "a token is in the log");
    process.stop().await;
}
