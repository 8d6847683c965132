//! The way in up to the catalogue, for fuzzing and benchmarks.

use super::{
    Limits, Version, WriteError, decode, described::Described, gate::Standing, quota::Quotas,
    replicas::Replicas,
};
use crate::{
    config::Rules,
    storage::{
        catalogue::{Index, RawHasher},
        start::Starts,
    },
};

/// Decodes and judges a request at the time `now`, before an index that knows no series.
pub fn decode(version: Version, block: &[u8], now: i64) -> Result<(), WriteError> {
    let standing = Standing::new(Rules::default(), Replicas::default(), Quotas::default());
    let context = decode::Context {
        index: &Index::default(),
        standing: &standing,
        quota: None,
        keys: &standing.keys.halves(),
        hasher: &RawHasher::new(),
        starts: &Starts::default(),
        described: &Described::default(),
        limits: &Limits::default(),
        now,
    };
    decode::decode(version, block, context).map(drop)
}
