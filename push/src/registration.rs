//! Telling a receiver that we are here, and hearing what it wants of us.
//!
//! One request at a time is open, all the time: it says who we are and what we know, and is answered when something
//! else is wanted, or after a while with the same. So intervals change at once, without a restart, and nothing is
//! listened on. A receiver that cannot be reached changes nothing: what was wanted last stays.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use service::{Shutdown, units::Span};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::{
    args::{INTERVAL_MAX, INTERVAL_MIN},
    client::{Client, ClientError},
};

/// How long the receiver may hold a request; it answers earlier if it wants less.
const WAIT: Duration = Duration::from_secs(20);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
const PATH: &str = "/api/v1/agents/register";
const JSON: &str = "application/json";

/// Shorter live intervals than this show the kernel's own rounding, not the machine.
pub const LIVE_INTERVAL_MIN: Duration = Duration::from_millis(100);
pub const LIVE_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Who we are.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    pub program: String,
    pub instance: String,
    pub job: String,
    pub name: String,
    /// Where a Prometheus reaches us: host and port.
    pub address: String,
    pub scheme: &'static str,
    pub metrics_path: String,
    pub version: &'static str,
    pub os: &'static str,
    pub labels: BTreeMap<String, String>,
    /// Whether we send our series ourselves.
    pub pushes: bool,
}

/// How often we look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// What is sent to be stored, and what a Prometheus is told to do.
    pub stored: Duration,
    /// What is shown while somebody watches.
    pub live: Duration,
    pub is_watched: bool,
}

impl Intervals {
    /// Stored at an interval that never changes, and shown to nobody.
    pub fn fixed(stored: Duration) -> watch::Receiver<Self> {
        watch::channel(Self { stored, live: LIVE_INTERVAL_MAX, is_watched: false }).1
    }
}

/// What the receiver knows of us already.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    generation: i64,
    is_watched: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(flatten)]
    announcement: &'a Announcement,
    stored_interval: String,
    live_interval: String,
    generation: i64,
    is_watched: bool,
    wait: String,
}

#[derive(Deserialize)]
struct Reply {
    data: Order,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    generation: i64,
    stored_interval: Option<Span>,
    live_interval: Option<Span>,
    is_watched: bool,
}

#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the receiver answers {0}")]
    Refused(String),
    #[error("the receiver's answer is not understood")]
    Answer,
}

/// Keeps us registered until `shutdown` fires. `own` is what our flags say, `intervals` what holds now.
pub async fn run(
    announcement: Announcement,
    client: Client,
    receiver: Url,
    own: Intervals,
    intervals: watch::Sender<Intervals>,
    shutdown: Shutdown,
) {
    let mut url = receiver;
    url.set_path(PATH);
    let mut heard = Heard::default();
    let mut pause = RETRY_FIRST;
    let mut is_away = false;
    // The first answer comes at once, so that it is known early whether it works.
    let mut wait = Duration::ZERO;
    loop {
        let now = *intervals.borrow();
        let asking = ask(&client, &url, &announcement, now, heard, wait);
        let answer = tokio::select! {
            () = shutdown.fired() => return,
            answer = asking => answer,
        };
        match answer {
            Ok(order) => {
                if is_away || wait.is_zero() {
                    info!("registered at {url}");
                }
                (is_away, wait, pause) = (false, WAIT, RETRY_FIRST);
                heard = Heard { generation: order.generation, is_watched: order.is_watched };
                let wanted = wanted(&order, own);
                if intervals.send_if_modified(|held| std::mem::replace(held, wanted) != wanted) {
                    debug!(?wanted, "other intervals");
                    if (now.stored, now.live) != (wanted.stored, wanted.live) {
                        let (stored, live) = (Span(wanted.stored), Span(wanted.live));
                        info!(%stored, %live, "the receiver wants other intervals: {stored} stored, {live} live");
                    }
                }
            }
            Err(err) => {
                if !is_away {
                    is_away = true;
                    warn!("not registered at {url}: {}", service::error::chain(&err));
                }
                // Whoever watched is gone, as far as we can tell.
                heard.is_watched = false;
                intervals.send_if_modified(|held| std::mem::take(&mut held.is_watched));
                tokio::select! {
                    () = shutdown.fired() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}

fn wanted(order: &Order, own: Intervals) -> Intervals {
    let stored = order.stored_interval.map_or(own.stored, |span| span.0);
    let live = order.live_interval.map_or(own.live, |span| span.0);
    Intervals {
        stored: stored.clamp(INTERVAL_MIN, INTERVAL_MAX),
        live: live.clamp(LIVE_INTERVAL_MIN, LIVE_INTERVAL_MAX),
        is_watched: order.is_watched,
    }
}

async fn ask(
    client: &Client,
    url: &Url,
    announcement: &Announcement,
    now: Intervals,
    heard: Heard,
    wait: Duration,
) -> Result<Order, RegistrationError> {
    let request = Request {
        announcement,
        stored_interval: Span(now.stored).to_string(),
        live_interval: Span(now.live).to_string(),
        generation: heard.generation,
        is_watched: heard.is_watched,
        wait: Span(wait).to_string(),
    };
    let body = serde_json::to_vec(&request).map_err(|_| RegistrationError::Answer)?;
    let answer = client.send(Method::POST, url.clone(), JSON, &[], body).await?;
    if !answer.status.is_success() {
        return Err(RegistrationError::Refused(answer.said()));
    }
    let reply: Reply =
        serde_json::from_slice(&answer.body).map_err(|_| RegistrationError::Answer)?;
    Ok(reply.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_kept_within_bounds() {
        let seconds = Duration::from_secs;
        let own = Intervals { stored: seconds(15), live: seconds(1), is_watched: false };
        let order = |text: &str| wanted(&serde_json::from_str(text).unwrap(), own);
        let plain =
            r#"{"generation":1,"storedInterval":null,"liveInterval":null,"isWatched":true}"#;
        assert_eq!(order(plain), Intervals { is_watched: true, ..own });
        let both =
            r#"{"generation":1,"storedInterval":"1h","liveInterval":"1ms","isWatched":false}"#;
        let clamped =
            Intervals { stored: seconds(300), live: LIVE_INTERVAL_MIN, is_watched: false };
        assert_eq!(order(both), clamped);
    }
}
