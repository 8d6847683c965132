//! `POST /api/v1/write`: Prometheus remote write.

mod negotiate;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{App, error};
use crate::ingest::{Limits, Version, WriteError, Written};

/// A sender that cannot deliver a body in this time gets its connection back.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn router() -> Router<App> {
    Router::new().route("/api/v1/write", post(write)).route("/api/v1/push", post(write))
}

/// Bounds the bytes of all bodies that are being worked on.
#[derive(Clone, Debug)]
pub(crate) struct Shield {
    bytes: Arc<Semaphore>,
    body_bytes_max: usize,
}

impl Shield {
    pub(crate) fn new(limits: &Limits) -> Self {
        let bytes = limits.in_flight_bytes_max.min(Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(bytes)), body_bytes_max: limits.body_bytes_max }
    }

    /// Room for `n` more bytes, or the answer that there is none.
    fn reserve(&self, n: usize) -> Result<OwnedSemaphorePermit, Busy> {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(n);
        permit.map_err(|_| Busy)
    }
}

/// There is no room for more bytes now.
struct Busy;

impl IntoResponse for Busy {
    fn into_response(self) -> Response {
        error::unavailable("too many bytes of write requests are being worked on\n".to_owned())
    }
}

async fn write(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let version = match negotiate::negotiate(&headers) {
        Ok(version) => version,
        Err(err) => return (StatusCode::UNSUPPORTED_MEDIA_TYPE, err).into_response(),
    };
    let (counts, answer) = match take(&app, version, &headers, body).await {
        Ok(written) => (Counts::of(&written), answer(&written)),
        // What may be sent again is counted when it is.
        Err(refused) => (Counts::default(), refused),
    };
    match version {
        // Senders of 1.0 take counts for those of 2.0.
        Version::V1 => answer,
        Version::V2 => (counts.headers(), answer).into_response(),
    }
}

async fn take(
    app: &App,
    version: Version,
    headers: &HeaderMap,
    body: Body,
) -> Result<Written, Response> {
    let (block, _room) = read_body(&app.write_shield, headers, body).await?;
    app.ingest.write(version, block).await.map_err(WriteError::into_response)
}

fn answer(written: &Written) -> Response {
    if written.refusals.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    (StatusCode::BAD_REQUEST, written.explain()).into_response()
}

/// What a sender of 2.0 is told to be stored; without it, it has to assume that nothing is.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    samples: usize,
    histograms: usize,
    exemplars: usize,
}

impl Counts {
    fn of(written: &Written) -> Self {
        // What rules drop was taken: a sender that is told of less than it sent takes that for a loss.
        let Written { samples, histograms, exemplars, dropped, .. } = *written;
        Self {
            samples: samples + dropped.samples,
            histograms: histograms + dropped.histograms,
            exemplars: exemplars + dropped.exemplars,
        }
    }

    /// <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#required-written-response-headers>
    fn headers(self) -> [(&'static str, HeaderValue); 3] {
        [
            ("x-prometheus-remote-write-samples-written", self.samples.into()),
            ("x-prometheus-remote-write-histograms-written", self.histograms.into()),
            ("x-prometheus-remote-write-exemplars-written", self.exemplars.into()),
        ]
    }
}

/// The whole body, never more than the limit, and room for it among all bodies.
async fn read_body(
    shield: &Shield,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, OwnedSemaphorePermit), Response> {
    let too_large = || {
        let text = format!("the body is larger than {} bytes\n", shield.body_bytes_max);
        (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
    };
    let declared: Option<usize> =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|declared| declared > shield.body_bytes_max) {
        return Err(too_large());
    }
    // Reserved as the bytes come, so that a sender that only declares many keeps no room from others.
    let mut room = shield.reserve(0).map_err(Busy::into_response)?;
    let mut bytes = Vec::new();
    let mut stream = body.into_data_stream();
    let reading = async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|err| {
                (StatusCode::BAD_REQUEST, format!("the body cannot be read: {err}\n"))
                    .into_response()
            })?;
            if bytes.len() + chunk.len() > shield.body_bytes_max {
                return Err(too_large());
            }
            room.merge(shield.reserve(chunk.len()).map_err(Busy::into_response)?);
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            // Not 408: senders would never try again, and a slow network may be quicker the next time.
            let text = format!("the body did not arrive within {} s\n", BODY_TIMEOUT.as_secs());
            return Err(error::unavailable(text));
        }
    }
    Ok((bytes.into(), room))
}
