//! The ordinary user that PostgreSQL runs as when this process is root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::ManagedError;

/// Who to run PostgreSQL as. Absent where this process is an ordinary user itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// A name, or `user id 70` where the system knows none.
    pub(super) name: String,
    uid: u32,
    gid: u32,
}

/// Tried in this order. `nobody` has no files of its own, so the folder is all that it can touch.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

impl Account {
    /// The user to run as where nothing exists yet.
    pub(super) fn unprivileged() -> Result<Self, ManagedError> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        CANDIDATES
            .iter()
            .find_map(|name| Self::find(&passwd, |entry| entry.name == *name))
            .ok_or(ManagedError::NoAccount)
    }

    /// The owner of an existing file; `None` if that is root.
    pub(super) fn owner_of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let (uid, gid) = (metadata.uid(), metadata.gid());
        if uid == 0 {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let known = Self::find(&passwd, |entry| entry.uid == uid);
        Some(known.unwrap_or_else(|| Self { name: format!("user id {uid}"), uid, gid }))
    }

    /// The first user in `/etc/passwd` text that fits and is not root.
    fn find(passwd: &str, fits: impl Fn(&Self) -> bool) -> Option<Self> {
        passwd
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                let uid = fields.nth(1)?.parse().ok()?;
                let gid = fields.next()?.parse().ok()?;
                Some(Self { name, uid, gid })
            })
            .find(|entry| entry.uid != 0 && fits(entry))
    }

    /// Lets a command run as this user, with its group and no others.
    pub(super) fn apply(&self, command: &mut Command) {
        // The standard library also empties the list of supplementary groups when a root process sets a user.
        command.uid(self.uid).gid(self.gid);
    }

    pub(super) fn own(&self, path: &Path) -> Result<(), ManagedError> {
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(|source| ManagedError::Folder { path: path.to_owned(), source })
    }

    /// Checks that this user may walk down to `dir`, and names the first folder that is closed to it.
    pub(super) fn check_reaches(&self, dir: &Path) -> Result<(), ManagedError> {
        const FIRST_CLOSED: &str =
            r#"for dir; do [ -x "$dir" ] || { printf %s "$dir"; exit 1; }; done"#;
        let mut ancestors: Vec<&Path> =
            dir.ancestors().filter(|a| !a.as_os_str().is_empty()).collect();
        ancestors.reverse();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(FIRST_CLOSED).arg("sh").args(ancestors);
        command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command);
        let output = command
            .output()
            .map_err(|source| ManagedError::Spawn { program: "/bin/sh".into(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let closed = PathBuf::from(String::from_utf8_lossy(&output.stdout).into_owned());
        Err(ManagedError::Unreachable { account: self.name.clone(), closed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken line\nsync:x:4:65534::/bin:/bin/sync\n\
        nobody:x:65534:65533:nobody:/:/usr/sbin/nologin\nevil:x:0:0::/:/bin/sh\n";

    #[test]
    fn users_are_found_by_name_and_number_and_never_root() {
        let nobody = Account { name: "nobody".to_owned(), uid: 65534, gid: 65533 };
        assert_eq!(Account::find(PASSWD, |entry| entry.name == "nobody"), Some(nobody));
        assert_eq!(Account::find(PASSWD, |entry| entry.uid == 4).unwrap().name, "sync");
        assert_eq!(Account::find(PASSWD, |entry| entry.name == "evil"), None);
        assert_eq!(Account::find(PASSWD, |entry| entry.name == "postgres"), None);
    }
}
