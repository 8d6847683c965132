//! The way in from the headers up to the catalogue, for fuzzing.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse,
};

use super::write::negotiate;
use crate::ingest;

/// What a write request with these headers is answered at the time `now`, if the database takes what is good in it.
pub fn entry(content_type: &[u8], encoding: &[u8], block: &[u8], now: i64) -> StatusCode {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, encoding)]
    {
        // What is no header is refused by the server.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    match negotiate::negotiate(&headers) {
        Err(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Ok(version) => match ingest::testing::decode(version, block, now) {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(err) => err.into_response().status(),
        },
    }
}
