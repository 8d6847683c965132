//! A private PostgreSQL as a value: found, created, started, and stopped again by this process.
//!
//! ```no_run
//! # async fn demo() -> Result<(), receiver::db::managed::ManagedError> {
//! use receiver::db::managed::{Managed, ManagedConfig};
//!
//! let config = ManagedConfig::new("/var/lib/watchpost/postgres".into());
//! let postgres = Managed::start(config, |step| tracing::info!("{step}")).await?;
//! println!("{}", postgres.url());
//! postgres.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! It listens on a Unix socket only, in a folder that only its own user may enter, so it needs neither port nor
//! password. PostgreSQL refuses to run as root: then it runs as the folder's owner, else as `postgres` or `nobody`.
//!
//! What is in the folder:
//!
//! | path | what |
//! |---|---|
//! | `data/` | the PostgreSQL data folder; made as `data.new.<pid>/` and renamed, so it is complete or absent |
//! | `socket/` | the Unix socket (in a short temporary folder if this path is too long for one) |
//! | `log/` | PostgreSQL's own log, one file a weekday |
//! | `start.log` | what it said before that log was open, anew at each start |
//! | `supervisor.sh` | what stands between PostgreSQL and us, so that it stops when we are gone |
//! | `lock` | held by the process that uses the folder |
//! | `binaries/` | PostgreSQL itself, where the system had none and it was fetched |

mod account;
mod advice;
mod binaries;
mod cluster;
mod fetch;
mod folder;
mod process;
mod settings;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{error, warn};

use self::{
    account::Account,
    binaries::Binaries,
    folder::Folder,
    process::{Postmaster, StopSignal},
};

pub use self::fetch::FetchError;

/// The oldest PostgreSQL whose features the storage uses (lz4 TOAST, `DETACH CONCURRENTLY`).
pub const MAJOR_MIN: u32 = 14;
/// The database that is made for Watchpost, and the role that owns it.
const DATABASE: &str = "watchpost";

/// A fast shutdown writes one checkpoint; on a slow disk that is many seconds, and cutting it short costs recovery.
const FAST_STOP_MAX: Duration = Duration::from_secs(60);
/// An immediate shutdown writes nothing.
const IMMEDIATE_STOP_MAX: Duration = Duration::from_secs(10);

/// What PostgreSQL says while children of a killed server still finish what they were doing; they end by themselves.
const LEFTOVERS: &str = "is still in use";
const LEFTOVERS_MAX: Duration = Duration::from_secs(30);
const LEFTOVERS_POLL: Duration = Duration::from_millis(100);

/// What a private PostgreSQL needs to know.
#[derive(Clone, Debug)]
pub struct ManagedConfig {
    /// The folder that it may have for itself; created if absent.
    pub folder: PathBuf,
    /// Where `postgres` and `initdb` lie; searched for if not given.
    pub bin_dir: Option<PathBuf>,
    /// Where PostgreSQL is fetched from if this machine has none; `None` fetches nothing.
    pub download_url: Option<String>,
    /// Where a fetched PostgreSQL is kept; `binaries/` in the folder if not given.
    pub fetched_dir: Option<PathBuf>,
    pub durability: Durability,
}

impl ManagedConfig {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            bin_dir: None,
            download_url: Some(fetch::DOWNLOAD_URL.to_owned()),
            fetched_dir: None,
            durability: Durability::Full,
        }
    }
}

/// Whether the data should survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A commit is on the disk.
    Full,
    /// For tests: nothing is synced, and the whole folder is removed when this process ends in whatever way.
    Throwaway,
}

/// A step of [`Managed::start`], for whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This machine has no PostgreSQL, one is being fetched.
    Fetching { version: String, url: String },
    /// How far that is: `done` and `total` in bytes.
    Fetched { done: u64, total: u64 },
    /// A new data folder is being made.
    Creating { folder: PathBuf, version: String },
    /// A PostgreSQL that an earlier process left behind is stopped first.
    StoppingOrphan { pid: i32 },
    /// It was not stopped cleanly and replays its log.
    Recovering,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetching { version, url } => {
                write!(f, "no PostgreSQL on this machine: fetching {version} from {url}")
            }
            Self::Fetched { done, total } => {
                write!(f, "fetched {} of {} MB", done / 1_000_000, total / 1_000_000)
            }
            Self::Creating { folder, version } => {
                write!(f, "creating a PostgreSQL {version} data folder in {}", folder.display())
            }
            Self::StoppingOrphan { pid } => {
                write!(f, "stopping PostgreSQL (pid {pid}) that an earlier run left behind")
            }
            Self::Recovering => f.write_str("PostgreSQL is recovering from an unclean stop"),
        }
    }
}

