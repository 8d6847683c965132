//! The PostgreSQL under all this: durable, and killed again and again.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use receiver::db::managed::{Managed, ManagedConfig};

use crate::{PATIENCE, until};

pub(crate) struct Cluster {
    managed: Managed,
    folder: PathBuf,
}

impl Cluster {
    pub(crate) async fn start(room: &Path) -> Self {
        let folder = room.join("postgres");
        let managed = Managed::start(ManagedConfig::new(folder.clone()), |_| {}).await.unwrap();
        let cluster = Self { managed, folder };
        let settings = cluster.folder.join("data/postgresql.auto.conf");
        let mut settings = fs::File::options().append(true).open(settings).unwrap();
        // A small disk, and many checkpoints.
        settings.write_all(b"max_wal_size = 64MB\nmin_wal_size = 32MB\n").unwrap();
        cluster.signal("HUP");
        cluster
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket/.s.PGSQL.5432")
    }

    pub(crate) fn url(&self) -> String {
        self.managed.url()
    }

    /// `QUIT` stops at once without a word to anybody, `KILL` is what it says.
    pub(crate) fn signal(&self, signal: &str) {
        let Ok(text) = fs::read_to_string(self.folder.join("data/postmaster.pid")) else { return };
        let Some(pid) = text.lines().next() else { return };
        // It may be gone already: that is no failure of the test.
        let _ = Command::new("kill").args(["-s", signal, pid]).output();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.managed.is_running()
    }

    /// Waits for its end, and starts it again.
    pub(crate) async fn revive(&mut self) {
        let mut tries = 0;
        while self.is_running() {
            tokio::time::sleep(crate::POLL).await;
            tries += 1;
            assert!(tries < 200, "PostgreSQL does not die");
        }
        let started = std::time::Instant::now();
        while let Err(err) = self.managed.revive(|_| {}).await {
            assert!(started.elapsed() < PATIENCE, "PostgreSQL does not come back: {err}");
            tokio::time::sleep(crate::POLL).await;
        }
    }

    /// Starts it again if it is gone.
    pub(crate) async fn is_up(&mut self) {
        if !self.is_running() {
            self.revive().await;
        }
        let url = self.url();
        until("PostgreSQL answers", async || {
            use sqlx::Connection;
            sqlx::PgConnection::connect(&url).await.ok()
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        self.managed.stop().await;
    }
}
