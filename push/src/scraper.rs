//! Scraping by the clock, as a Prometheus would, into an outbox or another sink.

use std::time::{Duration, Instant};

use proto::{
    exposition::Exposition,
    remote_write::v1::WriteRequest,
    scrape::{self, Target},
};
use service::Shutdown;
use tokio::{sync::watch, time::timeout_at};

use crate::{
    outbox::Outbox,
    registration::Intervals,
    schedule::{self, Schedule},
};

/// Of a scrape, as Prometheus' own default; less where the interval is shorter.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the kind and help of every metric is told again; Prometheus does it as often.
pub const METADATA_EVERY: Duration = Duration::from_secs(60);

/// Something that answers with an exposition.
pub trait Source: Send + 'static {
    /// What it says until `deadline`; `None` if it cannot even be asked. Cancel-safe.
    fn scrape(&mut self, deadline: Instant) -> impl Future<Output = Option<Exposition>> + Send;

    /// Takes the memory of an answer back.
    fn recycle(&self, exposition: Exposition) {
        drop(exposition);
    }
}

/// Takes what scrapes bring.
pub trait Sink: Send + Sync {
    fn push(&self, request: WriteRequest) -> impl Future<Output = ()> + Send;

    /// Hears how a scrape ended, before what it brought is pushed.
    fn scraped(&self, how: Scraped) {
        let _ = how;
    }
}

impl Sink for Outbox {
    async fn push(&self, request: WriteRequest) {
        Self::push(self, request).await;
    }
}

/// How a scrape ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scraped {
    Answered,
    Failed,
    TimedOut,
}

service::label_values!(Scraped);

/// Scrapes `source` until `shutdown` fires; then all its series end. The intervals may change at any time.
pub async fn run<S: Source>(
    mut source: S,
    mut target: Target,
    mut intervals: watch::Receiver<Intervals>,
    sink: impl Sink,
    shutdown: Shutdown,
) {
    let mut schedule = Schedule::new(intervals.borrow_and_update().stored);
    let mut told_metadata: Option<Instant> = None;
    loop {
        let at_ms = tokio::select! {
            () = shutdown.fired() => break,
            // An error means that nobody changes it any more.
            Ok(()) = intervals.changed() => {
                schedule.change(intervals.borrow_and_update().stored);
                continue;
            }
            at_ms = schedule.next() => at_ms,
        };
        let begun = Instant::now();
        let deadline = begun + SCRAPE_TIMEOUT.min(schedule.interval());
        let answer = tokio::select! {
            () = shutdown.fired() => break,
            answer = timeout_at(deadline.into(), source.scrape(deadline)) => answer,
        };
        sink.scraped(match &answer {
            Ok(Some(_)) => Scraped::Answered,
            Ok(None) => Scraped::Failed,
            Err(_) => Scraped::TimedOut,
        });
        let request = match answer {
            Ok(Some(exposition)) => {
                let mut request = target.scraped(&exposition, at_ms, begun.elapsed());
                if told_metadata.is_none_or(|told| told.elapsed() >= METADATA_EVERY) {
                    request.metadata = scrape::metadata(&exposition);
                    told_metadata = Some(Instant::now());
                }
                source.recycle(exposition);
                request
            }
            Ok(None) | Err(_) => target.failed(at_ms, begun.elapsed()),
        };
        sink.push(request).await;
    }
    sink.push(target.ended(schedule::now_ms())).await;
}
