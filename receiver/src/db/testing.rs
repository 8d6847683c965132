//! Databases for tests: one private PostgreSQL per test process, a fresh database per test.
//!
//! ```no_run
//! # async fn demo() -> Result<(), sqlx::Error> {
//! let database = receiver::db::testing::database().await;
//! let pool = sqlx::PgPool::connect(database.url()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The server lies in a temporary folder without `fsync`, and is stopped and removed when the test process ends,
//! however it ends. `WATCHPOST_TEST_DATABASE_URL` names another server to use, as a role that may create databases.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::managed::{Durability, Managed, ManagedConfig};

const SERVER_VARIABLE: &str = "WATCHPOST_TEST_DATABASE_URL";

/// An empty database of its own, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
}

#[derive(Debug)]
enum Server {
    /// Lives as long as the process: a static is never dropped, its supervisor notices our end.
    Private(Managed),
    Given(String),
}

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// Makes an empty database, and on the first call the server for it.
///
/// # Panics
///
/// If there is no server to be had; the message says what to do.
pub async fn database() -> TestDatabase {
    let server = SERVER.get_or_init(start).await;
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let (admin_url, url, owner) = match server {
        Server::Private(managed) => (
            managed.superuser_url("postgres"),
            managed.url().replacen("/watchpost?", &format!("/{name}?"), 1),
            " OWNER watchpost",
        ),
        Server::Given(admin) => {
            let options = PgConnectOptions::from_str(admin)
                .unwrap_or_else(|err| panic!("{SERVER_VARIABLE}: {err}"));
            (admin.clone(), options.database(&name).to_url_lossy().to_string(), "")
        }
    };
    execute(&admin_url, format!("CREATE DATABASE {name}{owner}")).await;
    TestDatabase { name, url, admin_url }
}

impl TestDatabase {
    /// A connection URL, for our driver and `psql`, as an ordinary role that owns the database.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // Dropping is synchronous and may happen inside or outside of any runtime: it gets a thread and a runtime.
        let admin_url = self.admin_url.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for one statement").block_on(execute(&admin_url, statement));
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("the test database {} was not dropped", self.name);
        }
    }
}

/// A temporary folder that PostgreSQL's user can walk into when the test runs as root.
///
/// # Panics
///
/// If it cannot be made.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("watchpost-test-").tempdir();
    let folder = folder.expect("a temporary folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("our own folder");
    folder
}

/// Outside of any home folder, which PostgreSQL's user could not enter.
fn fetched_dir() -> PathBuf {
    let me = rustix::process::geteuid().as_raw();
    env::temp_dir().join(format!("watchpost-fetched-{me}"))
}

async fn start() -> Server {
    if let Ok(url) = env::var(SERVER_VARIABLE) {
        return Server::Given(url);
    }
    // The supervisor removes it: at the end of this process nobody would drop it.
    let folder = folder().keep();
    let config = ManagedConfig {
        durability: Durability::Throwaway,
        // The folder is removed at the end; what had to be fetched is kept for the next test.
        fetched_dir: Some(fetched_dir()),
        ..ManagedConfig::new(folder)
    };
    match Managed::start(config, |_| {}).await {
        Ok(managed) => Server::Private(managed),
        Err(err) => panic!(
            "tests need a PostgreSQL server, or {SERVER_VARIABLE}: {}",
            service::error::chain(&err)
        ),
    }
}

async fn execute(url: &str, statement: String) {
    let mut db = PgConnection::connect(url).await.expect("the test server answers");
    db.execute(AssertSqlSafe(statement)).await.expect("a statement of ours");
    let _ = db.close().await;
}
