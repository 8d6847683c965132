//! The folder of a private PostgreSQL: who may use it, what is in it, and what an earlier run left there.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tracing::debug;

use super::{ManagedError, Progress, account::Account};

/// The longest path of a Unix socket: 107 bytes on Linux, 103 on macOS and the BSDs.
const SOCKET_PATH_BYTES_MAX: usize = 103;
/// PostgreSQL's name for the socket of port 5432.
const SOCKET_FILE: &str = ".s.PGSQL.5432";
/// How long an orphan may take for its last checkpoint, and how often we look.
const ORPHAN_STOP_MAX: Duration = Duration::from_secs(60);
/// One that we do not know gets the time that an orphan's own watchdog needs, no more.
const STRANGER_STOP_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// How long a lock that is held is tried again: a process that is just being started has what its parent had open until
/// it is the other program, the lock of one who has stopped included.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// How the names of half-made data folders begin.
const DATA_NEW: &str = "data.new.";

/// An opened, locked folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    socket_dir: PathBuf,
    /// Where the path of the folder is too long for a socket.
    _short_socket_dir: Option<TempDir>,
    /// Locked as long as this value lives; the kernel unlocks it when we die.
    lock: File,
}

#[expect(clippy::disallowed_methods, reason = "called where blocking is allowed")]
fn try_lock(file: &File) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

impl Folder {
    /// Creates what is missing, locks the folder, and says who PostgreSQL has to run as.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<Account>), ManagedError> {
        let failed = |source| ManagedError::Folder { path: path.to_owned(), source };
        create_open_parents(path).map_err(failed)?;
        let path = fs::canonicalize(path).map_err(failed)?;
        let account = account_for(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed)?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(failed)?;
        match try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = (&mut lock).take(64).read_to_string(&mut text);
                let holder = text.lines().next().map(|pid| format!(" (pid {pid})"));
                return Err(ManagedError::InUse {
                    folder: path,
                    holder: holder.unwrap_or_default(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        for name in ["socket", "log"] {
            make_private(&path.join(name), account.as_ref())?;
        }
        let mut socket_dir = path.join("socket");
        let mut short_socket_dir = None;
        if socket_dir.join(SOCKET_FILE).as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let short =
                tempfile::Builder::new().prefix("watchpost-").tempdir_in("/tmp").map_err(failed)?;
            make_private(short.path(), account.as_ref())?;
            socket_dir = short.path().to_owned();
            short_socket_dir = Some(short);
        }
        Ok((Self { path, socket_dir, _short_socket_dir: short_socket_dir, lock }, account))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Where this process makes a data folder before it is complete.
    pub(super) fn data_new(&self) -> PathBuf {
        self.path.join(format!("{DATA_NEW}{}", std::process::id()))
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn start_log(&self) -> PathBuf {
        self.path.join("start.log")
    }

    pub(super) fn supervisor(&self) -> PathBuf {
        self.path.join("supervisor.sh")
    }

    pub(super) fn binaries(&self) -> PathBuf {
        self.path.join("binaries")
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// A connection URL that both our driver and `psql` understand.
    pub(super) fn url(&self, role: &str, database: &str) -> String {
        // Everything that is not plainly harmless in a query is escaped.
        let mut host = String::new();
        for byte in self.socket_dir.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                    host.push(char::from(*byte));
                }
                other => host.push_str(&format!("%{other:02X}")),
            }
        }
        format!("postgresql:///{database}?host={host}&user={role}")
    }

    /// The PostgreSQL version that made the data, or `None` where there is no data yet.
    pub(super) fn major(&self) -> Result<Option<u32>, ManagedError> {
        let data = self.data();
        let text = match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound && !data.exists() => return Ok(None),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(ManagedError::Foreign { path: data });
            }
            Err(source) => return Err(ManagedError::Folder { path: data, source }),
        };
        match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(ManagedError::Foreign { path: data }),
        }
    }

    /// What `postmaster.pid` says: the process that runs or ran here.
    pub(super) fn running_pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        // A single-user session writes its number negative.
        let pid: i32 = text.lines().next()?.trim().trim_start_matches('-').parse().ok()?;
        Pid::from_raw(pid)
    }

    /// Remembers who we are and which server we started, for a message and for the next run.
    pub(super) fn note_started(&self, postmaster: Option<Pid>) -> io::Result<()> {
        let mut lock = &self.lock;
        lock.set_len(0)?;
        lock.rewind()?;
        write!(lock, "{}\n{}\n", std::process::id(), postmaster.map_or(0, Pid::as_raw_pid))
    }

    /// The server that the last user of this folder noted.
    fn noted_postmaster(&self) -> Option<Pid> {
        let mut lock = &self.lock;
        let mut text = String::new();
        lock.rewind().ok()?;
        lock.take(64).read_to_string(&mut text).ok()?;
        Pid::from_raw(text.lines().nth(1)?.parse().ok()?)
    }

    /// Gets rid of what a killed run may have left: half a data folder, a running server, a stale pid file.
    pub(super) async fn clear_previous(
        &self,
        progress: &impl Fn(Progress),
    ) -> Result<(), ManagedError> {
        self.remove_half_made();
        let Some(pid) = self.running_pid() else { return Ok(()) };
        if !self.is_postmaster(pid) {
            // Left by a crash. PostgreSQL removes such a file itself unless the number now belongs to another process
            // of the same user, which in containers, where numbers are few and small, happens all the time.
            return self.remove_pid_file();
        }
        let ours = self.noted_postmaster() == Some(pid);
        let patience = if ours { ORPHAN_STOP_MAX } else { STRANGER_STOP_MAX };
        if ours {
            progress(Progress::StoppingOrphan { pid: pid.as_raw_pid() });
            // SIGINT is PostgreSQL's fast shutdown. If it is gone by now, all the better.
            let _ = kill_process(pid, Signal::INT);
        }
        let deadline = Instant::now() + patience;
        while self.is_postmaster(pid) && self.running_pid() == Some(pid) {
            if Instant::now() >= deadline {
                return Err(match ours {
                    true => ManagedError::OrphanStays { pid: pid.as_raw_pid() },
                    false => {
                        ManagedError::AnotherPostmaster { data: self.data(), pid: pid.as_raw_pid() }
                    }
                });
            }
            tokio::time::sleep(POLL).await;
        }
        if self.running_pid() == Some(pid) { self.remove_pid_file() } else { Ok(()) }
    }

    /// Best effort: an `initdb` whose parent was killed may still be busy in there, and nothing reads it.
    fn remove_half_made(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(DATA_NEW)
                && let Err(err) = fs::remove_dir_all(entry.path())
            {
                debug!("remove {}: {err}", entry.path().display());
            }
        }
    }

    fn remove_pid_file(&self) -> Result<(), ManagedError> {
        let path = self.data().join("postmaster.pid");
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ManagedError::Folder { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Whether `pid` is alive and really the server of this data folder: it stands in it.
    #[cfg(target_os = "linux")]
    fn is_postmaster(&self, pid: Pid) -> bool {
        fs::read_link(format!("/proc/{}/cwd", pid.as_raw_pid())).is_ok_and(|cwd| cwd == self.data())
    }

    /// Whether `pid` is alive and a PostgreSQL that was started for this data folder.
    #[cfg(not(target_os = "linux"))]
    fn is_postmaster(&self, pid: Pid) -> bool {
        let output = std::process::Command::new("ps")
            .args(["-o", "command=", "-p", &pid.as_raw_pid().to_string()])
            .output();
        let data = self.data().display().to_string();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&data))
    }
}

