//! The flags `--remote-write.…` of programs that push, and what they mean once they are checked.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use reqwest::Url;
use service::{
    host_name,
    units::{ByteSize, Span},
};

use crate::{
    client::Credentials,
    registration::{Intervals, LIVE_INTERVAL_MAX, LIVE_INTERVAL_MIN},
};

/// Stored samples closer than this cost much and tell little; live updates are for that.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// A query looks back five minutes: beyond, series would have gaps.
pub(crate) const INTERVAL_MAX: Duration = Duration::from_secs(300);
/// Below, a single scrape of a large machine may not fit.
const QUEUE_BYTES_MIN: u64 = 1 << 20;

/// Where to push to, how often, and what is kept while the receiver is away.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Pushing by remote write")]
#[group(skip)]
pub struct Args {
    /// Send all metrics to this receiver, too: `https://receiver:9201/api/v1/write`
    #[arg(id = "remote_write_url", long = "remote-write.url", value_name = "URL")]
    pub url: Option<String>,
    /// How often, from 1s to 300s
    #[arg(
        id = "remote_write_interval",
        long = "remote-write.interval",
        value_name = "DURATION",
        default_value = "15s"
    )]
    pub interval: Span,
    /// The label `job` of everything that is sent [default: as the dashboards and rules expect it]
    #[arg(id = "remote_write_job", long = "remote-write.job", value_name = "NAME")]
    pub job: Option<String>,
    /// The label `instance` of everything that is sent [default: the name of this machine and the port]
    #[arg(id = "remote_write_instance", long = "remote-write.instance", value_name = "NAME")]
    pub instance: Option<String>,
    /// A label for everything that is sent; repeatable
    #[arg(id = "remote_write_label", long = "remote-write.label", value_name = "NAME=VALUE")]
    pub labels: Vec<Label>,
    /// Folder of the queue, which no other program may share [default: systemd's `StateDirectory`, or
    /// one of the user's]
    #[arg(id = "remote_write_queue_dir", long = "remote-write.queue-dir", value_name = "FOLDER")]
    pub queue_dir: Option<PathBuf>,
    /// What may wait while the receiver is away, before the oldest is dropped
    #[arg(
        id = "remote_write_queue_size",
        long = "remote-write.queue-size",
        value_name = "SIZE",
        default_value = "512MiB"
    )]
    pub queue_size: ByteSize,
    /// How long to wait for an answer
    #[arg(
        id = "remote_write_timeout",
        long = "remote-write.timeout",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub timeout: Span,
    /// Version of the protocol: 1, 2, or auto for 2 with receivers that speak it
    #[arg(
        id = "remote_write_protocol", long = "remote-write.protocol",
        value_name = "VERSION",
        default_value = "auto",
        value_parser = ["auto", "1", "2"]
    )]
    pub protocol: String,
    /// Name for a password
    #[arg(
        id = "remote_write_basic_auth_username",
        long = "remote-write.basic-auth.username",
        value_name = "NAME",
        requires = "remote_write_password_file",
        conflicts_with = "remote_write_token_file"
    )]
    pub username: Option<String>,
    /// File with the password; read for each request
    #[arg(
        id = "remote_write_password_file",
        long = "remote-write.basic-auth.password-file",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
    /// File with a bearer token; read for each request
    #[arg(
        id = "remote_write_token_file",
        long = "remote-write.bearer-token-file",
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// File with the certificates to trust, instead of the system's
    #[arg(id = "remote_write_tls_ca_file", long = "remote-write.tls.ca-file", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// File with a certificate of our own
    #[arg(
        id = "remote_write_tls_cert_file",
        long = "remote-write.tls.cert-file",
        value_name = "FILE",
        requires = "remote_write_key_file"
    )]
    pub cert_file: Option<PathBuf>,
    /// File with its key
    #[arg(id = "remote_write_key_file", long = "remote-write.tls.key-file", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// A header of each request, such as X-Scope-OrgID=team; repeatable
    #[arg(id = "remote_write_header", long = "remote-write.header", value_name = "NAME=VALUE")]
    pub headers: Vec<Label>,
    /// A proxy to reach the receiver by; variables of the environment are not looked at
    #[arg(id = "remote_write_proxy_url", long = "remote-write.proxy-url", value_name = "URL")]
    pub proxy_url: Option<String>,
    /// Announce this program to a receiver, which lists it and lets a Prometheus discover it: `https://receiver:9201`; with
    /// the credentials of --remote-write
    #[arg(id = "register_url", long = "register.url", value_name = "URL")]
    pub register_url: Option<String>,
    /// Where a Prometheus reaches this program [default: the name of this machine and the port]
    #[arg(id = "register_address", long = "register.address", value_name = "HOST:PORT")]
    pub register_address: Option<String>,
    /// How often somebody who watches is shown something new, from 100ms to 10s; needs --register.url
    #[arg(
        id = "live_interval",
        long = "live.interval",
        value_name = "DURATION",
        default_value = "1s"
    )]
    pub live_interval: Span,
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub name: String,
    pub value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is not a name, `=` and a value")),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    #[error("--{flag}: `{url}` {problem}")]
    Url { flag: &'static str, url: String, problem: String },
    #[error("--remote-write.interval: {0} is not between 1s and 300s")]
    Interval(Span),
    #[error("--live.interval: {0} is not between 100ms and 10s")]
    LiveInterval(Span),
    #[error("--remote-write.queue-size: {0} is less than {min}", min = ByteSize(QUEUE_BYTES_MIN))]
    QueueSize(ByteSize),
    #[error("--remote-write.label: `{0}` is not a name of a label")]
    Label(String),
    #[error(
        "there is no folder of this user's to keep the queue in: name one with --remote-write.queue-dir"
    )]
    NoFolder,
}

