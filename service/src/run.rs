//! From `main` to the first await: logs, runtime, signals, exit code.

use std::process::ExitCode;

use tracing::{error, info, warn};

use crate::{error, shutdown::Shutdown, telemetry, telemetry::LogArgs};

/// How many worker threads a process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// A lean agent: everything on few threads, so that its memory stays small.
    Two,
    /// As many as the machine has cores.
    Cores,
}

/// Runs `main` until it returns, handing it the token that SIGINT and SIGTERM fire.
///
/// A second signal exits at once with code 130. An error is logged once, with its whole chain, and gives exit code 1.
pub fn run<F, Fut>(log: &LogArgs, threads: Threads, main: F) -> ExitCode
where
    F: FnOnce(Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    telemetry::init(log);
    // Both the HTTP client and the servers use this one provider of cryptography; a second call is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all();
    if threads == Threads::Two {
        builder.worker_threads(2).max_blocking_threads(16);
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
        tokio::spawn(watch_signals(shutdown.clone()));
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

async fn watch_signals(shutdown: Shutdown) {
    wait_for_signal().await;
    info!("stopping; a second signal exits at once");
    shutdown.fire();
    wait_for_signal().await;
    warn!("second signal: exiting at once");
    std::process::exit(130);
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        warn!("signals cannot be watched: stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
