//! Sending prepared requests as fast as they are acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use proto::remote_write;

use super::workload::{Protocol, Requests};

/// How it went.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) took: Duration,
    /// From the start of each request to its answer, sorted.
    acks: Vec<Duration>,
    /// Requests that were pushed back and sent again.
    pub(crate) retried: usize,
}

impl Sent {
    /// `acks` in any order.
    pub(crate) fn new(took: Duration, mut acks: Vec<Duration>, retried: usize) -> Self {
        acks.sort_unstable();
        Self { took, acks, retried }
    }

    pub(crate) fn ack(&self, share: f64) -> Duration {
        let at = (self.acks.len() as f64 * share) as usize;
        self.acks.get(at.min(self.acks.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Sends the requests of each connection in order, one after the other, all connections at once.
pub(crate) async fn send(
    url: &str,
    connections: &[Requests],
    protocol: Protocol,
) -> anyhow::Result<Sent> {
    let started = Instant::now();
    let mut sending = Vec::new();
    for requests in connections {
        let (url, requests) = (url.to_owned(), requests.clone());
        sending.push(tokio::spawn(async move {
            // A client of its own is a connection of its own.
            let client = reqwest::Client::builder().http1_only().build()?;
            let mut acks = Vec::with_capacity(requests.len());
            let mut retried = 0;
            for request in requests {
                let begun = Instant::now();
                while !post(&client, &url, request.clone(), protocol).await? {
                    retried += 1;
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                acks.push(begun.elapsed());
            }
            anyhow::Ok((acks, retried))
        }));
    }
    let mut all = Vec::new();
    let mut retried = 0;
    for task in sending {
        let (acks, pushed_back) = task.await??;
        all.extend(acks);
        retried += pushed_back;
    }
    Ok(Sent::new(started.elapsed(), all, retried))
}

/// `false`: pushed back, send it again.
pub(crate) async fn post(
    client: &reqwest::Client,
    url: &str,
    body: Bytes,
    protocol: Protocol,
) -> anyhow::Result<bool> {
    let (content_type, version) = match protocol {
        Protocol::V1 => ("application/x-protobuf", "0.1.0"),
        Protocol::V2 => (remote_write::V2_CONTENT_TYPE, "2.0.0"),
    };
    let response = client
        .post(url)
        .header("Content-Encoding", "snappy")
        .header("Content-Type", content_type)
        .header("X-Prometheus-Remote-Write-Version", version)
        .body(body)
        .send()
        .await
        .context("send a request")?;
    let status = response.status();
    if status.is_success() {
        return Ok(true);
    }
    if status.as_u16() == 503 || status.as_u16() == 429 {
        return Ok(false);
    }
    bail!("{url} answered {status}: {}", response.text().await.unwrap_or_default());
}
