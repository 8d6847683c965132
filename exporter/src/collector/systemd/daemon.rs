//! A bus for tests, on which they let a systemd of their own answer.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A bus in a folder of its own, ended when dropped.
pub(in crate::collector) struct Daemon {
    process: Child,
    pub(in crate::collector) address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon {
    /// `None`, and a line that says so, where no `dbus-daemon` is installed.
    pub(in crate::collector) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let started = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .arg(format!("--address=unix:path={}/bus", folder.path().display()))
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            println!(
                "SKIPPED: dbus-daemon cannot be started; install it to test what asks systemd"
            );
            return None;
        };
        let mut address = String::new();
        // Written when the bus is ready.
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Some(Self { process, address: address.trim().to_owned(), _folder: folder })
    }
}
