//! The end of the queue that scrapes write to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::remote_write::v1::WriteRequest;
use tokio::sync::Notify;
use tracing::error;

use crate::{
    args::Config,
    batch,
    client::{Client, ClientError},
    queue::{Queue, QueueError},
    sender::Sender,
    stats::Stats,
};

/// Takes what is to be sent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Shared>);

/// What outbox and sender have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    pub(crate) more: Notify,
    pub(crate) stats: Arc<Stats>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Opens the queue with what waits in it, and reads the credentials. Blocks on the disk.
pub fn open(config: &Config) -> Result<(Outbox, Sender), OpenError> {
    let stats = Stats::new(&config.program, config.queue_bytes);
    let client = Client::new(config.credentials.clone(), config.timeout)?;
    let queue = Queue::open(&config.queue_dir, config.queue_bytes, Arc::clone(&stats))?;
    let shared = Arc::new(Shared { queue: Mutex::new(queue), more: Notify::new(), stats });
    let sender = Sender::new(Arc::clone(&shared), client, config);
    Ok((Outbox(shared), sender))
}

impl Outbox {
    /// Takes what a scrape brought: when this returns, a killed program does not lose it.
    pub async fn push(&self, request: WriteRequest) {
        let shared = Arc::clone(&self.0);
        let pushed = tokio::task::spawn_blocking(move || {
            for packed in batch::pack(request) {
                shared.stats.queued(packed.newest_ms);
                shared.queue().push(packed.payload, packed.samples);
            }
        });
        if let Err(err) = pushed.await {
            error!("put a scrape into the queue: {err}");
        }
        self.0.more.notify_one();
    }

    pub fn stats(&self) -> &Arc<Stats> {
        &self.0.stats
    }
}

impl Shared {
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
