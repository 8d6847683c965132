//! From `main` to the first await: logs, runtime, signals, exit code.

use std::process::ExitCode;

use tracing::error;

use crate::{error, shutdown, shutdown::Shutdown, telemetry, telemetry::LogArgs};

/// How many worker threads a process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// A lean agent: everything on few threads, so that its memory stays small.
    Two,
    /// As many as the machine has cores.
    Cores,
}

/// Blocking work of a lean agent at a time: each is a thread, and a file system that hangs may hold some.
const BLOCKING_THREADS_OF_TWO: usize = 16;

/// Runs `main` until it returns, handing it the token that SIGINT and SIGTERM fire.
///
/// A second signal exits at once with code 130. SIGHUP is ignored unless the program offers a reload (see
/// [`crate::reload`]). An error is logged once, with its whole chain, and gives exit code 1.
pub fn run<F, Fut>(log: &LogArgs, threads: Threads, main: F) -> ExitCode
where
    F: FnOnce(Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    telemetry::init(log);
    #[cfg(unix)]
    raise_open_files_limit();
    // Both the HTTP client and the servers use this one provider of cryptography; a second call is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all();
    if threads == Threads::Two {
        builder.worker_threads(2).max_blocking_threads(BLOCKING_THREADS_OF_TWO);
    }
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(err) => {
            error!("start the async runtime: {err}");
            return ExitCode::FAILURE;
        }
    };
    let shutdown = Shutdown::new();
    let outcome = runtime.block_on(async {
        shutdown::fire_on_signals(shutdown.clone());
        main(shutdown).await
    });
    // Blocking work that is stuck (a hung mount) must not keep the process alive.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            error!("{}", error::chain(err.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Lets this process open as many files as the system allows it, as Go's runtime does: the usual soft limit of 1,024
/// exists only for programs that use `select(2)`.
#[cfg(unix)]
fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(err) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!("the limit of open files stays as it is: {err}");
        }
    }
}
