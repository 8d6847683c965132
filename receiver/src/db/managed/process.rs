//! The server process, tied to ours: whatever way we end, it is stopped.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{Durability, ManagedError, account::Account, binaries::Binaries, folder::Folder};

/// Between PostgreSQL and us stands this script. It holds the reading end of a pipe whose writing end only we have, so it
/// notices when we are gone, even by `kill -9`, and stops PostgreSQL as we would have.
///
/// Arguments: the signal that stops PostgreSQL, a folder to remove at the end or nothing, the command.
const SUPERVISOR: &str = r#"# Watchpost starts PostgreSQL through this and writes it anew each time.
signal=$1; remove=$2; shift 2
exec 3<&0 </dev/null
# A signal to the whole group or service must not end this script before PostgreSQL.
trap : INT TERM HUP
"$@" 3<&- &
postgres=$!
# Again and again: a shell starts what runs in the background with INT and QUIT ignored, and until PostgreSQL has its own
# handlers a signal is lost. Once it is stopping, it does not mind being asked twice.
( trap '' INT TERM HUP; read -r _ <&3; while kill -s "$signal" "$postgres"; do sleep 1; done ) 2>/dev/null &
watcher=$!
exec 3<&-
while :; do
    wait "$postgres"; code=$?
    kill -0 "$postgres" 2>/dev/null || break
done
kill -s KILL "$watcher" 2>/dev/null
[ -z "$remove" ] || rm -rf "$remove"
exit "$code"
"#;

/// How often an exit is looked for.
const POLL: Duration = Duration::from_millis(10);

/// How long dropping waits for the server's end, which usually takes a tenth of a second.
const DROP_MAX: Duration = Duration::from_secs(10);

/// A harder stop than the one that closing the pipe asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopSignal {
    Immediate,
    Kill,
}

/// The supervisor and, below it, PostgreSQL.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Option<Child>,
    pipe: Option<ChildStdin>,
}

/// Starts the server; it is not ready yet.
pub(super) fn spawn(
    binaries: &Binaries,
    folder: &Folder,
    account: Option<&Account>,
    durability: Durability,
) -> Result<Postmaster, ManagedError> {
    let start_log = folder.start_log();
    let log = File::create(&start_log)
        .map_err(|source| ManagedError::Folder { path: start_log, source })?;
    // In a file, so that a list of processes stays readable.
    let script = folder.supervisor();
    fs::write(&script, SUPERVISOR)
        .map_err(|source| ManagedError::Folder { path: script.clone(), source })?;
    let failed = |source| ManagedError::Spawn { program: binaries.postgres(), source };
    let (signal, remove) = match durability {
        Durability::Full => ("INT", PathBuf::new()),
        Durability::Throwaway => ("QUIT", folder.path().to_owned()),
    };
    let mut command = Command::new("/bin/sh");
    command.arg(script).arg(signal).arg(remove);
    command.arg(binaries.postgres()).arg("-D").arg(folder.data());
    // On the command line, not in a file: these must hold whatever the files say.
    command.args([
        "-c",
        "listen_addresses=",
        "-c",
        "unix_socket_permissions=0700",
        "-p",
        "5432",
        "-k",
    ]);
    command.arg(folder.socket_dir());
    clean_environment(&mut command);
    command.current_dir("/");
    // A group of its own: the terminal's Ctrl-C reaches us alone, and we stop things in order.
    command.process_group(0);
    command.stdin(Stdio::piped());
    command.stdout(log.try_clone().map_err(failed)?).stderr(log);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    let mut child = command.spawn().map_err(failed)?;
    let pipe = child.stdin.take();
    Ok(Postmaster { child: Some(child), pipe })
}

/// PostgreSQL's programs read their defaults from `PG…` variables, and speak the user's language.
pub(super) fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
}

impl Postmaster {
    /// Asks the server to stop as its durability wants: cleanly, or at once if it is thrown away.
    pub(super) fn release(&mut self) {
        self.pipe = None;
    }

    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Whether it has exited within `patience`.
    pub(super) async fn wait_exit(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Insists. `postgres` is the server's own process, as its pid file names it.
    pub(super) fn signal(&self, signal: StopSignal, postgres: Option<Pid>) {
        let group = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed()));
        // Failing means that the process is gone, which the caller sees by waiting.
        let _ = match (signal, postgres, group) {
            (StopSignal::Immediate, Some(postgres), _) => kill_process(postgres, Signal::QUIT),
            (StopSignal::Immediate, None, Some(group)) => kill_process_group(group, Signal::QUIT),
            (StopSignal::Kill, _, Some(group)) => kill_process_group(group, Signal::KILL),
            (_, _, None) => Ok(()),
        };
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.release();
        let Some(mut child) = self.child.take() else { return };
        let (ended, end) = mpsc::channel::<()>();
        // Whatever happens, somebody has to collect the ended process.
        std::thread::spawn(move || {
            let _ = child.wait();
            drop(ended);
        });
        // Only reached where a start is given up: its caller must be able to end right after without leaving us behind.
        let _ = end.recv_timeout(DROP_MAX);
    }
}