/// Why there is no private PostgreSQL. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    #[error(
        "no PostgreSQL server from version {MAJOR_MIN} on is installed: {advice}, or use another server with --database-url"
    )]
    NotInstalled { advice: String },
    #[error(
        "no PostgreSQL server from version {MAJOR_MIN} on is installed and none could be fetched ({}): {advice}, or use another server with --database-url",
        service::error::chain(reason)
    )]
    NotFetched { advice: String, reason: FetchError },
    #[error(
        "{} was made by PostgreSQL {found} and can be read by no other version, but here is {installed}: {advice}, or choose another folder with --storage.path",
        folder.display()
    )]
    WrongMajor { folder: PathBuf, found: u32, installed: String, advice: String },
    #[error("the data folder {} cannot be used, choose another with --storage.path", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} is not a PostgreSQL data folder but holds other files: choose another folder with --storage.path",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error(
        "{} is in use by another watchpost{holder}: stop it or choose another folder with --storage.path",
        folder.display()
    )]
    InUse { folder: PathBuf, holder: String },
    #[error(
        "a PostgreSQL that watchpost did not start (pid {pid}) is running in {}: stop it, or choose another folder with --storage.path",
        data.display()
    )]
    AnotherPostmaster { data: PathBuf, pid: i32 },
    #[error(
        "PostgreSQL (pid {pid}) that an earlier run left behind does not stop: stop it by hand"
    )]
    OrphanStays { pid: i32 },
    #[error(
        "{} belongs to user id {uid}: run watchpost as that user or as root, or choose another folder with --storage.path",
        path.display()
    )]
    Owner { path: PathBuf, uid: u32 },
    #[error(
        "PostgreSQL does not run as root, and {} is closed to the user `{account}` that it would run as: choose a folder elsewhere with --storage.path, or open it with `chmod o+x {}`",
        closed.display(), closed.display()
    )]
    Unreachable { account: String, closed: PathBuf },
    #[error(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as: run watchpost as an ordinary user"
    )]
    NoAccount,
    #[error("run {}", program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("create a PostgreSQL data folder with initdb: {reason}")]
    InitDb { reason: String },
    #[error("PostgreSQL did not start: {reason} (its log is in {})", log.display())]
    Start { reason: String, log: PathBuf },
    #[error("create the database")]
    CreateDatabase(#[source] sqlx::Error),
    #[error("run a task of the start")]
    Task(#[source] tokio::task::JoinError),
}

/// A running private PostgreSQL. [`Managed::stop`] it; dropping it does the same, but blocks the thread meanwhile.
#[derive(Debug)]
pub struct Managed {
    // Fields are dropped in this order: the server is asked to stop before the folder is given free.
    postmaster: Postmaster,
    folder: Arc<Folder>,
    program: Program,
}

/// How the server process is started, the first time and again.
#[derive(Clone, Debug)]
struct Program {
    binaries: Binaries,
    account: Option<Account>,
    durability: Durability,
}

impl Managed {
    /// Starts the PostgreSQL of the folder, making it first if there is none.
    ///
    /// Returns when it takes connections and the database exists; recovery after a crash is waited for however long it
    /// takes, since cutting it short would only make the next one longer. Cancel-safe: dropping the future stops what
    /// was started.
    pub async fn start(
        config: ManagedConfig,
        progress: impl Fn(Progress) + Send + Sync + Clone + 'static,
    ) -> Result<Self, ManagedError> {
        let path = config.folder.clone();
        let (folder, account) = blocking(move || Folder::open(&path)).await?;
        let folder = Arc::new(folder);
        folder.clear_previous(&progress).await?;
        let binaries = find_or_fetch(&config, &folder, &progress).await?;
        let program = Program { binaries, account, durability: config.durability };
        let postmaster = bring_up(&folder, &program, &progress).await?;
        // From here on dropping `managed` stops the server.
        let managed = Self { postmaster, folder, program };
        cluster::create_database(&managed.folder, DATABASE).await?;
        Ok(managed)
    }

    /// Starts the server again after it died by itself; the URL stays the same.
    pub async fn revive(
        &mut self,
        progress: impl Fn(Progress) + Send + Sync + Clone + 'static,
    ) -> Result<(), ManagedError> {
        self.postmaster.release();
        // Its supervisor may still be waiting for the last of its processes.
        self.postmaster.wait_exit(IMMEDIATE_STOP_MAX).await;
        self.folder.clear_previous(&progress).await?;
        self.postmaster = bring_up(&self.folder, &self.program, &progress).await?;
        Ok(())
    }

    /// Where the `watchpost` database is, as that role.
    pub fn url(&self) -> String {
        self.folder.url(DATABASE, DATABASE)
    }

    /// The same server as its superuser, for tests that make databases of their own.
    #[cfg(feature = "testing")]
    pub(crate) fn superuser_url(&self, database: &str) -> String {
        self.folder.url(cluster::SUPERUSER, database)
    }

    /// `15.8`
    pub fn version(&self) -> &str {
        &self.program.binaries.version
    }

    /// The folder given in the configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the server process still lives.
    pub fn is_running(&mut self) -> bool {
        self.postmaster.exited().is_none()
    }

    /// Stops the server: cleanly, and if it hangs, by force. Open connections are cut.
    pub async fn stop(mut self) {
        self.postmaster.release();
        if self.postmaster.wait_exit(FAST_STOP_MAX).await {
            return;
        }
        warn!(
            "PostgreSQL did not stop within {} s: stopping it at once, it recovers at the next start",
            FAST_STOP_MAX.as_secs()
        );
        self.postmaster.signal(StopSignal::Immediate, self.folder.running_pid());
        if self.postmaster.wait_exit(IMMEDIATE_STOP_MAX).await {
            return;
        }
        self.postmaster.signal(StopSignal::Kill, self.folder.running_pid());
        if !self.postmaster.wait_exit(IMMEDIATE_STOP_MAX).await {
            error!(
                "PostgreSQL does not stop: look after the processes of {}",
                self.folder.path().display()
            );
        }
    }
}

/// The server programs of this machine that fit the folder's data, or fetched ones.
async fn find_or_fetch(
    config: &ManagedConfig,
    folder: &Folder,
    progress: &impl Fn(Progress),
) -> Result<Binaries, ManagedError> {
    let wanted = folder.major()?;
    let fetched_dir = config.fetched_dir.clone().unwrap_or_else(|| folder.binaries());
    let search = || {
        let (bin_dir, fetched_dir) = (config.bin_dir.clone(), fetched_dir.clone());
        blocking(move || Ok(binaries::search(bin_dir.as_deref(), &fetched_dir)))
    };
    let missing = match binaries::choose(search().await?, wanted, &folder.data()) {
        Ok(binaries) => return Ok(binaries),
        Err(missing) => missing,
    };
    let Some(url) = config.download_url.as_deref().filter(|_| config.bin_dir.is_none()) else {
        return Err(missing);
    };
    match fetch::fetch(url, wanted, &fetched_dir, progress).await {
        Ok(()) => binaries::choose(search().await?, wanted, &folder.data()),
        // What the user can do about it is the same as before we tried.
        Err(reason) => Err(match missing {
            ManagedError::NotInstalled { advice } => ManagedError::NotFetched { advice, reason },
            other => {
                warn!("{}", service::error::chain(&reason));
                other
            }
        }),
    }
}

/// Starts the server of a prepared folder and waits until it takes connections.
async fn bring_up<P>(
    folder: &Arc<Folder>,
    program: &Program,
    progress: &P,
) -> Result<Postmaster, ManagedError>
where
    P: Fn(Progress) + Send + Sync + Clone + 'static,
{
    prepare(folder, program, progress).await?;
    let deadline = Instant::now() + LEFTOVERS_MAX;
    loop {
        let (its_folder, its_program) = (folder.clone(), program.clone());
        let mut postmaster = blocking(move || launch(&its_folder, &its_program)).await?;
        match cluster::wait_until_ready(&mut postmaster, folder, progress).await {
            Ok(()) => return Ok(postmaster),
            Err(ManagedError::Start { reason, .. })
                if reason.contains(LEFTOVERS) && Instant::now() < deadline =>
            {
                tokio::time::sleep(LEFTOVERS_POLL).await;
            }
            Err(err) => return Err(err),
        }
    }
}

/// Makes the data folder if there is none.
async fn prepare<P: Fn(Progress)>(
    folder: &Folder,
    program: &Program,
    progress: &P,
) -> Result<(), ManagedError> {
    let Program { binaries, account, durability } = program;
    if let Some(account) = account {
        account.check_reaches(folder.path())?;
        account.check_reaches(&binaries.dir)?;
    }
    if folder.major()?.is_none() {
        progress(Progress::Creating {
            folder: folder.path().to_owned(),
            version: binaries.version.clone(),
        });
        cluster::create(binaries, folder, account.as_ref(), *durability).await?;
    }
    Ok(())
}

/// From a data folder to the running process.
fn launch(folder: &Folder, program: &Program) -> Result<Postmaster, ManagedError> {
    let Program { binaries, account, durability } = program;
    settings::write(binaries, folder, account.as_ref(), *durability)?;
    process::spawn(binaries, folder, account.as_ref(), *durability)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ManagedError> + Send + 'static,
) -> Result<T, ManagedError> {
    tokio::task::spawn_blocking(work).await.map_err(ManagedError::Task)?
}
