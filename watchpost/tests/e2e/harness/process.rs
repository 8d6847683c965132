//! A child process with its output in files, killed when its test ends.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// The executable under test.
pub(crate) fn watchpost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    // The developer's own settings must not reach the tests.
    command.env_remove("DATABASE_URL");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHPOST_")) {
        command.env_remove(name);
    }
    command
}

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; standard output goes to `<name>-<n>.out` in `folder`, standard error to `<name>-<n>.log`, where
    /// `n` tells one start from another.
    pub(crate) fn start(name: &str, folder: &Path, mut command: Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let output = folder.join(format!("{name}-{n}.out"));
        let log = folder.join(format!("{name}-{n}.log"));
        let open = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        command.stdin(Stdio::null()).stdout(open(&output)).stderr(open(&log));
        // Signals that a test sends must reach this process alone.
        command.process_group(0);
        let child = command.spawn().unwrap_or_else(|err| panic!("start {command:?}: {err}"));
        Self { name: name.to_owned(), child, output, log }
    }

    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What follows `marker` on its line, as soon as standard output or the log has it.
    pub(crate) async fn says(&mut self, marker: &str) -> String {
        loop {
            let text = format!("{}{}", self.output(), self.log());
            if let Some(line) = text.lines().find(|line| line.contains(marker)) {
                let at = line.find(marker).unwrap() + marker.len();
                return line[at..].trim().to_owned();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status} before it said `{marker}`:\n{text}", self.name);
            }
            tokio::time::sleep(super::POLL).await;
        }
    }

    /// Where it listens, as soon as its log says so.
    pub(crate) async fn address(&mut self) -> String {
        let rest = self.says("listening on ").await;
        rest.split([' ', '"']).next().unwrap_or_default().to_owned()
    }

    /// Sends a signal such as `INT` or `KILL`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        for _ in 0..1200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(super::POLL).await;
        }
        panic!("{} does not end:\n{}", self.name, self.log());
    }

    /// Ends it in order and checks that it thinks so too.
    pub(crate) async fn stop(mut self) {
        self.signal("INT");
        let status = self.exit().await;
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.signal("KILL");
        assert_eq!(self.exit().await.signal(), Some(9));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until no process works in `folder` any more.
#[cfg(target_os = "linux")]
pub(crate) async fn nothing_runs_in(folder: &Path) {
    super::until(&format!("nothing runs in {}", folder.display()), async || {
        let left = fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
            let cwd = fs::read_link(entry.path().join("cwd"));
            cwd.is_ok_and(|cwd| cwd.starts_with(folder))
        });
        (!left).then_some(())
    })
    .await;
}

#[cfg(not(target_os = "linux"))]
pub(crate) async fn nothing_runs_in(_folder: &Path) {
    eprintln!("SKIPPED: whether processes are left is only checked on Linux");
}
