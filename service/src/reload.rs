//! Reloading the configuration of a running program: by SIGHUP, by `/-/reload`, or by another part of it.
//!
//! ```no_run
//! # async fn example(metrics: service::Metrics, shutdown: service::Shutdown) {
//! let (reload, requests) = service::reload::channel();
//! let gauges = metrics.reload("watchpost_demo");
//! tokio::spawn(requests.serve(gauges, shutdown, async || {
//!     // Read and check the file, then swap: all of it or, on an error, nothing.
//!     anyhow::Ok(())
//! }));
//! # let _ = reload;
//! # }
//! ```

use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::{Shutdown, error, metrics::ReloadMetrics};

/// Callers that may wait for a reload at a time; a reload serves them one after another.
const WAITING_MAX: usize = 4;

/// Asks for a reload. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<oneshot::Sender<Result<(), String>>>);

/// Where the program receives what was asked. There is one.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<oneshot::Sender<Result<(), String>>>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReloadError {
    /// The configuration before it stays in force. The text is fit for whoever may reload.
    #[error("the new configuration was refused: {reason}")]
    Refused { reason: String },
    #[error("a reload is under way: try again")]
    Busy,
    #[error("the program is stopping")]
    Stopping,
}

/// Makes the two ends, and from now on turns SIGHUP into a request. Needs a running runtime.
pub fn channel() -> (Reload, Requests) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let reload = Reload(sender);
    #[cfg(unix)]
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        // Made here and not in the task, so that no signal is missed until the task runs.
        Ok(hangups) => drop(tokio::spawn(forward_hangups(hangups, reload.clone()))),
        Err(err) => tracing::warn!("SIGHUP cannot be watched and will not reload: {err}"),
    }
    (reload, Requests(receiver))
}

#[cfg(unix)]
async fn forward_hangups(mut hangups: tokio::signal::unix::Signal, reload: Reload) {
    loop {
        tokio::select! {
            received = hangups.recv() => if received.is_none() { return },
            // The receiving end is gone, and nobody would hear.
            () = reload.0.closed() => return,
        }
        // The outcome is logged where it happens; here nobody waits for it.
        let _ = reload.request().await;
    }
}

impl Reload {
    /// Asks for a reload and waits for its outcome.
    pub async fn request(&self) -> Result<(), ReloadError> {
        let (answer, outcome) = oneshot::channel();
        self.0.try_send(answer).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => ReloadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReloadError::Stopping,
        })?;
        match outcome.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(ReloadError::Refused { reason }),
            Err(_) => Err(ReloadError::Stopping),
        }
    }
}

impl Requests {
    /// Runs `reload` for each request until `shutdown` fires, one at a time, and logs and counts the outcome.
    pub async fn serve(
        mut self,
        metrics: ReloadMetrics,
        shutdown: Shutdown,
        mut reload: impl AsyncFnMut() -> anyhow::Result<()>,
    ) {
        loop {
            let answer = tokio::select! {
                answer = self.0.recv() => answer,
                () = shutdown.fired() => None,
            };
            let Some(answer) = answer else { return };
            let outcome = match reload().await {
                Ok(()) => {
                    metrics.succeeded(SystemTime::now());
                    info!("configuration reloaded");
                    Ok(())
                }
                Err(err) => {
                    metrics.failed();
                    let reason = error::chain(err.as_ref());
                    error!("reload configuration: {reason}; the one before it stays in force");
                    Err(reason)
                }
            };
            // Whoever asked may have gone away.
            let _ = answer.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::Metrics;

    #[tokio::test]
    async fn the_outcome_comes_back_and_is_counted() {
        let metrics = Metrics::new("demo");
        let gauges = metrics.reload("demo");
        gauges.succeeded(SystemTime::now());
        let (reload, requests) = channel();
        let n_reloads = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&n_reloads);
        let shutdown = Shutdown::new();
        let server = tokio::spawn(requests.serve(gauges, shutdown.clone(), async move || {
            match count.fetch_add(1, Ordering::SeqCst) {
                1 => anyhow::bail!("demo.yml:1:1: unknown key `x`"),
                _ => Ok(()),
            }
        }));
        assert_eq!(reload.request().await, Ok(()));
        let refused = ReloadError::Refused { reason: "demo.yml:1:1: unknown key `x`".to_owned() };
        assert_eq!(reload.request().await, Err(refused));
        assert!(metrics.text().contains("demo_config_last_reload_successful 0\n"));
        assert_eq!(reload.request().await, Ok(()));
        assert!(metrics.text().contains("demo_config_last_reload_successful 1\n"));
        shutdown.fire();
        server.await.unwrap();
        assert_eq!(reload.request().await, Err(ReloadError::Stopping));
        assert_eq!(n_reloads.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn those_who_wait_are_bounded() {
        let (reload, requests) = channel();
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let reload = reload.clone();
                tokio::spawn(async move { reload.request().await })
            })
            .collect();
        while reload.0.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reload.request().await, Err(ReloadError::Busy));
        drop(requests);
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap(), Err(ReloadError::Stopping));
        }
    }
}
