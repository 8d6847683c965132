//! Where everything lies: a small file system of its own, so that a disk can be full without the machine's being so.

use std::{
    env, fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

const INSIDE: &str = "WATCHPOST_LEDGER_INSIDE";
/// Enough for a cluster and what the senders write; little enough to fill at once.
const SIZE: &str = "size=1g";

/// Whether this process may mount: if not, the test is run again by one that may, and its outcome is taken.
pub(crate) fn entered(module: &str, test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let allowed = Command::new("unshare").args(["-m", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: the disk is never full, as this process may not mount (run as root)");
        return true;
    }
    // The tests of an integration test's root have no path.
    let name =
        module.split_once("::").map_or_else(|| test.to_owned(), |(_, m)| format!("{m}::{test}"));
    let status = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(env::current_exe().expect("this test is a file"))
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "mounted")
        .status()
        .expect("unshare was just run");
    assert!(status.success(), "inside of its own mounts the test ended with {status}");
    false
}

pub(crate) struct Room {
    folder: TempDir,
    mounted: bool,
}

impl Room {
    pub(crate) fn open() -> Self {
        let folder = receiver::db::testing::folder();
        let mut mounted = false;
        if env::var_os(INSIDE).is_some_and(|how| how == "mounted") {
            let mut mount = Command::new("mount");
            let mount = mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder.path());
            let output = mount.output().expect("mount can be run");
            assert!(output.status.success(), "mount: {output:?}");
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder.path(), open).expect("our own folder");
            mounted = true;
        }
        Self { folder, mounted }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves no byte free. `false`: that would be the machine's disk.
    pub(crate) fn fill(&self) -> bool {
        if !self.mounted {
            return false;
        }
        let mut filler = fs::File::create(self.filler()).expect("our own folder");
        // Ends with the first error, which is the point.
        for size in [1 << 20, 1 << 12, 1] {
            let piece = vec![1; size];
            while filler.write_all(&piece).is_ok() {}
        }
        true
    }

    pub(crate) fn clear(&self) {
        // There is none where the disk was not filled.
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.mounted {
            // Its namespace goes with this process; unmounting lets the folder be removed.
            let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        }
    }
}
