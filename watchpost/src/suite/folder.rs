//! Where the suite keeps things: as the system's conventions have it, or as the user says.

use std::{
    env,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
#[error("there is no home folder to keep data in: name a folder with --storage.path")]
pub(super) struct NoFolder;

/// The folder given, or the one that belongs to this user. Absolute, since PostgreSQL runs elsewhere.
pub(super) fn choose(given: Option<&Path>) -> Result<PathBuf, NoFolder> {
    let folder = match given {
        Some(given) => given.to_owned(),
        None => default_for(
            rustix::process::geteuid().is_root(),
            env::var_os("XDG_DATA_HOME").map(PathBuf::from),
            env::var_os("HOME").map(PathBuf::from),
        )
        .ok_or(NoFolder)?,
    };
    Ok(std::path::absolute(&folder).unwrap_or(folder))
}

fn default_for(
    is_root: bool,
    data_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    if is_root {
        return Some("/var/lib/watchpost".into());
    }
    // The XDG specification has relative paths ignored.
    let data_home = data_home.filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute());
    Some(data_home.or_else(|| Some(home?.join(".local/share")))?.join("watchpost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_follow_the_system() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(default_for(true, path("/x"), path("/root")), path("/var/lib/watchpost"));
        assert_eq!(default_for(false, path("/x"), path("/home/a")), path("/x/watchpost"));
        assert_eq!(
            default_for(false, path("x"), path("/home/a")),
            path("/home/a/.local/share/watchpost")
        );
        assert_eq!(default_for(false, None, None), None);
        assert!(choose(Some(Path::new("relative"))).unwrap().is_absolute());
    }
}
