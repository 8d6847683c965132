//! Stopping: one token for the whole process, fired by a signal or by whoever started us.

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Tells tasks that the process should stop. Cheap to clone; all clones fire together.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody to stop. Idempotent.
    pub fn fire(&self) {
        self.0.cancel();
    }

    pub fn is_fired(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when stopping has been asked for. Cancel-safe.
    pub async fn fired(&self) {
        self.0.cancelled().await;
    }

    /// A token that fires with this one, and alone when fired itself: for a part that can be stopped early.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

/// What a shell reports for a process that SIGINT ended.
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// Fires `shutdown` on SIGINT or SIGTERM; exits the process at once on the next one, so that a program that hangs
/// while stopping can still be stopped from the keyboard.
///
/// The signals are watched when this returns, and by the same streams until the end: a stream sees only signals that
/// arrive after its making, so one made between the first and the second signal could miss the second.
pub(crate) fn fire_on_signals(shutdown: Shutdown) {
    let Some(mut signals) = Signals::watch() else { return };
    tokio::spawn(async move {
        let name = signals.next().await;
        info!(signal = name, "stopping; a second signal exits at once");
        shutdown.fire();
        let name = signals.next().await;
        warn!(signal = name, "second signal: exiting at once");
        std::process::exit(EXIT_CODE_INTERRUPTED);
    });
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Only so that it no longer kills: a program that reloads makes a stream of its own.
        let hangup = signal(SignalKind::hangup());
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), hangup) {
            (Ok(interrupt), Ok(terminate), Ok(_)) => Some(Self { interrupt, terminate }),
            (Err(err), _, _) | (_, Err(err), _) | (_, _, Err(err)) => {
                warn!("signals cannot be watched, stop this process with SIGKILL: {err}");
                None
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(windows)]
struct Signals {
    ctrl_c: tokio::signal::windows::CtrlC,
    ctrl_break: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    fn watch() -> Option<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        match (ctrl_c(), ctrl_break(), ctrl_close(), ctrl_shutdown()) {
            (Ok(ctrl_c), Ok(ctrl_break), Ok(close), Ok(shutdown)) => {
                Some(Self { ctrl_c, ctrl_break, close, shutdown })
            }
            _ => {
                warn!("console signals cannot be watched: end this process in the task manager");
                None
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.ctrl_c.recv() => "Ctrl-C",
            _ = self.ctrl_break.recv() => "Ctrl-Break",
            _ = self.close.recv() => "close",
            _ = self.shutdown.recv() => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_fires_with_its_parent_and_alone() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.fire();
        first.fired().await;
        assert!(!parent.is_fired() && !second.is_fired());
        parent.fire();
        parent.fire();
        second.fired().await;
        assert!(parent.clone().is_fired());
    }
}
