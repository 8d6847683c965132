//! The settings in force, read anew when the file or a certificate changes.
//!
//! exporter-toolkit reads the file on each request and each handshake. We look at its time, size and inode instead,
//! at most twice a second and outside of the async threads, and read only what changed. A file that cannot be used
//! leaves the settings before it in force and is logged once: a slip of the editor must not take monitoring down.
//! Turning TLS on or off needs a restart, so that no file can quietly downgrade a server.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderName, HeaderValue, header};
use rustls::ServerConfig;
use tracing::{error, info};

use super::{
    CONNECTIONS_MAX, GRACE,
    limit::Bucket,
    settings::{ContentTypeOptions, FrameOptions, Headers, WebFile},
    tls::TlsError,
    users::{HashError, Passwords, Users},
};
use crate::{
    Metrics,
    config::{self, ConfigError},
    error,
    metrics::Connections,
};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How a server is to serve: the settings of `--web.config.file`, and some bounds. Cheap to clone.
///
/// The default is plain HTTP without passwords.
#[derive(Clone, Debug)]
pub struct Config {
    file: Option<Arc<WatchedFile>>,
    pub(super) passwords: Arc<Passwords>,
    pub(super) counts: Connections,
    pub(super) grace: Duration,
    pub(super) connections_max: usize,
    pub(super) lets_bearers_pass: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            passwords: Arc::default(),
            counts: Connections::default(),
            grace: GRACE,
            connections_max: CONNECTIONS_MAX,
            lets_bearers_pass: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    #[error("use --web.config.file")]
    File {
        #[source]
        source: ConfigError,
    },
    #[error("{}: tls_server_config", path.display())]
    Tls {
        path: PathBuf,
        #[source]
        source: TlsError,
    },
    #[error("{}", path.display())]
    Users {
        path: PathBuf,
        #[source]
        source: HashError,
    },
    #[error("{}: http_server_config: the value of `{header}` cannot be sent in a header", path.display())]
    Header { path: PathBuf, header: HeaderName },
    #[error("{}: rate_limit: with an `interval` and no `burst` no request would pass: set `burst` to 1 or more", path.display())]
    NoBurst { path: PathBuf },
    #[error("{}: turning TLS on or off needs a restart", path.display())]
    TlsSwitched { path: PathBuf },
}

impl Config {
    /// Reads and checks the file; `None` is plain HTTP without passwords.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self::open(path)?)
    }

    /// The same with an error that says which part was wrong.
    pub fn open(path: Option<&Path>) -> Result<Self, WebConfigError> {
        // An empty path is the default of exporter-toolkit's flag.
        let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(Self::default());
        };
        let file = WatchedFile::open(path)?;
        Ok(Self { file: Some(Arc::new(file)), ..Self::default() })
    }

    /// Counts connections and refusals in `metrics`.
    pub fn observed_by(mut self, metrics: &Metrics) -> Self {
        self.counts = metrics.connections();
        self
    }

    /// How long open requests may take to finish when the server stops.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Connections open at a time on all listeners; more wait to be accepted.
    pub fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max.clamp(1, u32::MAX as usize);
        self
    }

    /// Lets requests with a bearer token go by the users of the file: only for a router that checks tokens itself. Such
    /// a request comes without a [`User`](super::User).
    pub fn letting_bearers_pass(mut self) -> Self {
        self.lets_bearers_pass = true;
        self
    }

    /// Whether clients speak TLS.
    pub fn is_tls(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.settings().tls.is_some())
    }

    /// Whether a client needs a password, or a certificate that is verified.
    pub fn asks_for_credentials(&self) -> bool {
        self.file.as_ref().is_some_and(|file| {
            let settings = file.settings();
            !settings.users.is_empty() || settings.verifies_clients
        })
    }

    /// Whether a client without a bearer token needs a password.
    pub fn asks_for_password(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.settings().users.is_empty())
    }

    /// The settings in force, after a look whether the files have changed.
    pub(super) async fn current(&self) -> Option<Arc<Settings>> {
        let file = self.file.as_ref()?;
        if file.is_time_to_look() {
            let (file, counts) = (Arc::clone(file), self.counts.clone());
            // A file system that hangs holds up this one request; others go on with what is in force.
            let _ = tokio::task::spawn_blocking(move || file.look(&counts)).await;
        }
        Some(file.settings())
    }
}

/// The checked settings of one version of the file.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) verifies_clients: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: Users,
    pub(super) bucket: Option<Arc<Bucket>>,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    settings: RwLock<Arc<Settings>>,
    /// What the files looked like before they were last read, well or badly.
    seen: Mutex<Vec<Stamp>>,
    opened_at: Instant,
    /// Milliseconds after `opened_at`.
    looked_at_ms: AtomicU64,
}

