//! The programs that are compared, each started alone with an empty folder and its defaults.

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use receiver::db::{
    managed::{Managed, ManagedConfig},
    testing,
};
use sqlx::PgPool;
use tempfile::TempDir;

use super::{
    load::{self, Sent},
    rows,
    usage::{self, Usage},
    workload::{Protocol, Requests},
};

/// A server that has TimescaleDB, as a superuser: `postgres://postgres@localhost/bench`.
const TIMESCALEDB: &str = "WATCHPOST_BENCH_TIMESCALEDB";

/// Samples that one query may look at: more than there will be.
const QUERY_SAMPLES: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    Watchpost,
    VictoriaMetrics,
    Prometheus,
    /// A row for each sample in the PostgreSQL that Watchpost uses: see [`rows`].
    Rows,
    /// The same in a hypertable of the server that `WATCHPOST_BENCH_TIMESCALEDB` names.
    Timescaledb,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Watchpost => "Watchpost + PostgreSQL",
            Self::VictoriaMetrics => "VictoriaMetrics",
            Self::Prometheus => "Prometheus",
            Self::Rows => "rows in PostgreSQL",
            Self::Timescaledb => "rows in TimescaleDB",
        }
    }

    /// Whether it takes that protocol.
    pub(crate) fn speaks(self, protocol: Protocol) -> bool {
        protocol == Protocol::V1 || matches!(self, Self::Watchpost | Self::Prometheus)
    }

    /// What is said where it is missing.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Timescaledb => "no server named by WATCHPOST_BENCH_TIMESCALEDB: skipped",
            _ => "not installed: skipped",
        }
    }

    /// The executable: from the variable of that name, else from PATH. `None`: it has none of its own.
    fn program(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Watchpost => ("WATCHPOST_BENCH_RECEIVER", env!("CARGO_BIN_EXE_watchpost")),
            Self::VictoriaMetrics => ("WATCHPOST_BENCH_VICTORIA_METRICS", "victoria-metrics"),
            Self::Prometheus => ("WATCHPOST_BENCH_PROMETHEUS", "prometheus"),
            Self::Rows | Self::Timescaledb => return None,
        })
    }

    fn command(self) -> Option<Command> {
        let (variable, usual) = self.program()?;
        if let Some(named) = env::var_os(variable) {
            return Some(Command::new(named));
        }
        let mut command = Command::new(usual);
        if self == Self::Watchpost {
            command.arg("receiver");
        }
        Some(command)
    }

    /// Its version, or `None` where it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        let Some(mut command) = self.command() else {
            let is_there = self == Self::Rows || env::var_os(TIMESCALEDB).is_some();
            return is_there.then(String::new);
        };
        let output = command.arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let is_version = |word: &&str| {
            let digits = word.trim_start_matches('v');
            digits.starts_with(|c: char| c.is_ascii_digit()) && digits.contains('.')
        };
        // `prometheus, version 3.5.3 (…)`, `victoria-metrics-20250101-v1.145.0-…`; Debian's says nothing at all.
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
        Some(words.find(is_version).unwrap_or_default().trim_start_matches('v').to_owned())
    }
}

/// A peer that runs. Killed when dropped.
pub(crate) struct Running {
    peer: Peer,
    child: Option<Child>,
    pub(crate) postgres: Option<Managed>,
    pub(crate) folder: TempDir,
    /// Where it serves, or of which database.
    url: String,
    /// The first process of a server that is not ours, where it tells.
    postmaster: Option<u32>,
}

impl Running {
    pub(crate) async fn start(peer: Peer) -> anyhow::Result<Self> {
        let folder = testing::folder();
        let postgres = match peer {
            // As in production: every commit is on the disk.
            Peer::Watchpost | Peer::Rows => {
                let config = ManagedConfig::new(folder.path().join("postgres"));
                Some(Managed::start(config, |_| {}).await?)
            }
            _ => None,
        };
        let Some(command) = peer.command() else {
            let url = match &postgres {
                Some(postgres) => postgres.url(),
                None => env::var(TIMESCALEDB).context(TIMESCALEDB)?,
            };
            let postmaster = rows::prepare(&url, peer == Peer::Timescaledb).await?;
            return Ok(Self { peer, child: None, postgres, folder, url, postmaster });
        };
        let (child, url) = spawn(peer, command, folder.path(), postgres.as_ref())?;
        let running = Self { peer, child: Some(child), postgres, folder, url, postmaster: None };
        running.ready().await?;
        Ok(running)
    }

