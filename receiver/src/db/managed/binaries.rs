//! Finding the PostgreSQL server programs of this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{MAJOR_MIN, ManagedError, advice};

/// A folder with `postgres` and `initdb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
    /// `15.8`
    pub(super) version: String,
}

/// Where distributions and installers put server programs; `*` stands for one folder of any name.
const PLACES: [&str; 10] = [
    "/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
    "/usr/pgsql-*/bin",                  // PGDG packages of RHEL and Fedora
    "/usr/lib/postgresql*/bin",          // openSUSE
    "/usr/lib64/postgresql-*/bin",       // Gentoo
    "/usr/libexec/postgresql*",          // Alpine
    "/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
    "/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin", // built from source
];

impl Binaries {
    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    /// What lies in `dir`, if that is a PostgreSQL server.
    fn read(dir: &Path) -> Option<Self> {
        // Links such as /usr/local/bin/postgres lead to where the shared files lie beside the programs.
        let postgres = fs::canonicalize(dir.join("postgres")).ok()?;
        let dir = postgres.parent()?.to_owned();
        if !dir.join("initdb").exists() {
            return None;
        }
        let output = Command::new(&postgres)
            .arg("--version")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        let major = version.split('.').next()?.parse().ok()?;
        Some(Self { dir, major, version })
    }
}

/// `postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)` → `15.8`, `postgres (PostgreSQL) 18beta1` → `18`.
fn parse_version(line: &str) -> Option<String> {
    let rest = line.split("(PostgreSQL) ").nth(1)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest[..end].trim_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

/// All servers of this machine, or only the one in `bin_dir`; `fetched` holds those that we fetched ourselves.
pub(super) fn search(bin_dir: Option<&Path>, fetched: &Path) -> Vec<Binaries> {
    let dirs: Vec<PathBuf> = match bin_dir {
        Some(dir) => vec![dir.to_owned()],
        None => env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .chain(PLACES.iter().flat_map(|pattern| expand(pattern)))
            .chain(expand(&format!("{}/*/bin", fetched.display())))
            .collect(),
    };
    let mut found: Vec<Binaries> = Vec::new();
    for dir in dirs {
        if let Some(binaries) = Binaries::read(&dir)
            && found.iter().all(|known| known.dir != binaries.dir)
        {
            found.push(binaries);
        }
    }
    found
}

/// The version that made the data decides; for new data the newest.
pub(super) fn choose(
    found: Vec<Binaries>,
    wanted: Option<u32>,
    data: &Path,
) -> Result<Binaries, ManagedError> {
    let mut majors: Vec<u32> = found.iter().map(|b| b.major).collect();
    majors.sort_unstable();
    majors.dedup();
    let newest = majors.last().copied().filter(|major| *major >= MAJOR_MIN);
    match (wanted.or(newest), wanted) {
        (None, _) => Err(ManagedError::NotInstalled { advice: advice::install(None) }),
        (Some(major), wanted) => match found.into_iter().find(|b| b.major == major) {
            Some(binaries) => Ok(binaries),
            None => {
                let installed = match majors.as_slice() {
                    [] => "none installed".to_owned(),
                    some => format!(
                        "only {}",
                        some.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
                    ),
                };
                Err(ManagedError::WrongMajor {
                    folder: data.to_owned(),
                    found: major,
                    installed,
                    advice: advice::install(wanted),
                })
            }
        },
    }
}

/// The existing folders that fit a pattern with at most one `*`, in order of their names.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = fs::read_dir(format!("{parent}/")) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| PathBuf::from(format!("{}{after}", entry.path().display())))
        .filter(|dir| dir.is_dir())
        .collect();
    dirs.sort();
    dirs
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions() {
        for (line, version) in [
            ("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n", Some("15.8")),
            ("postgres (PostgreSQL) 18beta1\n", Some("18")),
            ("postgres (PostgreSQL) 17.0\n", Some("17.0")),
            ("postgres (EnterpriseThing) 1\n", None),
            ("", None),
        ] {
            assert_eq!(parse_version(line).as_deref(), version, "{line}");
        }
    }

    /// A folder that looks like PostgreSQL `version` to us.
    fn fake(parent: &Path, name: &str, version: &str) -> PathBuf {
        let dir = parent.join(name).join("bin");
        fs::create_dir_all(&dir).unwrap();
        for program in ["postgres", "initdb"] {
            let path = dir.join(program);
            fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    #[test]
    fn the_newest_is_taken_unless_the_data_asks_for_another() {
        let temp = tempfile::tempdir().unwrap();
        let found: Vec<Binaries> = [("a", "15.8"), ("b", "17.2"), ("c", "9.6")]
            .iter()
            .map(|(name, version)| Binaries::read(&fake(temp.path(), name, version)).unwrap())
            .collect();
        let data = temp.path().join("data");
        assert_eq!(choose(found.clone(), None, &data).unwrap().version, "17.2");
        assert_eq!(choose(found.clone(), Some(15), &data).unwrap().version, "15.8");
        let text = choose(found.clone(), Some(16), &data).unwrap_err().to_string();
        assert!(
            text.contains("was made by PostgreSQL 16") && text.contains("here is only 9, 15, 17"),
            "{text}"
        );
        let text = choose(found[2..].to_vec(), None, &data).unwrap_err().to_string();
        assert!(
            text.contains("no PostgreSQL server from version 14 on is installed: install"),
            "{text}"
        );
        assert!(choose(Vec::new(), None, &data).is_err());
    }

    #[test]
    fn patterns_expand_to_folders_in_order() {
        let temp = tempfile::tempdir().unwrap();
        fake(temp.path(), "pgsql-16", "16.1");
        fake(temp.path(), "pgsql-15", "15.1");
        fs::write(temp.path().join("pgsql-file"), "").unwrap();
        let root = temp.path().display();
        let expected: Vec<PathBuf> =
            ["15", "16"].iter().map(|n| format!("{root}/pgsql-{n}/bin").into()).collect();
        assert_eq!(expand(&format!("{root}/pgsql-*/bin")), expected);
        assert_eq!(expand("/no/such/*/bin"), Vec::<PathBuf>::new());
        let searched = search(Some(&expected[0]), temp.path());
        assert_eq!(searched.len(), 1);
        assert_eq!(searched[0].major, 15);
    }
}