impl WatchedFile {
    fn open(path: &Path) -> Result<Self, WebConfigError> {
        let reading = read(path, None);
        Ok(Self {
            path: path.to_owned(),
            settings: RwLock::new(Arc::new(reading.settings?)),
            seen: Mutex::new(reading.stamps),
            opened_at: Instant::now(),
            looked_at_ms: AtomicU64::new(0),
        })
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().expect("no holder panics"))
    }

    /// True for one caller each [`LOOK_EVERY`].
    fn is_time_to_look(&self) -> bool {
        let now_ms = self.opened_at.elapsed().as_millis() as u64;
        let looked_at_ms = self.looked_at_ms.load(Ordering::Relaxed);
        now_ms.saturating_sub(looked_at_ms) >= LOOK_EVERY.as_millis() as u64
            && self
                .looked_at_ms
                .compare_exchange(looked_at_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn look(&self, counts: &Connections) {
        let mut seen = self.seen.lock().expect("no holder panics");
        if seen.iter().all(|stamp| *stamp == Stamp::of(&stamp.path)) {
            return;
        }
        let before = self.settings();
        let reading = read(&self.path, Some(&before));
        *seen = reading.stamps;
        match reading.settings {
            Ok(settings) => {
                *self.settings.write().expect("no holder panics") = Arc::new(settings);
                counts.config_failed.set(0);
                info!(file = %self.path.display(), "web settings read anew");
            }
            Err(err) => {
                counts.config_failed.set(1);
                error!("{}; the settings before stay in force", error::chain(&err));
            }
        }
    }
}

/// One attempt to read everything.
struct Reading {
    /// Taken before reading, so that a change meanwhile is seen by the next look.
    stamps: Vec<Stamp>,
    settings: Result<Settings, WebConfigError>,
}

fn read(path: &Path, before: Option<&Settings>) -> Reading {
    let mut stamps = vec![Stamp::of(path)];
    let mut file: WebFile = match config::load(path) {
        Ok(file) => file,
        Err(source) => return Reading { stamps, settings: Err(WebConfigError::File { source }) },
    };
    if let Some(tls) = &mut file.tls_server_config {
        tls.resolve_paths(path.parent().unwrap_or(Path::new("")));
        stamps.extend(tls.files().iter().map(|file| Stamp::of(file)));
    }
    Reading { stamps, settings: check(path, &file, before) }
}

fn check(
    path: &Path,
    file: &WebFile,
    before: Option<&Settings>,
) -> Result<Settings, WebConfigError> {
    let http = file.http_server_config.clone().unwrap_or_default();
    let section = file.tls_server_config.as_ref().filter(|section| section.is_enabled());
    let tls = section
        .map(|section| section.server_config(http.http2))
        .transpose()
        .map_err(|source| WebConfigError::Tls { path: path.to_owned(), source })?;
    if before.is_some_and(|before| before.tls.is_some() != tls.is_some()) {
        return Err(WebConfigError::TlsSwitched { path: path.to_owned() });
    }
    let users = Users::new(&file.basic_auth_users.clone().unwrap_or_default())
        .map_err(|source| WebConfigError::Users { path: path.to_owned(), source })?;
    let rate = file.rate_limit.unwrap_or_default();
    let (interval, burst) = (rate.interval.0, rate.burst);
    let bucket = if interval.is_zero() {
        None
    } else if burst == 0 {
        return Err(WebConfigError::NoBurst { path: path.to_owned() });
    } else {
        // An unrelated change must not fill the bucket again.
        let kept = before.and_then(|before| before.bucket.clone());
        let same = kept.filter(|bucket| bucket.is_like(interval, burst));
        Some(same.unwrap_or_else(|| Arc::new(Bucket::new(interval, burst, Instant::now()))))
    };
    Ok(Settings {
        verifies_clients: section.is_some_and(|section| section.verifies_clients()),
        tls,
        headers: headers(path, &http.headers.unwrap_or_default())?,
        users,
        bucket,
    })
}

fn headers(
    path: &Path,
    section: &Headers,
) -> Result<Vec<(HeaderName, HeaderValue)>, WebConfigError> {
    let frame_options = match section.frame_options {
        FrameOptions::Unset => "",
        FrameOptions::Deny => "deny",
        FrameOptions::SameOrigin => "sameorigin",
    };
    let content_type_options = match section.content_type_options {
        ContentTypeOptions::Unset => "",
        ContentTypeOptions::NoSniff => "nosniff",
    };
    let pairs = [
        (header::CONTENT_SECURITY_POLICY, section.content_security_policy.as_str()),
        (header::X_FRAME_OPTIONS, frame_options),
        (header::X_CONTENT_TYPE_OPTIONS, content_type_options),
        (header::X_XSS_PROTECTION, section.xss_protection.as_str()),
        (header::STRICT_TRANSPORT_SECURITY, section.strict_transport_security.as_str()),
    ];
    let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    set.map(|(header, value)| match HeaderValue::from_str(value) {
        Ok(value) => Ok((header, value)),
        Err(_) => Err(WebConfigError::Header { path: path.to_owned(), header }),
    })
    .collect()
}

/// What tells one version of a file from the next without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// `None` while there is no such file.
    version: Option<(Option<SystemTime>, u64, u64)>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let version = fs::metadata(path)
            .map(|metadata| (metadata.modified().ok(), metadata.len(), inode(&metadata)));
        Self { path: path.to_owned(), version: version.ok() }
    }
}