/// What a program knows better than its user.
#[derive(Clone, Debug)]
pub struct Defaults<'a> {
    /// As in [`service::Metrics::new`].
    pub program: &'a str,
    pub job: &'a str,
    pub port: u16,
}

/// Checked flags.
#[derive(Clone, Debug)]
pub struct Config {
    pub program: String,
    pub url: Url,
    pub interval: Duration,
    /// `job`, `instance` and those of the user's, which win.
    pub labels: Vec<Label>,
    pub queue_dir: PathBuf,
    pub queue_bytes: u64,
    pub timeout: Duration,
    /// `None`: whatever the receiver speaks.
    pub protocol: Option<u8>,
    pub credentials: Credentials,
}

/// Checked flags about registering.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The receiver, without a path.
    pub receiver: Url,
    pub address: String,
    /// `job`, `instance` and those of the user's.
    pub labels: Vec<(String, String)>,
    pub credentials: Credentials,
    pub timeout: Duration,
}

/// Above the time for which a receiver may hold a request.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(40);

impl Args {
    /// `None` where no receiver is named.
    pub fn config(&self, defaults: &Defaults<'_>) -> Result<Option<Config>, ArgsError> {
        let Some(url) = &self.url else { return Ok(None) };
        let url = parse_url("remote-write.url", url)?;
        let interval = self.intervals()?.stored;
        if self.queue_size.0 < QUEUE_BYTES_MIN {
            return Err(ArgsError::QueueSize(self.queue_size));
        }
        let queue_dir = match &self.queue_dir {
            Some(folder) => folder.clone(),
            None => default_folder(defaults.program).ok_or(ArgsError::NoFolder)?,
        };
        Ok(Some(Config {
            program: defaults.program.to_owned(),
            url,
            interval,
            labels: self.all_labels(defaults)?,
            queue_dir,
            queue_bytes: self.queue_size.0,
            timeout: self.timeout.0,
            protocol: self.protocol.parse().ok(),
            credentials: self.credentials(),
        }))
    }

