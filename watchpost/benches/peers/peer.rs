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
use tempfile::TempDir;

use super::usage::{self, Usage};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    Watchpost,
    VictoriaMetrics,
    Prometheus,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Watchpost => "Watchpost + PostgreSQL",
            Self::VictoriaMetrics => "VictoriaMetrics",
            Self::Prometheus => "Prometheus",
        }
    }

    /// The executable: from the variable of that name, else from PATH.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Watchpost => ("WATCHPOST_BENCH_RECEIVER", env!("CARGO_BIN_EXE_watchpost")),
            Self::VictoriaMetrics => ("WATCHPOST_BENCH_VICTORIA_METRICS", "victoria-metrics"),
            Self::Prometheus => ("WATCHPOST_BENCH_PROMETHEUS", "prometheus"),
        }
    }

    fn command(self) -> Command {
        let (variable, usual) = self.program();
        if let Some(named) = env::var_os(variable) {
            return Command::new(named);
        }
        let mut command = Command::new(usual);
        if self == Self::Watchpost {
            command.arg("receiver");
        }
        command
    }

    /// Its version, or `None` where it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        let output = self.command().arg("--version").output().ok()?;
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
    child: Child,
    pub(crate) postgres: Option<Managed>,
    pub(crate) folder: TempDir,
    url: String,
}

impl Running {
    pub(crate) async fn start(peer: Peer) -> anyhow::Result<Self> {
        let folder = testing::folder();
        let postgres = match peer {
            // As in production: every commit is on the disk.
            Peer::Watchpost => {
                let config = ManagedConfig::new(folder.path().join("postgres"));
                Some(Managed::start(config, |_| {}).await?)
            }
            _ => None,
        };
        let (child, url) = spawn(peer, folder.path(), postgres.as_ref())?;
        let running = Self { peer, child, postgres, folder, url };
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

    pub(crate) fn write_url(&self) -> String {
        format!("{}/api/v1/write", self.url)
    }

    /// Of everything that belongs to it.
    pub(crate) fn usage(&self) -> Usage {
        usage::of(&self.roots())
    }

    /// Of the program alone, without its database.
    pub(crate) fn own_usage(&self) -> Usage {
        usage::of(&[self.child.id()])
    }

    fn roots(&self) -> Vec<u32> {
        let postmaster = std::fs::read_to_string(self.postgres_data().join("postmaster.pid")).ok();
        let postmaster = postmaster.and_then(|text| text.lines().next()?.parse().ok());
        std::iter::once(self.child.id()).chain(postmaster).collect()
    }

    fn postgres_data(&self) -> PathBuf {
        self.folder.path().join("postgres/data")
    }

    /// What it keeps on the disk now, without the write-ahead log of PostgreSQL, which is recycled.
    pub(crate) fn disk(&self) -> u64 {
        match self.peer {
            Peer::Watchpost => usage::disk(&self.postgres_data().join("base")),
            _ => usage::disk(&self.folder.path().join("data")),
        }
    }

    /// Ends the program in order; what it stored stays, with its database.
    pub(crate) fn stop_program(&mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(&pid).status()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends the program at once.
    pub(crate) fn kill_program(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts the program anew where another was stopped or killed.
    pub(crate) async fn again(&mut self) -> anyhow::Result<()> {
        (self.child, self.url) = spawn(self.peer, self.folder.path(), self.postgres.as_ref())?;
        self.ready().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Starts the program, and says where it will listen; what it needs is there already.
fn spawn(peer: Peer, folder: &Path, postgres: Option<&Managed>) -> anyhow::Result<(Child, String)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut command = peer.command();
    let data = folder.join("data");
    match peer {
        Peer::Watchpost => {
            command.arg(format!("--web.listen-address={address}"));
            command.env("DATABASE_URL", postgres.context("a receiver has a database")?.url());
        }
        Peer::VictoriaMetrics => {
            command.arg(format!("-storageDataPath={}", data.display()));
            command.arg(format!("-httpListenAddr={address}")).arg("-retentionPeriod=10y");
        }
        Peer::Prometheus => {
            let config = folder.join("prometheus.yml");
            std::fs::write(&config, "{}\n")?;
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", data.display()));
            command.arg(format!("--web.listen-address={address}"));
            command.arg("--web.enable-remote-write-receiver");
        }
    }
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().with_context(|| format!("start {command:?}"))?;
    Ok((child, format!("http://{address}")))
}
