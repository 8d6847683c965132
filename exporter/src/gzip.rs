//! Compressing answers, with the memory of the last one.
//!
//! A compressor's tables are a quarter of a megabyte, which is more than everything else that a scrape needs.

use std::sync::{Mutex, PoisonError};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Makes gzip of whole bodies.
pub(crate) struct Gzip(Mutex<Option<Compress>>);

/// RFC 1952: the magic number, "deflate", no flags, no time, "fastest", "Unix".
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3];

impl Gzip {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// At the fastest level: a scrape's text shrinks to a fifth with it, and Prometheus reads it once.
    pub(crate) fn compress(&self, text: &[u8]) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // No zlib header: gzip has its own.
        let mut compress = spare.unwrap_or_else(|| Compress::new(Compression::fast(), false));
        let mut out = Vec::with_capacity(text.len() / 3 + 64);
        out.extend(HEADER);
        loop {
            let rest = &text[compress.total_in() as usize..];
            let status = compress
                .compress_vec(rest, &mut out, FlushCompress::Finish)
                .expect("compressing fails only on a stream that is already broken");
            match status {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => out.reserve(out.capacity()),
            }
        }
        let mut crc = Crc::new();
        crc.update(text);
        out.extend(crc.sum().to_le_bytes());
        out.extend((text.len() as u32).to_le_bytes());
        compress.reset();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(compress);
        out
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let gzip = Gzip::new();
        let incompressible: Vec<u8> =
            (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for text in [&b""[..], b"a", &b"node_cpu_seconds_total ".repeat(10_000), &incompressible] {
            let packed = gzip.compress(text);
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, text);
        }
    }
}
