//! Where the samples go: a private PostgreSQL that is kept alive, or the server that the user names.

use std::{path::Path, time::Duration};

use receiver::db::managed::{Managed, ManagedConfig, ManagedError};
use service::Shutdown;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

/// How often we look whether our server still lives. Its clients notice earlier; this only bounds their wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two tries to revive it.
const REVIVE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A database that is there until [`Database::stop`].
#[derive(Debug)]
pub enum Database {
    /// Started, kept alive and stopped by us.
    Private { url: String, version: String, stop: Shutdown, keeper: JoinHandle<()> },
    /// Somebody else's.
    Given { url: String },
}

impl Database {
    /// Starts a private server in `folder`.
    pub async fn start_private(config: ManagedConfig) -> Result<Self, ManagedError> {
        let managed = Managed::start(config, |step| info!("{step}")).await?;
        let (url, version) = (managed.url(), managed.version().to_owned());
        let stop = Shutdown::new();
        let keeper = tokio::spawn(keep_alive(managed, stop.clone()));
        Ok(Self::Private { url, version, stop, keeper })
    }

    pub fn url(&self) -> &str {
        match self {
            Self::Private { url, .. } | Self::Given { url } => url,
        }
    }

    /// Stops a server of ours; returns when it is down.
    pub async fn stop(self) {
        if let Self::Private { stop, keeper, .. } = self {
            stop.fire();
            if let Err(err) = keeper.await {
                error!("PostgreSQL was not stopped in order: {err}");
            }
        }
    }

    /// How to describe it in a line, without its password.
    pub fn describe(&self, folder: &Path) -> String {
        match self {
            Self::Private { url, version, .. } => {
                format!("PostgreSQL {version} in {}: psql '{url}'", folder.display())
            }
            Self::Given { .. } => "the server that --database-url names".to_owned(),
        }
    }
}

/// Revives the server whenever it dies, until `stop` fires; then stops it.
async fn keep_alive(mut managed: Managed, stop: Shutdown) {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::select! {
            () = stop.fired() => break,
            () = tokio::time::sleep(pause) => {}
        }
        if managed.is_running() {
            pause = LOOK_EVERY;
            continue;
        }
        error!(
            "PostgreSQL stopped by itself; its log is in {}: starting it again",
            managed.folder().join("log").display()
        );
        let revived = tokio::select! {
            () = stop.fired() => break,
            revived = managed.revive(|step| info!("{step}")) => revived,
        };
        match revived {
            Ok(()) => info!("PostgreSQL runs again"),
            Err(err) => {
                pause = (pause * 2).min(REVIVE_PAUSE_MAX);
                warn!("next try in {} s: {}", pause.as_secs(), service::error::chain(&err));
            }
        }
    }
    managed.stop().await;
}
