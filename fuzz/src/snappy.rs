//! Decompression keeps its limit, and what was compressed comes back.

use proto::snappy;

const LIMIT: usize = 1 << 20;

pub fn target(data: &[u8]) {
    let mut out = Vec::new();
    if snappy::decompress(data, LIMIT, &mut out).is_ok() {
        assert!(out.len() <= LIMIT);
    }
    snappy::decompress(&snappy::compress(data), data.len(), &mut out)
        .expect("it was compressed just now");
    assert_eq!(out, data);
}
