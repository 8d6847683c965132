//! The way in up to the catalogue, for fuzzing.

use super::{Limits, WriteError, decode};
use crate::storage::catalogue::{Index, RawHasher};

/// Decodes and judges a request at the time `now`, before an index that knows no series.
pub fn decode_v1(block: &[u8], now: i64) -> Result<(), WriteError> {
    decode::v1(block, &Index::default(), &RawHasher::new(), &Limits::default(), now).map(drop)
}
