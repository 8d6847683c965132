//! `POST /api/v1/write`: Prometheus remote write.

mod negotiate;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::negotiate::Version;
use super::{App, error};
use crate::ingest::{Limits, WriteError};

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

async fn write(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Response> {
    match negotiate::negotiate(&headers)
        .map_err(|err| (StatusCode::UNSUPPORTED_MEDIA_TYPE, err).into_response())?
    {
        Version::V1 => {}
    }
    let (block, _room) = read_body(&app.write_shield, &headers, body).await?;
    let written = app.ingest.write_v1(block).await.map_err(WriteError::into_response)?;
    if written.refusals.is_empty() {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err((StatusCode::BAD_REQUEST, written.refusals.explain(written.samples)).into_response())
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
            let text = format!("the body did not arrive within {} s\n", BODY_TIMEOUT.as_secs());
            return Err((StatusCode::REQUEST_TIMEOUT, text).into_response());
        }
    }
    Ok((bytes.into(), room))
}
