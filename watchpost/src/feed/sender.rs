//! From the queue into the receiver, one body at a time, each as often as it takes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tracing::{info, warn};

use super::{FeedMetrics, queue::Queue};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Why a body was not taken; the text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// The same body may be taken later.
    Later(String),
    /// It never will be.
    Never(String),
}

/// Takes remote write 1.0 bodies: the receiver, or a test.
pub trait Sink: Clone + Send + Sync + 'static {
    fn write(&self, block: Bytes) -> impl Future<Output = Result<(), WriteFailure>> + Send;
}

impl Sink for receiver::ingest::Ingest {
    async fn write(&self, block: Bytes) -> Result<(), WriteFailure> {
        match self.write_v1(block).await {
            Ok(written) if written.refusals.is_empty() => Ok(()),
            Ok(written) => Err(WriteFailure::Never(written.explain())),
            Err(err) => {
                let text = service::error::chain(&err);
                Err(match err.outlook() {
                    receiver::db::sqlstate::Outlook::MayPass => WriteFailure::Later(text),
                    receiver::db::sqlstate::Outlook::NeverPasses => WriteFailure::Never(text),
                })
            }
        }
    }
}

/// Sends until the queue is closed and empty.
pub(super) async fn run<S: Sink>(queue: Arc<Queue>, sink: S, metrics: FeedMetrics) {
    let mut is_away = false;
    while let Some(body) = queue.pop().await {
        let mut pause = RETRY_FIRST;
        loop {
            match sink.write(body.clone()).await {
                Ok(()) => {
                    if is_away {
                        info!("own scrapes are stored again");
                        is_away = false;
                    }
                    break;
                }
                Err(WriteFailure::Never(reason)) => {
                    metrics.refused();
                    warn!(
                        "own scrapes are not stored in full: {}",
                        reason.trim().replace('\n', "; ")
                    );
                    break;
                }
                Err(WriteFailure::Later(reason)) => {
                    metrics.retried();
                    // Once an outage, not once a try.
                    if !is_away {
                        warn!("own scrapes wait for the database: {reason}");
                        is_away = true;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }
}
