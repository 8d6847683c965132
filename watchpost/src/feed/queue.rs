//! Scrapes that wait for the receiver: bounded, and the newest matter most.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::FeedMetrics;

/// All waiting bodies together. A machine's scrape has about 25 kB, so this is most of an hour at 5 s.
const BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    metrics: FeedMetrics,
}

#[derive(Debug, Default)]
struct State {
    bodies: VecDeque<Bytes>,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(metrics: FeedMetrics) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), metrics }
    }

    /// Adds the newest body; drops the oldest while there is no room.
    pub(super) fn push(&self, body: Bytes) {
        let mut state = self.state();
        state.bytes += body.len();
        state.bodies.push_back(body);
        while state.bytes > BYTES_MAX
            && state.bodies.len() > 1
            && let Some(dropped) = state.bodies.pop_front()
        {
            state.bytes -= dropped.len();
            self.metrics.dropped();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// No more bodies will come.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// The oldest body, which leaves the queue; `None` when all are gone and no more will come. For one reader.
    pub(super) async fn pop(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state();
                if let Some(body) = state.bodies.pop_front() {
                    state.bytes -= body.len();
                    return Some(body);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_make_room() {
        let metrics = FeedMetrics::default();
        let queue = Queue::new(metrics.clone());
        let size = BYTES_MAX / 4;
        for number in 0..6_u8 {
            queue.push(vec![number; size].into());
        }
        queue.close();
        let mut kept = Vec::new();
        while let Some(body) = queue.pop().await {
            kept.push(body[0]);
        }
        assert_eq!(kept, [2, 3, 4, 5]);
        assert_eq!(metrics.dropped_count(), 2);
    }

    #[tokio::test]
    async fn a_body_larger_than_the_queue_still_passes() {
        let queue = Queue::new(FeedMetrics::default());
        queue.push(vec![1; 10].into());
        queue.push(vec![2; BYTES_MAX + 1].into());
        assert_eq!(queue.pop().await.unwrap()[0], 2);
    }
}
