//! Strict YAML: unknown and repeated keys are errors, and every error says file, line and column.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// `message` names the key and, where one is close, the key that was meant.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid { path: PathBuf, line: usize, column: usize, message: String },
}

/// Reads a configuration file. `T` should derive `Deserialize` with `deny_unknown_fields`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// The same for text already read; `path` only names it in errors.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    serde_saphyr::from_str(text).map_err(|err| {
        let location = err.location();
        ConfigError::Invalid {
            path: path.to_owned(),
            line: location.map_or(1, |l| l.line() as usize),
            column: location.map_or(1, |l| l.column() as usize),
            message: err.to_string(),
        }
    })
}
