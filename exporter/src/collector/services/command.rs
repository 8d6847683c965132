//! The second way: `service NAME status`, as the scripts of System V and of `OpenRC` understand it.
//!
//! Scripts do as they please, so each is a process group of its own that is killed when its time is over.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use super::{Name, State};

/// Scripts at a time; they are shells, and a scrape must not be what a machine is busy with.
const SCRIPTS_MAX: usize = 4;
/// Of what a script says; the sentence that we look for comes first.
const SAID_BYTES_MAX: usize = 4096;
/// For what is still in the pipes of a script that has ended, when a child of it holds them open.
const LAST_WORDS_MAX: Duration = Duration::from_millis(50);
/// For a killed process to be gone; one that waits for a disk does not go at all.
const DEATH_MAX: Duration = Duration::from_millis(500);

/// The states of `names`, in their order; `None` where the command cannot be run or asked. All are back after
/// `patience`.
pub(super) async fn ask(command: &Path, names: &[Name], patience: Duration) -> Vec<Option<State>> {
    let deadline = Instant::now() + patience;
    let mut states = vec![None; names.len()];
    let mut waiting = names.iter().map(Name::of_service).enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < SCRIPTS_MAX
            && let Some((index, service)) = waiting.next()
        {
            let Some(service) = service else { continue };
            let script = script(command, service);
            running.spawn(async move { (index, run(script, deadline).await) });
        }
        match running.join_next().await {
            Some(Ok((index, state))) => states[index] = state,
            Some(Err(err)) => debug!("a script's task ended early: {err}"),
            None => return states,
        }
    }
}

fn script(command: &Path, service: &str) -> Command {
    let mut script = Command::new(command);
    script
        .args([service, "status"])
        // Nothing of ours, and the words that we look for in English.
        .env_clear()
        .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C"), ("TERM", "dumb")])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    script
}

async fn run(mut script: Command, deadline: Instant) -> Option<State> {
    if Instant::now() >= deadline {
        return Some(State::Timeout);
    }
    let mut child = match script.spawn() {
        Ok(child) => child,
        Err(err) => {
            debug!("run {script:?}: {err}");
            return None;
        }
    };
    match timeout_at(deadline, listen(&mut child)).await {
        Ok(Ok((status, said))) => Some(state(status, &said)),
        Ok(Err(err)) => {
            debug!("wait for {script:?}: {err}");
            kill(&mut child).await;
            None
        }
        Err(_) => {
            kill(&mut child).await;
            Some(State::Timeout)
        }
    }
}

/// Waits for its end, and for what it said until then.
async fn listen(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut said_of_errors) = (Vec::new(), Vec::new());
    let status = {
        let mut reading = std::pin::pin!(async {
            tokio::join!(read(out, &mut said), read(err, &mut said_of_errors));
        });
        let mut is_read = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut reading, if !is_read => is_read = true,
            }
        };
        if !is_read {
            let _ = timeout(LAST_WORDS_MAX, &mut reading).await;
        }
        status
    };
    said.push(b'\n');
    said.extend(said_of_errors);
    Ok((status, said))
}

/// Reads to the end, so that the script never waits for us, and keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut bytes = [0; 1024];
    while let Ok(n_bytes @ 1..) = from.read(&mut bytes).await {
        let n_kept = n_bytes.min(SAID_BYTES_MAX - kept.len());
        kept.extend_from_slice(&bytes[..n_kept]);
    }
}

/// Ends it with all its children that did not leave its group.
async fn kill(child: &mut Child) {
    let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(group) = group {
        // It cannot be another's by now: the number is free only after we waited for it.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = timeout(DEATH_MAX, child.wait()).await;
}

/// The codes of the Linux Standard Base, and above them `OpenRC`'s; `unrecognized service` comes with one of them.
///
/// <https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/iniscrptact.html>
fn state(status: ExitStatus, said: &[u8]) -> State {
    const NOBODY_HAS_IT: [&[u8]; 4] =
        [b"unrecognized service", b"does not exist", b"could not be found", b"not-found"];
    let Some(code) = status.code() else { return State::Error };
    let is_said = |words: &&[u8]| memchr::memmem::find(said, words).is_some();
    match code {
        0 => State::Running,
        _ if NOBODY_HAS_IT.iter().any(is_said) => State::NotFound,
        // Many scripts do not know the code of the next line.
        1 if [&b"not running"[..], b"stopped"].iter().any(is_said) => State::Stopped,
        // Dead, and its file with a process id or its lock is still there; crashed.
        1 | 2 | 32 => State::Error,
        3 => State::Stopped,
        _ => State::Unknown,
    }
}
