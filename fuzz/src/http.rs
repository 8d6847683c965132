//! A write request from its headers on: the first line is the Content-Type, the second the Content-Encoding.

use proto::snappy;
use receiver::http::testing;

/// A fixed present, so that the same bytes always do the same.
const NOW: i64 = 1_800_000_000_000;

pub fn target(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (content_type, encoding, body) = (line(), line(), line());
    // As it is, and as what the block would hold: most mutations of a block are no block.
    for block in [body, &snappy::compress(body)] {
        let status = testing::entry(content_type, encoding, block, NOW);
        // What bytes alone can cause is never to be sent again.
        assert!(status.as_u16() == 204 || status.is_client_error(), "{status}");
    }
}
