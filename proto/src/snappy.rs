//! Snappy block framing with limits checked before anything is allocated.
//!
//! Remote write uses the block format, never the framed one,
//! <https://github.com/google/snappy/blob/main/format_description.txt>.

use snap::raw;

/// The densest element of the format is a 3-byte copy of 64 bytes: what claims more is corrupt.
const EXPANSION_MAX: usize = 22;
/// Slack for tiny bodies, whose literals and preamble weigh more than their copies.
const EXPANSION_SLACK_BYTES: usize = 64;
/// How a framed stream begins: its stream identifier.
const FRAMED_MAGIC: &[u8] = b"\xff\x06\x00\x00sNaPpY";

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SnappyError {
    #[error("the body is in snappy's framed format; remote write wants the block format")]
    Framed,
    #[error("the body is not snappy: {reason}")]
    Corrupt { reason: String },
    #[error("the body says it holds {declared} bytes, more than {compressed} compressed bytes can")]
    Bomb { declared: usize, compressed: usize },
    #[error("the body holds {declared} bytes uncompressed; the limit is {limit}")]
    TooLarge { declared: usize, limit: usize },
}

/// Compresses a body. Bodies of 4 GiB and more do not exist here.
pub fn compress(body: &[u8]) -> Vec<u8> {
    raw::Encoder::new().compress_vec(body).expect("a body is far below snappy's 4 GiB")
}

/// How many bytes a block says it holds, if that is possible and not more than `limit`.
pub fn decompressed_len(block: &[u8], limit: usize) -> Result<usize, SnappyError> {
    if block.starts_with(FRAMED_MAGIC) {
        return Err(SnappyError::Framed);
    }
    let declared = raw::decompress_len(block).map_err(corrupt)?;
    if declared > block.len().saturating_mul(EXPANSION_MAX).saturating_add(EXPANSION_SLACK_BYTES) {
        return Err(SnappyError::Bomb { declared, compressed: block.len() });
    }
    if declared > limit {
        return Err(SnappyError::TooLarge { declared, limit });
    }
    Ok(declared)
}

fn corrupt(err: snap::Error) -> SnappyError {
    SnappyError::Corrupt { reason: err.to_string() }
}

/// Decompresses a block into `out` (cleared first), refusing before it allocates what exceeds `limit` bytes.
pub fn decompress(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let declared = decompressed_len(block, limit)?;
    // Not cleared first: what a reused buffer holds is overwritten, and only growth is zeroed.
    out.resize(declared, 0);
    let written = raw::Decoder::new().decompress(block, out).map_err(corrupt)?;
    debug_assert_eq!(written, declared);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_reuse() {
        let mut out = vec![7; 100];
        for body in [&b""[..], b"a", &[3; 10_000]] {
            decompress(&compress(body), 10_000, &mut out).unwrap();
            assert_eq!(out, body);
        }
    }

    #[test]
    fn hostile_bodies() {
        let mut out = Vec::new();
        let limit = 1 << 20;
        assert_eq!(decompress(FRAMED_MAGIC, limit, &mut out), Err(SnappyError::Framed));
        // Five bytes that claim four gigabytes.
        assert!(matches!(
            decompress(b"\xff\xff\xff\xff\x0f", limit, &mut out),
            Err(SnappyError::Bomb { .. })
        ));
        let two_mib = compress(&vec![0; 2 << 20]);
        assert!(matches!(decompress(&two_mib, limit, &mut out), Err(SnappyError::TooLarge { .. })));
        assert!(matches!(decompress(b"", limit, &mut out), Err(SnappyError::Corrupt { .. })));
        let whole = compress(b"some text that is long enough to be cut");
        for cut in 0..whole.len() {
            assert!(decompress(&whole[..cut], limit, &mut out).is_err(), "cut at {cut}");
        }
        assert!(out.capacity() < 2 << 20);
    }
}
