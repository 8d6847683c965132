//! The end of the queue that talks to the receiver: one request at a time, in order, each as often as it takes.
//!
//! What an answer means is the protocol's contract: 2xx is delivered; 5xx and 429 come again, after `Retry-After` or a
//! pause that doubles; any other 4xx never would be taken, so it is dropped, counted and named in the log. That is, if it
//! is about the samples: who sends (401, 403, 407) and where to (404) can be mended without losing any, so these come
//! again, as does what cannot be reached, for ever: the queue has the bound.
//!
//! A receiver that does not speak 2.0 says 415; older ones say 400, or even 204 to what they read as an empty request
//! of 1.0. All of them lack the headers `X-Prometheus-Remote-Write-…-Written`, which 2.0 demands, so their absence is
//! what sends the same samples again as 1.0.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use proto::remote_write::{V1_CONTENT_TYPE, V2_CONTENT_TYPE};
use reqwest::{Method, StatusCode, Url};
use service::Shutdown;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use crate::{
    args::Config,
    batch::Batch,
    client::{Answer, Client, ClientError},
    outbox::Shared,
    queue::Records,
    stats::Ended,
    version_two::Descriptions,
};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A receiver that wants to be left alone for longer is asked once in this time nevertheless.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Records that are sent together when there are many: what Prometheus' senders put in some requests.
const RECORDS_MAX: usize = 64;
const SAMPLES_MAX: u64 = 10_000;
/// How often what waits is synced to disk.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How long the last samples may take to be sent when we stop; what is left is sent at the next start.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long a receiver that did not speak 2.0 is left with 1.0: it may be a newer one by then.
const TWO_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// Refusals are told about at most so often; all are counted.
const WARN_EVERY: Duration = Duration::from_secs(60);

const WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Delivers what is in the queue. Made by [`crate::open`].
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    client: Client,
    url: Url,
    /// The only version to speak, where the user says so.
    fixed: Option<Version>,
    version: Version,
    one_since: Option<Instant>,
    descriptions: Descriptions,
    /// Fewer after a receiver found a request too large.
    records_max: usize,
    is_away: bool,
    warned: Option<Instant>,
}

