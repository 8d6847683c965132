//! Which database, as flags and variables say it.

use std::path::PathBuf;

use service::secret::{Secret, SecretError};

/// To be flattened into the flags of whatever opens a database.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// PostgreSQL to keep everything in, `postgres://user:password@host:5432/database`; `watchpost` alone brings one of
    /// its own
    #[arg(
        long = "database-url",
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        help_heading = "Storage"
    )]
    pub database_url: Option<Secret>,
    /// File that the address stands in, such as a secret of Docker or Kubernetes
    #[arg(
        long = "database-url-file",
        value_name = "FILE",
        env = "DATABASE_URL_FILE",
        help_heading = "Storage"
    )]
    pub database_url_file: Option<PathBuf>,
}

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    #[error(
        "no database: give --database-url or --database-url-file (or DATABASE_URL, DATABASE_URL_FILE), or run `watchpost`, which brings a PostgreSQL of its own"
    )]
    Missing,
    #[error(
        "both --database-url and --database-url-file are given (or DATABASE_URL, DATABASE_URL_FILE): keep one"
    )]
    Both,
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl Args {
    /// The address of the database, if there is one. Reads the file.
    pub fn url(&self) -> Result<Option<String>, ArgsError> {
        // An empty variable is one that nobody set, as compose files have them.
        let inline = self.database_url.clone().filter(|url| !url.expose().is_empty());
        let file = self.database_url_file.clone().filter(|path| !path.as_os_str().is_empty());
        let url = match (inline, file) {
            (Some(_), Some(_)) => return Err(ArgsError::Both),
            (Some(url), None) => url,
            (None, Some(file)) => Secret::read(&file)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(url.expose().to_owned()))
    }

    /// The same for those who cannot do without.
    pub fn required_url(&self) -> Result<String, ArgsError> {
        self.url()?.ok_or(ArgsError::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_ways() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://file\n").unwrap();
        let of = |url: Option<&str>, file: Option<&std::path::Path>| Args {
            database_url: url.map(Secret::new),
            database_url_file: file.map(Into::into),
        };
        assert_eq!(of(Some("postgres://flag"), None).required_url().unwrap(), "postgres://flag");
        assert_eq!(of(Some(""), Some(file.path())).required_url().unwrap(), "postgres://file");
        assert_eq!(of(None, None).url().unwrap(), None);
        let missing = of(None, None).required_url().unwrap_err().to_string();
        assert!(missing.starts_with("no database: give --database-url"), "{missing}");
        let both = of(Some("postgres://flag"), Some(file.path())).url().unwrap_err();
        assert!(matches!(both, ArgsError::Both));
        let absent = of(None, Some("/nowhere/url".as_ref())).url().unwrap_err();
        assert_eq!(absent.to_string(), "read secret from /nowhere/url");
    }
}
