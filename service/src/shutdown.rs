//! Stopping: one token for the whole process, fired by a signal or by whoever started us.

use tokio_util::sync::CancellationToken;

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
