//! How failures of writing are answered: a contract about trying again.
//!
//! A sender tries again after 5xx, forever and in order, and never after 4xx. So what can never succeed is never 5xx,
//! and what may succeed later is always 503. The whole table is in `receiver/docs/status-codes.md`.

use std::{
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use proto::snappy::SnappyError;
use tracing::warn;

use crate::{db::sqlstate::Outlook, ingest::WriteError, storage::commit::AppendError};

/// Senders obey it to the letter, so it is short, and spread, or all their shards come back at once.
const RETRY_AFTER: std::ops::RangeInclusive<u64> = 1..=5;

/// 503 with a time to come back.
pub(crate) fn unavailable(text: String) -> Response {
    let spread = RETRY_AFTER.end() - RETRY_AFTER.start() + 1;
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let retry_after = Duration::from_secs(RETRY_AFTER.start() + random % spread);
    let header = [(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()))];
    (StatusCode::SERVICE_UNAVAILABLE, header, text).into_response()
}

impl IntoResponse for WriteError {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match (self.outlook(), &self) {
            (Outlook::MayPass, _) => {
                warn!("write request pushed back: {}", service::error::chain(&self));
                unavailable(text)
            }
            (
                Outlook::NeverPasses,
                Self::Snappy(SnappyError::TooLarge { .. })
                | Self::TooMany { .. }
                | Self::Append(AppendError::TooManySamples),
            ) => (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
            (Outlook::NeverPasses, Self::Refused { .. }) => {
                // We should have found it before Postgres did.
                warn!("the database refuses a write request: {}", service::error::chain(&self));
                (StatusCode::BAD_REQUEST, text).into_response()
            }
            (Outlook::NeverPasses, _) => (StatusCode::BAD_REQUEST, text).into_response(),
        }
    }
}