/// Creates `path` and its missing parents, which stay open to others whatever the umask: PostgreSQL's user must be able
/// to walk through them.
fn create_open_parents(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_open_parents(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)),
        // Somebody else was faster.
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(err) => Err(err),
    }
}

/// Who PostgreSQL has to run as in this folder, and the ownership that this needs.
fn account_for(path: &Path) -> Result<Option<Account>, ManagedError> {
    let failed = |source| ManagedError::Folder { path: path.to_owned(), source };
    let me = geteuid();
    if me.is_root() {
        // Data that exists keeps its owner: PostgreSQL refuses to run as anybody else.
        if let Some(owner) =
            Account::owner_of(&path.join("data")).or_else(|| Account::owner_of(path))
        {
            return Ok(Some(owner));
        }
        let account = Account::unprivileged()?;
        account.own(path)?;
        return Ok(Some(account));
    }
    let uid = fs::metadata(path).map_err(failed)?.uid();
    if uid != me.as_raw() {
        return Err(ManagedError::Owner { path: path.to_owned(), uid });
    }
    Ok(None)
}

/// A folder that only PostgreSQL's user may enter.
fn make_private(path: &Path, account: Option<&Account>) -> Result<(), ManagedError> {
    let failed = |source| ManagedError::Folder { path: path.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(failed(err)),
        _ => {}
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
    account.map_or(Ok(()), |account| account.own(path))
}
