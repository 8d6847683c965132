//! `blackbox.yml`: modules and what they check, in `blackbox_exporter`'s schema.
//!
//! <https://github.com/prometheus/blackbox_exporter/blob/master/CONFIGURATION.md> describes it. Unknown keys are
//! errors; what is not written has the defaults written here, which are also what `/config` shows.

mod cel;
mod client;
mod dns;
mod grpc;
mod http;
mod icmp;
mod json;
mod module;
mod pattern;
mod resolver;
mod stream;
mod tls;
mod units;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
pub use service::Secret;
use service::config::ConfigError;

pub use self::{
    cel::CelProgram,
    client::{Authorization, BasicAuth, ClientConfig, HeaderValues, OAuth2Config},
    dns::{DnsConfig, QueryClass, QueryType, RecordRules, Transport},
    grpc::GrpcConfig,
    http::{Compression, HeaderMatcher, HttpConfig},
    icmp::IcmpConfig,
    json::{JsonBody, JsonConfig, JsonMetric, MetricType, ValueType},
    pattern::Pattern,
    resolver::Resolver,
    stream::{QueryResponse, TcpConfig, UnixConfig},
    tls::{TlsConfig, TlsVersion},
    units::{Base2Bytes, GoDuration},
};

/// The file that is read where no `--config.file` is given and it exists.
pub const DEFAULT_FILE: &str = "blackbox.yml";

/// Everything in one `blackbox.yml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Shared with the history of probes.
    #[serde(default, deserialize_with = "shared", serialize_with = "unshared")]
    pub modules: BTreeMap<String, Arc<Module>>,
}

/// How to probe; the target comes with each request.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "module::Yaml")]
pub struct Module {
    pub prober: Prober,
    /// Longest time for one probe; the scrape's own time-out counts where it is shorter. Zero: only that one counts.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: GoDuration,
    /// The DNS servers that every name of the probe is looked up with; empty: as this machine does it.
    #[serde(skip_serializing_if = "is_default")]
    pub resolver: Resolver,
    pub http: HttpConfig,
    pub tcp: TcpConfig,
    pub unix: UnixConfig,
    pub icmp: IcmpConfig,
    pub grpc: GrpcConfig,
    #[serde(skip_serializing_if = "is_default")]
    pub json: JsonConfig,
    /// There is no sensible default, for a query needs a name.
    #[serde(skip_serializing_if = "is_default")]
    pub dns: Option<DnsConfig>,
}

/// Which program of checks a module runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prober {
    Http,
    Tcp,
    Unix,
    Dns,
    Icmp,
    Grpc,
    Json,
}

impl Prober {
    const ALL: [Self; 7] =
        [Self::Http, Self::Tcp, Self::Unix, Self::Dns, Self::Icmp, Self::Grpc, Self::Json];

    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Dns => "dns",
            Self::Icmp => "icmp",
            Self::Grpc => "grpc",
            Self::Json => "json",
        }
    }
}

impl<'de> Deserialize<'de> for Prober {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::ALL.into_iter().find(|prober| prober.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|prober| prober.name()).collect();
            serde::de::Error::custom(format!(
                "prober '{name}' is not valid, choose one of {}",
                known.join(", ")
            ))
        })
    }
}

/// The modules that exist where nobody wrote a `blackbox.yml`.
const BUILT_IN: &str = include_str!("config/built_in.yml");
/// Modules for services that speak JSON, which are built in as well.
const CONNECTORS: &str = include_str!("config/connectors.yml");

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = service::config::load(path)?;
        config.checked(path)
    }

    /// The same for text already read; `path` only names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = service::config::parse(text, path)?;
        config.checked(path)
    }

    /// `http_2xx` and the other modules that everybody has.
    pub fn built_in() -> Self {
        let mut all = Self::parse(BUILT_IN, Path::new("built-in")).expect("a test loads it");
        let connectors = Self::parse(CONNECTORS, Path::new("built-in")).expect("a test loads it");
        all.modules.extend(connectors.modules);
        all
    }

    /// The file as `/config` shows it: all defaults filled in, all secrets hidden.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_else(|err| format!("# cannot be shown: {err}\n"))
    }

    /// Checks what needs a view of more than one key.
    fn checked(self, path: &Path) -> Result<Self, ConfigError> {
        for (name, module) in &self.modules {
            if let Err(message) = module.check() {
                let message = format!("module `{name}`: {message}");
                return Err(ConfigError::Invalid {
                    path: path.to_owned(),
                    line: 1,
                    column: 1,
                    message,
                });
            }
        }
        Ok(self)
    }
}

impl Module {
    fn check(&self) -> Result<(), String> {
        self.http.check()?;
        self.tcp.check()?;
        self.unix.check()?;
        self.icmp.check()?;
        self.grpc.check()?;
        self.json.check()?;
        let (timeout, span) = (self.timeout.0, self.icmp.span());
        if self.prober == Prober::Icmp && !timeout.is_zero() && span >= timeout {
            return Err(format!(
                "the last request would be sent after {} s, when the time-out is over",
                span.as_secs_f64()
            ));
        }
        if self.prober == Prober::Json && self.json.metrics.is_empty() {
            return Err("a json module needs metrics".to_owned());
        }
        match &self.dns {
            Some(dns) => dns.check(),
            None if self.prober == Prober::Dns => {
                Err("query name must be set for DNS module".to_owned())
            }
            None => Ok(()),
        }
    }

    /// As `/probe?debug=true` shows it.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_else(|err| format!("# cannot be shown: {err}\n"))
    }
}

/// Where the configuration of a process comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    BuiltIn,
}

impl Source {
    /// What the user named, else `blackbox.yml` where it exists, else the built-in modules.
    pub fn find(config_file: Option<&Path>) -> Self {
        match config_file {
            Some(path) => Self::File(path.to_owned()),
            None if Path::new(DEFAULT_FILE).exists() => Self::File(DEFAULT_FILE.into()),
            None => Self::BuiltIn,
        }
    }

    pub fn load(&self) -> Result<Config, ConfigError> {
        match self {
            Self::File(path) => Config::load(path),
            Self::BuiltIn => Ok(Config::built_in()),
        }
    }
}

fn shared<'de, D>(deserializer: D) -> Result<BTreeMap<String, Arc<Module>>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let modules: BTreeMap<String, Module> = or_default(deserializer)?;
    Ok(modules.into_iter().map(|(name, module)| (name, Arc::new(module))).collect())
}

fn unshared<S: serde::Serializer>(
    modules: &BTreeMap<String, Arc<Module>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(modules.iter().map(|(name, module)| (name, module.as_ref())))
}

/// An empty section (`http:` with nothing under it) has its defaults, as in Go.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
