//! Sending what was scraped by remote write, from a queue on disk.
//!
//! ```text
//! scraper ──► Outbox ──► Queue (segments of files) ──► Sender ──► POST /api/v1/write
//! ```
//!
//! [`Args`] are the flags `--remote-write.…`, checked into a [`Config`]. [`open`] makes two halves of it: an [`Outbox`]
//! that takes what scrapes bring, and a [`Sender`] that delivers it. What was taken is on disk before it is sent, so a
//! receiver that is away for hours, and an agent that is killed meanwhile, cost nothing as long as the queue has room.
//! [`registration`] tells a receiver that we are here and hears which intervals it wants, and [`live`] shows more while
//! somebody watches. [`scraper::run`] scrapes a [`scraper::Source`] by the clock into an outbox, as a Prometheus would.
//!
//! The protocol is remote write 2.0, and 1.0 with receivers that do not speak it
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>).

mod args;
mod batch;
mod client;
pub mod live;
mod outbox;
mod queue;
pub mod registration;
pub mod schedule;
pub mod scraper;
mod sender;
mod stats;
mod version_two;

pub use args::{Args, ArgsError, Config, Defaults, Label, Registration};
pub use client::{Answer, Client, ClientError, Credentials};
pub use outbox::{OpenError, Outbox, open};
pub use queue::QueueError;
pub use reqwest::Url;
pub use sender::Sender;
pub use stats::Stats;

use service::Shutdown;
use tokio::sync::watch;

/// Scrapes one source into the queue and delivers it, until `shutdown` fires and the end of all series is on its way.
///
/// `intervals` may change at any time.
pub async fn run<S: scraper::Source>(
    source: S,
    config: &Config,
    intervals: watch::Receiver<registration::Intervals>,
    (outbox, sender): (Outbox, Sender),
    shutdown: Shutdown,
) {
    let target = proto::scrape::Target::new(&config.label_pairs());
    // Sending ends after scraping, which has a last word.
    let closing = Shutdown::new();
    let sending = tokio::spawn(sender.run(closing.clone()));
    scraper::run(source, target, intervals, outbox, shutdown).await;
    closing.fire();
    if let Err(err) = sending.await {
        tracing::error!("sending ended early: {err}");
    }
}
