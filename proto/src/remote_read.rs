//! Prometheus remote read: <https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/>.
//!
//! The messages, [`frame`] around streamed ones, and [`chunk`]s as Prometheus encodes them.

mod bits;
pub mod chunk;

pub use self::generated::{
    Chunk, ChunkedReadResponse, ChunkedSeries, LabelMatcher, Query, QueryResult, ReadRequest,
    ReadResponse, chunk::Encoding, label_matcher::Type as MatcherType, read_request::ResponseType,
};

#[allow(clippy::all, clippy::doc_markdown, unreachable_pub, reason = "generated code")]
#[rustfmt::skip]
#[path = "generated/remote_read.rs"]
mod generated;

/// `Content-Type` of an answer with samples.
pub const SAMPLES_CONTENT_TYPE: &str = "application/x-protobuf";
/// `Content-Type` of a stream of chunks.
pub const STREAMED_CONTENT_TYPE: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Appends a message of a stream: its length as a varint, its CRC-32C in big-endian order, itself.
pub fn frame(message: &[u8], out: &mut Vec<u8>) {
    bits::put_uvarint(message.len() as u64, out);
    out.extend_from_slice(&crc32c(message).to_be_bytes());
    out.extend_from_slice(message);
}

/// CRC-32 with Castagnoli's polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = table();
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

const fn table() -> [u32; 256] {
    /// Reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        // The check value of CRC-32C.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut out = Vec::new();
        frame(b"123456789", &mut out);
        assert_eq!(out, b"\x09\xe3\x06\x92\x83123456789");
        out.clear();
        frame(&[0; 300], &mut out);
        assert_eq!((out.len(), &out[..2]), (306, &[0xac, 0x02][..]));
    }
}
