//! The file of `--config.file`: rules about what is taken in (`receiver/docs/config.md`).

use std::path::Path;

use serde::Deserialize;
use service::config::{self, ConfigError};

use crate::ingest::{quota, relabel::Rule, replicas};

/// What the file says. The default is what an empty one says: everything is taken as it comes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// As in Prometheus' `remote_write`: applied to each series as it comes.
    pub write_relabel_configs: Vec<Rule>,
    /// How senders say which replica they are. Without it they are not told apart.
    pub replicas: Option<replicas::Settings>,
    /// How many series jobs may have. Without it as many as they bring.
    pub limits: Option<quota::Settings>,
}

impl Rules {
    /// Reads the file; without one there are no rules.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        match path {
            Some(path) => config::load(path),
            None => Ok(Self::default()),
        }
    }
}
