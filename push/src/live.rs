//! What is sampled more often while somebody watches: shown by the receiver and not stored.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proto::{
    remote_write::{Message, V1_CONTENT_TYPE},
    scrape::Target,
    snappy,
};
use reqwest::{Method, Url};
use serde::Deserialize;
use service::Shutdown;
use tokio::{sync::watch, time::timeout_at};
use tracing::debug;

use crate::{
    client::Client,
    registration::Intervals,
    schedule::{self, Schedule},
    scraper::Source,
};

const PATH: &str = "/api/v1/agents/live";
/// Of looking: less than this is what somebody who watches notices.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);
/// After a request that failed; the next registration says whether anybody watches still.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Reply {
    data: Watched,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    is_watched: bool,
}

/// Samples `source` while `intervals` says that somebody watches, until `shutdown` fires.
pub async fn run<S: Source>(
    mut source: S,
    labels: Vec<(String, String)>,
    client: Arc<Client>,
    receiver: Url,
    intervals: watch::Sender<Intervals>,
    shutdown: Shutdown,
) {
    let mut url = receiver;
    url.set_path(PATH);
    let instance = labels.iter().find(|(name, _)| name == "instance");
    let instance = instance.map_or_else(String::new, |(_, value)| value.clone());
    url.query_pairs_mut().append_pair("instance", &instance);
    let mut changes = intervals.subscribe();
    loop {
        let watching = async {
            // The sender is ours, so this ends only with a value.
            let _ = changes.wait_for(|held| held.is_watched).await;
        };
        tokio::select! {
            () = shutdown.fired() => return,
            () = watching => {}
        }
        let mut schedule = Schedule::new(intervals.borrow().live);
        loop {
            let held = *changes.borrow_and_update();
            if !held.is_watched {
                break;
            }
            schedule.change(held.live);
            let at_ms = tokio::select! {
                () = shutdown.fired() => return,
                changed = changes.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                at_ms = schedule.next() => at_ms,
            };
            let deadline = Instant::now() + SCRAPE_TIMEOUT;
            let scrape = timeout_at(deadline.into(), source.scrape(deadline));
            let Ok(Some(exposition)) = scrape.await else { continue };
            // No memory of earlier ones: what ends, and how scraping goes, is told by what is stored.
            let pairs: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut request = Target::new(&pairs).scraped(&exposition, at_ms, Duration::ZERO);
            source.recycle(exposition);
            request.timeseries.retain(|series| {
                !series
                    .labels
                    .iter()
                    .any(|l| l.name == "__name__" && l.value.starts_with("scrape_"))
            });
            let body = snappy::compress(&request.encode_to_vec());
            let sent = tokio::select! {
                () = shutdown.fired() => return,
                sent = client.send(Method::POST, url.clone(), V1_CONTENT_TYPE, &[], body) => sent,
            };
            let reply = sent.ok().filter(|answer| answer.status.is_success());
            match reply.and_then(|answer| serde_json::from_slice::<Reply>(&answer.body).ok()) {
                Some(reply) if reply.data.is_watched => {}
                Some(_) => {
                    debug!(at_ms = schedule::now_ms(), "nobody watches any more");
                    intervals.send_if_modified(|held| std::mem::take(&mut held.is_watched));
                }
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}