/// What is to be done after an answer.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It has so many samples of it, if it says.
    Taken { written: Option<u64> },
    /// The same again later.
    Later { why: String, after: Option<Duration> },
    /// It never will be taken.
    Refused { why: String, written: u64 },
    /// The same as version 1.0.
    NotTwo { why: String },
    /// The same in smaller pieces.
    TooLarge { why: String },
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>, client: Client, config: &Config) -> Self {
        let fixed = match config.protocol {
            Some(1) => Some(Version::One),
            Some(_) => Some(Version::Two),
            None => None,
        };
        Self {
            shared,
            client,
            url: config.url.clone(),
            fixed,
            version: fixed.unwrap_or(Version::Two),
            one_since: None,
            descriptions: Descriptions::default(),
            records_max: RECORDS_MAX,
            is_away: false,
            warned: None,
        }
    }

    /// Sends until `closing` fires, which is when nothing more comes, and what is left was sent or a few seconds passed.
    pub async fn run(mut self, closing: Shutdown) {
        let syncing = tokio::spawn(keep_synced(Arc::clone(&self.shared)));
        let drained = async {
            closing.fired().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        tokio::select! {
            () = self.deliver(&closing) => {}
            () = drained => {}
        }
        syncing.abort();
        let shared = Arc::clone(&self.shared);
        let _ = spawn_blocking(move || sync(&shared)).await;
        let left = self.shared.stats.pending();
        if left > 0 {
            warn!(
                samples = left,
                "{left} samples are not sent yet; they are when this starts again"
            );
        }
    }

    /// Ends when `closing` has fired and nothing is left.
    async fn deliver(&mut self, closing: &Shutdown) {
        loop {
            let shared = Arc::clone(&self.shared);
            let records_max = self.records_max;
            let read = spawn_blocking(move || {
                let records = shared.queue().read(records_max, SAMPLES_MAX);
                let batch = Batch::of(&records.payloads);
                (records, batch)
            });
            let Ok((records, batch)) = read.await else { return };
            if !records.payloads.is_empty() {
                self.deliver_batch(&records, batch).await;
                continue;
            }
            if closing.is_fired() {
                return;
            }
            tokio::select! {
                () = self.shared.more.notified() => {}
                () = closing.fired() => {}
            }
        }
    }

    /// Returns when the records are done with, one way or another, or should be read again in smaller pieces.
    async fn deliver_batch(&mut self, records: &Records, batch: Batch) {
        let mut pause = RETRY_FIRST;
        loop {
            self.choose_version();
            match self.send(&batch).await {
                Verdict::Taken { written } => {
                    let written = written.unwrap_or(records.samples).min(records.samples);
                    self.taken(records, written, batch.newest_ms);
                    break;
                }
                Verdict::Refused { why, written } => {
                    self.taken(records, written.min(records.samples), batch.newest_ms);
                    self.warn(&format!("the receiver refused samples, which are dropped: {why}"));
                    break;
                }
                Verdict::TooLarge { why } if records.payloads.len() == 1 => {
                    self.taken(records, 0, 0);
                    self.warn(&format!(
                        "the receiver finds one scrape too large, it is dropped: {why}"
                    ));
                    break;
                }
                Verdict::TooLarge { .. } => {
                    self.records_max = (records.payloads.len() / 2).max(1);
                    return;
                }
                Verdict::NotTwo { why } => {
                    info!("the receiver does not speak remote write 2.0, it gets 1.0: {why}");
                    self.version = Version::One;
                    self.one_since = Some(Instant::now());
                }
                Verdict::Later { why, after } => {
                    self.shared.stats.retried(records.samples);
                    if !self.is_away {
                        warn!("samples wait in the queue: {why}");
                        self.is_away = true;
                    }
                    let wait =
                        after.map_or(pause, |after| after.clamp(RETRY_FIRST, RETRY_AFTER_MAX));
                    tokio::time::sleep(jittered(wait)).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
        let shared = Arc::clone(&self.shared);
        let delivered = spawn_delivered(shared, records);
        delivered.await;
        self.records_max = (self.records_max * 2).min(RECORDS_MAX);
    }

    fn taken(&mut self, records: &Records, written: u64, newest_ms: i64) {
        let stats = &self.shared.stats;
        stats.sent(written, newest_ms);
        stats.refused(records.samples - written);
        if self.is_away {
            self.is_away = false;
            info!("the receiver takes samples again");
        }
    }

    fn choose_version(&mut self) {
        let is_time = |since: Instant| since.elapsed() >= TWO_AGAIN_AFTER;
        if self.fixed.is_none() && self.one_since.is_some_and(is_time) {
            self.version = Version::Two;
            self.one_since = None;
        }
    }

    async fn send(&mut self, batch: &Batch) -> Verdict {
        let version = self.version;
        let (content_type, number, body) = match version {
            Version::One => {
                batch.learn(&mut self.descriptions);
                (V1_CONTENT_TYPE, "0.1.0", batch.version_one())
            }
            Version::Two => (V2_CONTENT_TYPE, "2.0.0", batch.version_two(&mut self.descriptions)),
        };
        let bytes = body.len();
        let headers =
            [("content-encoding", "snappy"), ("x-prometheus-remote-write-version", number)];
        let sent =
            self.client.send(Method::POST, self.url.clone(), content_type, &headers, body).await;
        let verdict = match sent {
            Ok(answer) => judge(version, self.fixed.is_some(), &answer),
            Err(err) => {
                let ended = match err {
                    ClientError::Unreachable { .. }
                    | ClientError::UnknownAuthority { .. }
                    | ClientError::CertificateRefused { .. } => Ended::Unreachable,
                    _ => Ended::Later,
                };
                self.shared.stats.requested(ended, 0);
                return Verdict::Later { why: service::error::chain(&err), after: None };
            }
        };
        debug!(bytes, "sent {bytes} bytes: {verdict:?}");
        self.shared.stats.requested(ended(&verdict), bytes);
        if matches!(verdict, Verdict::Taken { .. }) {
            self.shared.stats.speaks(if version == Version::One { 1 } else { 2 });
        }
        verdict
    }

    fn warn(&mut self, text: &str) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            warn!("{text}");
        }
    }
}

fn ended(verdict: &Verdict) -> Ended {
    match verdict {
        Verdict::Taken { .. } => Ended::Taken,
        Verdict::Later { .. } => Ended::Later,
        Verdict::Refused { .. } | Verdict::NotTwo { .. } | Verdict::TooLarge { .. } => {
            Ended::Refused
        }
    }
}

fn judge(version: Version, is_fixed: bool, answer: &Answer) -> Verdict {
    let status = answer.status;
    let written: Option<u64> =
        answer.headers.get(WRITTEN).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let may_speak_one = version == Version::Two && !is_fixed;
    if status.is_success() {
        return match (version, written) {
            (Version::One, _) => Verdict::Taken { written: None },
            (Version::Two, None) if may_speak_one => Verdict::NotTwo {
                why: format!("it answers {status} without saying how much of it was written"),
            },
            (Version::Two, written) => Verdict::Taken { written },
        };
    }
    let why = answer.said();
    match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE if may_speak_one => Verdict::NotTwo { why },
        StatusCode::BAD_REQUEST if may_speak_one && written.is_none() => Verdict::NotTwo { why },
        StatusCode::PAYLOAD_TOO_LARGE => Verdict::TooLarge { why },
        StatusCode::TOO_MANY_REQUESTS => Verdict::Later { why, after: answer.retry_after() },
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::NOT_FOUND => Verdict::Later { why, after: Some(RETRY_MAX) },
        _ if status.is_server_error() => Verdict::Later { why, after: answer.retry_after() },
        _ if status.is_redirection() => Verdict::Later {
            why: format!("{why}; give the address it leads to as --remote-write.url"),
            after: Some(RETRY_MAX),
        },
        _ => Verdict::Refused { why, written: written.unwrap_or(0) },
    }
}

/// Between three quarters and five quarters of `wait`, so that many agents do not come back at once.
fn jittered(wait: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let chance = f64::from(now.unwrap_or_default().subsec_nanos() % 1000) / 1000.0;
    wait.mul_f64(0.75 + chance / 2.0)
}

async fn spawn_delivered(shared: Arc<Shared>, records: &Records) {
    let receipt = records.receipt();
    let _ = spawn_blocking(move || shared.queue().delivered(&receipt)).await;
}

/// Lets what waits reach the disk, for when the power fails.
async fn keep_synced(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SYNC_EVERY).await;
        let of_task = Arc::clone(&shared);
        if spawn_blocking(move || sync(&of_task)).await.is_err() {
            return;
        }
    }
}

fn sync(shared: &Shared) {
    let unsynced = shared.queue().unsynced();
    let Some((file, path)) = unsynced else { return };
    if let Err(err) = file.sync_data().and_then(|()| sync_folder(&path)) {
        warn!("sync {}: {err}", path.display());
    }
}

/// The name of a new file is in its folder.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_data()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests;
