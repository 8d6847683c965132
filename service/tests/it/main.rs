//! The service crate from outside: real sockets, certificates, signals and processes.
//!
//! Each test serves on port 0 of 127.0.0.1 and stops what it started. Clients are reqwest, and bare TCP where a
//! client must misbehave. Nothing sleeps for a fixed time to wait for something: see [`eventually`].

mod drain;
mod passwords;
mod process;
mod server;
mod tls;

use std::time::{Duration, Instant};

/// Far beyond what a busy machine needs; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tries until it holds.
async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
