//! A subscriber to live updates without a socket.

use std::time::{Duration, Instant};

use receiver::live::{Action, Hub, Session};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Watcher(Session);

impl Watcher {
    pub(crate) fn open(hub: &Hub) -> Self {
        Self(Session::open(hub).unwrap())
    }

    /// The next message, which has to come.
    pub(crate) async fn read(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.next(Instant::now()) {
                Action::Send(text) => return serde_json::from_slice(&text).unwrap(),
                Action::Close(close, _) => panic!("closed: {close:?}"),
                Action::Wait(_) => {
                    let woken = tokio::time::timeout_at(deadline.into(), self.0.woken()).await;
                    woken.expect("nothing came");
                }
            }
        }
    }

    pub(crate) async fn send(&mut self, request: Value) {
        if let Some(work) = self.0.handle(&request.to_string()) {
            self.0.done(work.await);
        }
    }
}
