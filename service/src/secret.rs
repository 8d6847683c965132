//! Passwords and tokens: given inline or in a file, and never printed.

use std::{
    convert::Infallible,
    fmt, fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret file is a line, not a database.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What stands for a secret wherever one would be shown; Prometheus' word, so that its users know it.
pub const REDACTED: &str = "<secret>";

/// A text that `Debug`, `Display` and `Serialize` show as `<secret>`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never log or format what this returns.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a secret from a file; one line break at the end does not belong to it.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(failed)?;
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(SecretError::TooLong { path: path.to_owned() });
        }
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(SecretError::Empty { path: path.to_owned() });
        }
        Ok(Self(line.to_owned()))
    }
}

/// Where a secret comes from: the two keys `x` and `x_file` of a configuration.
///
/// A file is read anew on each use, so that a rotated secret is picked up without a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Inline(Secret),
    File(PathBuf),
}

impl SecretSource {
    /// From the two keys of a configuration; `key` names the inline one in the error.
    pub fn from_keys(
        key: &str,
        inline: Option<Secret>,
        file: Option<PathBuf>,
    ) -> Result<Option<Self>, SecretError> {
        match (inline, file) {
            (Some(_), Some(_)) => Err(SecretError::Both { key: key.to_owned() }),
            (Some(secret), None) => Ok(Some(Self::Inline(secret))),
            (None, Some(path)) => Ok(Some(Self::File(path))),
            (None, None) => Ok(None),
        }
    }

    /// The secret as it is now. Reads the file, so not for a hot path.
    pub fn get(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => Secret::read(path),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("both `{key}` and `{key}_file` are given: keep one")]
    Both { key: String },
    #[error("read secret from {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is empty: write the secret into it", path.display())]
    Empty { path: PathBuf },
    #[error("{} is too long for a secret: at most {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// For flags: clap needs it.
impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_printed() {
        let secret = Secret::new("hunter2");
        let source = SecretSource::Inline(secret.clone());
        assert_eq!(format!("{secret} {secret:?} {source:?}"), "<secret> <secret> Inline(<secret>)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<secret>\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_file_is_read_anew_and_loses_one_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one\n").unwrap();
        let source =
            SecretSource::from_keys("token", None, Some(file.path().to_owned())).unwrap().unwrap();
        assert_eq!(source.get().unwrap().expose(), "one");
        fs::write(file.path(), "two words \r\n").unwrap();
        assert_eq!(source.get().unwrap().expose(), "two words ");
        fs::write(file.path(), "\n").unwrap();
        assert!(matches!(source.get(), Err(SecretError::Empty { .. })));
        fs::write(file.path(), vec![b'x'; 100_000]).unwrap();
        assert!(matches!(source.get(), Err(SecretError::TooLong { .. })));
    }

    #[test]
    fn both_keys_are_refused() {
        let both = SecretSource::from_keys("token", Some(Secret::new("a")), Some("f".into()));
        assert_eq!(
            both.unwrap_err().to_string(),
            "both `token` and `token_file` are given: keep one"
        );
        assert_eq!(SecretSource::from_keys("token", None, None).unwrap(), None);
    }
}