/// Kubernetes changes a mounted secret by pointing a link at another file, which may be older.
#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.ino()
}

#[cfg(not(unix))]
fn inode(_metadata: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, text).unwrap();
        Config::open(Some(&path))
            .map_err(|err| error::chain(&err).replace(&path.display().to_string(), "web.yml"))
    }

    #[test]
    fn nothing_configured_is_plain_http() {
        for config in [Config::load(None).unwrap(), Config::load(Some(Path::new(""))).unwrap()] {
            assert!(!config.is_tls() && !config.asks_for_credentials());
        }
        assert!(!opened("").unwrap().is_tls());
    }

    #[test]
    fn what_the_file_says_is_known() {
        let hash = bcrypt::hash("x", 4).unwrap();
        let config = opened(&format!("basic_auth_users:\n  ada: {hash}\n")).unwrap();
        assert!(config.asks_for_credentials() && !config.is_tls());
        assert!(!format!("{config:?}").contains(&hash));
    }

    #[test]
    fn errors_are_one_line() {
        for (text, expected) in [
            ("x: 1\n", "use --web.config.file: web.yml:1:1: unknown key `x`: known are"),
            (
                "basic_auth_users:\n  ada: plain\n",
                "web.yml: the password of `ada` in `basic_auth_users` is not a bcrypt hash",
            ),
            (
                "tls_server_config:\n  cert_file: a.pem\n",
                "web.yml: tls_server_config: read `cert` from ",
            ),
            (
                "rate_limit:\n  interval: 1s\n",
                "web.yml: rate_limit: with an `interval` and no `burst`",
            ),
            (
                "http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\nb\"\n",
                "web.yml: http_server_config: the value of `x-xss-protection` cannot",
            ),
        ] {
            let said = opened(text).unwrap_err();
            assert!(said.starts_with(expected) && !said.contains('\n'), "{text}: {said}");
        }
        let err = Config::open(Some(Path::new("/nonexistent.yml"))).unwrap_err();
        let said = error::chain(&err);
        assert!(
            said.starts_with("use --web.config.file: read /nonexistent.yml: No such"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_change_is_seen_and_a_broken_file_keeps_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let write = |text: &str| fs::write(&path, text).unwrap();
        write("http_server_config:\n  headers:\n    X-Frame-Options: deny\n");
        let config = Config::open(Some(&path)).unwrap();
        let look = || config.file.as_ref().unwrap().look(&config.counts);
        let n_headers = || config.file.as_ref().unwrap().settings().headers.len();
        assert_eq!(n_headers(), 1);
        write("http_server_config: {}\n");
        look();
        assert_eq!(n_headers(), 0);
        write("broken: 1\n");
        look();
        assert_eq!((n_headers(), config.counts.config_failed.get()), (0, 1));
        write("tls_server_config:\n  cert_file: a.pem\n  key_file: b.pem\n");
        look();
        assert_eq!(config.counts.config_failed.get(), 1);
        fs::remove_file(&path).unwrap();
        look();
        assert_eq!(config.counts.config_failed.get(), 1);
        write("rate_limit:\n  interval: 1m\n  burst: 1\n");
        look();
        let bucket = || config.file.as_ref().unwrap().settings().bucket.clone().unwrap();
        assert_eq!(config.counts.config_failed.get(), 0);
        assert!(bucket().take(Instant::now()));
        write("rate_limit:\n  interval: 1m\n  burst: 1\nhttp_server_config: {}\n");
        look();
        assert!(!bucket().take(Instant::now()), "the bucket was filled by an unrelated change");
    }

    #[test]
    fn one_caller_looks_at_a_time() {
        let config = opened("").unwrap();
        let file = config.file.unwrap();
        assert!(!file.is_time_to_look());
        let later = WatchedFile {
            path: file.path.clone(),
            settings: RwLock::new(file.settings()),
            seen: Mutex::default(),
            opened_at: Instant::now() - LOOK_EVERY,
            looked_at_ms: AtomicU64::new(0),
        };
        assert!(later.is_time_to_look());
        assert!(!later.is_time_to_look());
    }
}
