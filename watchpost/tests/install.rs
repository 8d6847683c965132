//! `deploy/install.sh` below a folder of its own, with an archive that `deploy/archive.sh` made of stand-ins: the same however
//! often it runs, nothing before the checksum is right, and gone again.
#![cfg(target_os = "linux")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const PROGRAMS: [&str; 4] =
    ["watchpost", "watchpost-exporter", "watchpost-receiver", "watchpost-blackbox"];

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// A release of stand-ins for this machine, in `folder`.
fn release(folder: &Path, content: &str) -> PathBuf {
    let programs = folder.join("programs");
    fs::create_dir_all(&programs).unwrap();
    for name in PROGRAMS {
        fs::write(programs.join(name), content).unwrap();
        fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let release = folder.join("release");
    let mut archive = Command::new("sh");
    archive.arg(script("archive.sh")).arg(programs);
    archive.args([std::env::consts::ARCH, env!("CARGO_PKG_VERSION")]).arg(&release);
    assert!(archive.status().unwrap().success());
    release
}

fn install(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.arg(script("install.sh")).arg("--root").arg(root).args(arguments);
    command.output().unwrap()
}

#[track_caller]
fn says(output: &Output, words: &str) {
    let all = [&*output.stdout, &output.stderr].concat();
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains(words), "{text}");
}

#[test]
fn installing_twice_is_installing_once_and_settings_survive() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let first = release(folder.path(), "one");
    let place = first.to_str().unwrap().to_owned();
    let arguments = ["--part", "receiver", "--from", &place];
    let output = install(&root, &arguments);
    assert!(output.status.success(), "{output:?}");
    says(&output, "is installed as");
    let program = root.join("usr/local/bin/watchpost-receiver");
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    let unit = fs::read_to_string(root.join("etc/systemd/system/watchpost-receiver.service"));
    assert!(unit.unwrap().contains("\nExecStart=/usr/local/bin/watchpost-receiver\n"));
    // The address of the database has a password in it.
    let settings = root.join("etc/default/watchpost-receiver");
    assert_eq!(fs::metadata(&settings).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&settings, "DATABASE_URL=postgres://x").unwrap();
    says(&install(&root, &arguments), "is installed already");

    release(folder.path(), "two");
    says(&install(&root, &arguments), "is installed as");
    assert_eq!(fs::read_to_string(&program).unwrap(), "two");
    assert_eq!(fs::read_to_string(&settings).unwrap(), "DATABASE_URL=postgres://x");

    let gone = install(&root, &["--part", "receiver", "--uninstall"]);
    assert!(gone.status.success() && !program.exists() && settings.exists(), "{gone:?}");
    let purged = install(&root, &["--part", "receiver", "--uninstall", "--purge"]);
    assert!(purged.status.success() && !settings.exists(), "{purged:?}");
}

#[test]
fn a_wrong_checksum_installs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let place = release(folder.path(), "one");
    let arguments = ["--from", place.to_str().unwrap()];
    for entry in fs::read_dir(&place).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "gz") {
            fs::write(&path, "something else").unwrap();
        }
    }
    let output = install(&root, &arguments);
    assert!(!output.status.success());
    says(&output, "the checksum of watchpost-");
    fs::write(place.join("SHA256SUMS"), "").unwrap();
    let output = install(&root, &arguments);
    assert!(!output.status.success());
    says(&output, "SHA256SUMS has no line for");
    assert!(!root.exists());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["--part", "everything"][..], "there is no part 'everything'"),
        (&["--purge"], "--purge belongs to --uninstall"),
        (&["--part"], "--part wants a value"),
        (&["--from", "/nowhere"], "/nowhere/SHA256SUMS is not there"),
        (&["--fast"], "usage: sh install.sh"),
    ] {
        let output = install(folder.path(), arguments);
        assert!(!output.status.success(), "{arguments:?}");
        says(&output, words);
    }
}