    /// Waits until it serves.
    async fn ready(&self) -> anyhow::Result<()> {
        let path = match self.peer {
            Peer::VictoriaMetrics => "/health",
            _ => "/-/ready",
        };
        for _ in 0..6000 {
            let answer = reqwest::get(format!("{}{path}", self.url)).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        bail!("{} does not serve: {log}", self.peer.name());
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where remote write goes.
    pub(crate) fn write_url(&self) -> String {
        format!("{}/api/v1/write", self.url)
    }

    /// Of the PostgreSQL that belongs to it.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.postgres.as_ref().map(Managed::url)
    }

    /// Sends requests as this peer takes them.
    pub(crate) async fn send(
        &self,
        requests: &[Requests],
        protocol: Protocol,
    ) -> anyhow::Result<Sent> {
        match self.child {
            Some(_) => load::send(&self.write_url(), requests, protocol).await,
            None => rows::send(&self.url, requests).await,
        }
    }

    /// Of everything that belongs to it.
    pub(crate) fn usage(&self) -> Usage {
        usage::of(&self.roots())
    }

    /// Of the program alone, without its database.
    pub(crate) fn own_usage(&self) -> Usage {
        self.child.as_ref().map_or_else(Usage::default, |child| usage::of(&[child.id()]))
    }

    fn roots(&self) -> Vec<u32> {
        let postmaster = std::fs::read_to_string(self.postgres_data().join("postmaster.pid")).ok();
        let postmaster = postmaster.and_then(|text| text.lines().next()?.parse().ok());
        let program = self.child.as_ref().map(Child::id);
        program.into_iter().chain(postmaster).chain(self.postmaster).collect()
    }

    fn postgres_data(&self) -> PathBuf {
        self.folder.path().join("postgres/data")
    }

    /// What it keeps on the disk now, without the write-ahead log of PostgreSQL, which is recycled.
    pub(crate) async fn disk(&self) -> anyhow::Result<u64> {
        Ok(match self.peer {
            Peer::Timescaledb => rows::disk(&self.url).await?,
            Peer::Watchpost | Peer::Rows => usage::disk(&self.postgres_data().join("base")),
            _ => usage::disk(&self.folder.path().join("data")),
        })
    }

    /// The database behind it, if that is PostgreSQL.
    pub(crate) async fn database(&self) -> anyhow::Result<Option<PgPool>> {
        let url = match (&self.postgres, self.peer) {
            (Some(postgres), _) => postgres.url(),
            (None, Peer::Timescaledb) => self.url.clone(),
            (None, _) => return Ok(None),
        };
        Ok(Some(PgPool::connect(&url).await?))
    }

    /// Ends the program in order; what it stored stays, with its database.
    pub(crate) fn stop_program(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        Command::new("kill").arg(child.id().to_string()).status()?;
        child.wait()?;
        Ok(())
    }

    /// Ends the program at once.
    pub(crate) fn kill_program(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts the program anew where another was stopped or killed.
    pub(crate) async fn again(&mut self) -> anyhow::Result<()> {
        let command = self.peer.command().context("a program of its own")?;
        let (child, url) = spawn(self.peer, command, self.folder.path(), self.postgres.as_ref())?;
        (self.child, self.url) = (Some(child), url);
        self.ready().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(None))
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts the program, and says where it will listen; what it needs is there already.
fn spawn(
    peer: Peer,
    mut command: Command,
    folder: &Path,
    postgres: Option<&Managed>,
) -> anyhow::Result<(Child, String)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let data = folder.join("data");
    match peer {
        Peer::Watchpost => {
            command.arg(format!("--web.listen-address={address}"));
            command.arg(format!("--query.max-samples={QUERY_SAMPLES}"));
            command.env("DATABASE_URL", postgres.context("a receiver has a database")?.url());
        }
        Peer::VictoriaMetrics => {
            command.arg(format!("-storageDataPath={}", data.display()));
            command.arg(format!("-httpListenAddr={address}")).arg("-retentionPeriod=10y");
            command.arg(format!("-search.maxSamplesPerQuery={QUERY_SAMPLES}"));
            // What was written just now is to be seen, and nothing is to be answered from an earlier answer.
            command.args(["-search.latencyOffset=0s", "-search.disableCache"]);
        }
        Peer::Prometheus => {
            let config = folder.join("prometheus.yml");
            std::fs::write(&config, "{}\n")?;
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", data.display()));
            command.arg(format!("--web.listen-address={address}"));
            command.arg("--web.enable-remote-write-receiver");
            command.arg(format!("--query.max-samples={QUERY_SAMPLES}"));
        }
        Peer::Rows | Peer::Timescaledb => bail!("{} has no program", peer.name()),
    }
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().with_context(|| format!("start {command:?}"))?;
    Ok((child, format!("http://{address}")))
}
