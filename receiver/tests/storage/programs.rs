//! PostgreSQL's own programs.

use std::{fs, path::PathBuf, process::Command};

/// `pg_dump` or `psql`: beside the server that the tests use, else on the PATH.
pub(crate) fn program(name: &str) -> Command {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        installed.map(|entry| entry.path().join("bin").join(name)).collect();
    found.retain(|path| path.is_file());
    found.sort();
    Command::new(found.pop().unwrap_or_else(|| name.into()))
}