    /// What the flags say about how often; nobody watches yet.
    pub fn intervals(&self) -> Result<Intervals, ArgsError> {
        let (stored, live) = (self.interval.0, self.live_interval.0);
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&stored) {
            return Err(ArgsError::Interval(self.interval));
        }
        if !(LIVE_INTERVAL_MIN..=LIVE_INTERVAL_MAX).contains(&live) {
            return Err(ArgsError::LiveInterval(self.live_interval));
        }
        Ok(Intervals { stored, live, is_watched: false })
    }

    /// `None` where nobody is to be told of us.
    pub fn registration(&self, defaults: &Defaults<'_>) -> Result<Option<Registration>, ArgsError> {
        let Some(url) = &self.register_url else { return Ok(None) };
        let mut receiver = parse_url("register.url", url)?;
        receiver.set_query(None);
        let address = || format!("{}:{}", host_name(), defaults.port);
        let labels = self.all_labels(defaults)?;
        Ok(Some(Registration {
            receiver,
            address: self.register_address.clone().unwrap_or_else(address),
            labels: labels.into_iter().map(|label| (label.name, label.value)).collect(),
            credentials: self.credentials(),
            timeout: REGISTER_TIMEOUT,
        }))
    }

    fn all_labels(&self, defaults: &Defaults<'_>) -> Result<Vec<Label>, ArgsError> {
        let own = |name: &str, value: String| Label { name: name.to_owned(), value };
        let instance = || format!("{}:{}", host_name(), defaults.port);
        let mut labels = vec![
            own("job", self.job.clone().unwrap_or_else(|| defaults.job.to_owned())),
            own("instance", self.instance.clone().unwrap_or_else(instance)),
        ];
        for label in &self.labels {
            if !is_label_name(&label.name) {
                return Err(ArgsError::Label(label.name.clone()));
            }
            labels.retain(|known| known.name != label.name);
            labels.push(label.clone());
        }
        Ok(labels)
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            username: self.username.clone(),
            password_file: self.password_file.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            headers: self.headers.clone(),
            proxy_url: self.proxy_url.clone(),
        }
    }
}

impl Registration {
    /// The value of a label, or nothing.
    pub fn label(&self, name: &str) -> &str {
        let known = self.labels.iter().find(|(known, _)| known == name);
        known.map_or("", |(_, value)| value)
    }

    /// Those that have no place of their own in an announcement.
    pub fn own_labels(&self) -> BTreeMap<String, String> {
        let is_own = |(name, _): &&(String, String)| !["job", "instance"].contains(&name.as_str());
        self.labels.iter().filter(is_own).cloned().collect()
    }
}

impl Config {
    /// The labels of everything that is sent, as [`proto::scrape::Target::new`] wants them.
    pub fn label_pairs(&self) -> Vec<(&str, &str)> {
        self.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect()
    }
}

fn parse_url(flag: &'static str, text: &str) -> Result<Url, ArgsError> {
    let wrong = || ArgsError::Url {
        flag,
        url: text.to_owned(),
        problem: "is not an address such as https://receiver:9201/api/v1/write".to_owned(),
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: it would be in the log.
        return Err(ArgsError::Url {
            flag,
            url: url.host_str().unwrap_or_default().to_owned(),
            problem: "has a name or password in it: use --remote-write.basic-auth.username and \
                      --remote-write.basic-auth.password-file"
                .to_owned(),
        });
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong());
    }
    Ok(url)
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with("__")
}

/// What systemd made for us, or what belongs to this user.
fn default_folder(program: &str) -> Option<PathBuf> {
    let given = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    #[cfg(unix)]
    let is_root = rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    let is_root = false;
    // systemd separates several folders by colons.
    let from_systemd = env::var("STATE_DIRECTORY").ok();
    let first = from_systemd.as_deref().and_then(|folders| folders.split(':').next());
    let home = given("XDG_STATE_HOME").or_else(|| Some(given("HOME")?.join(".local/state")));
    #[cfg(windows)]
    let home = given("LOCALAPPDATA").or(home);
    folder_of(program, first.map(Path::new), is_root, home)
}

