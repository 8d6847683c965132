//! A remote write request, of either version, on its way through validation.

use proto::snappy;
use receiver::ingest::{Version, testing};

/// A fixed present, so that the same bytes always do the same.
const NOW: i64 = 1_800_000_000_000;

pub fn target(data: &[u8]) {
    for version in [Version::V1, Version::V2] {
        // As it is, and as what the block would hold: most mutations of a block are no block.
        let _ = testing::decode(version, data, NOW);
        let _ = testing::decode(version, &snappy::compress(data), NOW);
    }
}
