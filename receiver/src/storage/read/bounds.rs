//! How much and how long somebody may read.

use tokio::{sync::watch, time::Instant};

use crate::storage::ReadError;

/// How much and how long somebody may read.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// When reading ends, whether it is done or not.
    pub deadline: Option<Instant>,
    /// Samples that a reader holds at a time, within a small multiple; those of one pack are held together.
    pub samples_max: usize,
    /// Series of one selector.
    pub series_max: usize,
    /// Ends reading when it becomes true.
    pub cancelled: Option<watch::Receiver<bool>>,
}

impl Default for Bounds {
    /// As much as there is; each statement within its usual time.
    fn default() -> Self {
        Self {
            deadline: None,
            samples_max: usize::MAX,
            series_max: usize::MAX - 1,
            cancelled: None,
        }
    }
}

impl Bounds {
    /// Waits for something, within these bounds.
    pub(super) async fn wait<T>(&self, something: impl Future<Output = T>) -> Result<T, ReadError> {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let cancelled = async {
            let asked = match self.cancelled.clone() {
                Some(mut cancelled) => cancelled.wait_for(|is| *is).await.is_ok(),
                None => false,
            };
            // Nobody is left who could cancel.
            if !asked {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            outcome = something => Ok(outcome),
            () = deadline => Err(ReadError::TimedOut),
            () = cancelled => Err(ReadError::Cancelled),
        }
    }

    /// Whether to go on, for work that waits for nothing.
    pub fn check(&self) -> Result<(), ReadError> {
        if self.cancelled.as_ref().is_some_and(|cancelled| *cancelled.borrow()) {
            return Err(ReadError::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(ReadError::TimedOut),
            _ => Ok(()),
        }
    }
}