fn folder_of(
    program: &str,
    from_systemd: Option<&Path>,
    is_root: bool,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    let name = format!("{program}-queue");
    match (from_systemd.filter(|folder| folder.is_absolute()), is_root) {
        (Some(folder), _) => Some(folder.join(name)),
        (None, true) => Some(Path::new("/var/lib/watchpost").join(name)),
        (None, false) => Some(home?.join("watchpost").join(name)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn config(words: &[&str]) -> Result<Option<Config>, String> {
        let all: Vec<&str> = ["x"].iter().chain(words).copied().collect();
        let program: Program =
            service::flags::parse_from(&all).map_err(|err| err.kind().to_string())?;
        let defaults = Defaults { program: "exporter", job: "node", port: 9100 };
        program.args.config(&defaults).map_err(|err| err.to_string())
    }

    const URL: &str = "--remote-write.url=https://r:9201/api/v1/write";

    #[test]
    fn nothing_is_sent_unless_asked_for() {
        assert!(config(&[]).unwrap().is_none());
        let plain = config(&[URL]).unwrap().unwrap();
        assert_eq!(plain.interval, Duration::from_secs(15));
        assert_eq!(plain.labels[0], Label { name: "job".to_owned(), value: "node".to_owned() });
        assert!(plain.labels[1].value.ends_with(":9100"), "{:?}", plain.labels);
        assert_eq!(plain.protocol, None);
        assert!(config(&["--register.url=http://r:9201"]).unwrap().is_none());
        let words = [URL, "--remote-write.label=job=db", "--remote-write.label=site=a=b"];
        let labelled = config(&words).unwrap().unwrap();
        let pairs = labelled.label_pairs();
        assert_eq!((pairs.len(), pairs[1], pairs[2]), (3, ("job", "db"), ("site", "a=b")));
    }

    #[test]
    fn mistakes_are_said_before_anything_starts() {
        for (words, expected) in [
            (vec!["--remote-write.url=receiver"], "is not an address such as"),
            (vec!["--remote-write.url=ftp://r/"], "is not an address such as"),
            (vec!["--remote-write.url=https://u:p@r/"], "password-file"),
            (vec![URL, "--remote-write.interval=500ms"], "500ms is not between 1s and 300s"),
            (vec![URL, "--remote-write.interval=10m"], "10m is not between"),
            (vec![URL, "--live.interval=1ms"], "1ms is not between 100ms and 10s"),
            (vec![URL, "--remote-write.queue-size=1KB"], "1000B is less than 1MiB"),
            (vec![URL, "--remote-write.label=9=x"], "`9` is not a name of a label"),
            (vec![URL, "--remote-write.label=__name__=x"], "is not a name of a label"),
            (vec![URL, "--remote-write.label=x"], "invalid value"),
            (vec![URL, "--remote-write.protocol=3"], "isn't valid"),
            (vec![URL, "--remote-write.basic-auth.username=x"], "required arguments"),
            (vec![URL, "--remote-write.tls.cert-file=x"], "required arguments"),
        ] {
            let said = config(&words).unwrap_err();
            assert!(said.contains(expected), "{words:?}: {said}");
        }
        let said = config(&["--remote-write.url=https://u:geheim@r/"]).unwrap_err();
        assert!(!said.contains("geheim"), "{said}");
    }

    #[test]
    fn queues_lie_where_the_system_wants_them() {
        let folder = |systemd: Option<&str>, is_root, home: Option<&str>| {
            let made =
                folder_of("exporter", systemd.map(Path::new), is_root, home.map(PathBuf::from));
            made.map(|path| path.to_string_lossy().into_owned())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(folder(Some("/var/lib/x"), true, None), some("/var/lib/x/exporter-queue"));
        assert_eq!(folder(Some("x"), true, None), some("/var/lib/watchpost/exporter-queue"));
        assert_eq!(folder(None, false, Some("/h")), some("/h/watchpost/exporter-queue"));
        assert_eq!(folder(None, false, None), None);
    }
}
