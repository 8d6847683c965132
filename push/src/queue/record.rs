//! One record of a segment.
//!
//! ```text
//! ┌────────────┬────────────┬────────────┬──────────────┐
//! │ length u32 │ samples u32│ crc u32    │ payload      │   little-endian; `length` is that of the payload
//! └────────────┴────────────┴────────────┴──────────────┘
//! ```
//!
//! The CRC-32 covers length, samples and payload, so that nothing of a record is believed unless all of it is right.

use std::io::{self, Read};

/// Length, number of samples, check sum.
pub(super) const HEADER_BYTES: usize = 12;
/// A scrape is some ten kilobytes; a length beyond this is not one of ours.
pub(super) const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) payload_bytes: usize,
    pub(super) samples: u32,
    crc: u32,
}

/// What was found where a record may begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    Record(T),
    /// The end of the file.
    End,
    /// The beginning of a record whose writer was killed, or zeros that stand for one.
    Torn,
    /// Bytes that no writer of ours left there.
    Corrupt,
}

/// A record as it lies in a segment.
pub(super) fn frame(payload: &[u8], samples: u32) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut framed = Vec::with_capacity(HEADER_BYTES + payload.len());
    framed.extend_from_slice(&length.to_le_bytes());
    framed.extend_from_slice(&samples.to_le_bytes());
    framed.extend_from_slice(&checksum(length, samples, payload).to_le_bytes());
    framed.extend_from_slice(payload);
    framed
}

/// Reads a header.
pub(super) fn header(from: &mut impl Read) -> io::Result<Found<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    match read_up_to(from, &mut bytes)? {
        0 => return Ok(Found::End),
        HEADER_BYTES => {}
        _ => return Ok(Found::Torn),
    }
    // A file that was longer than what had reached the disk when the power failed ends with zeros.
    if bytes == [0; HEADER_BYTES] {
        return Ok(Found::Torn);
    }
    let word =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let payload_bytes = word(0) as usize;
    if payload_bytes == 0 || payload_bytes > PAYLOAD_BYTES_MAX {
        return Ok(Found::Corrupt);
    }
    Ok(Found::Record(Header { payload_bytes, samples: word(4), crc: word(8) }))
}

/// Reads the payload that belongs to `header` and checks both.
pub(super) fn payload(from: &mut impl Read, header: Header) -> io::Result<Found<Vec<u8>>> {
    let mut payload = vec![0; header.payload_bytes];
    if read_up_to(from, &mut payload)? < payload.len() {
        return Ok(Found::Torn);
    }
    if checksum(header.payload_bytes as u32, header.samples, &payload) != header.crc {
        return Ok(Found::Corrupt);
    }
    Ok(Found::Record(payload))
}

/// Fills `bytes` as far as the file goes and returns how far that was.
fn read_up_to(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(filled)
}

fn checksum(length: u32, samples: u32, payload: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(&length.to_le_bytes());
    crc.update(&samples.to_le_bytes());
    crc.update(payload);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Found<Vec<u8>> {
        let mut from = bytes;
        match header(&mut from).unwrap() {
            Found::Record(found) => payload(&mut from, found).unwrap(),
            Found::End => Found::End,
            Found::Torn => Found::Torn,
            Found::Corrupt => Found::Corrupt,
        }
    }

    #[test]
    fn whole_cut_and_spoilt() {
        let framed = frame(b"payload", 3);
        assert_eq!(read(&framed), Found::Record(b"payload".to_vec()));
        assert_eq!(read(&[]), Found::End);
        for end in 1..framed.len() {
            assert_eq!(read(&framed[..end]), Found::Torn, "cut at {end}");
        }
        for position in 0..framed.len() {
            let mut spoilt = framed.clone();
            spoilt[position] ^= 0x40;
            // A length that became larger reaches beyond the end, as that of a cut record does.
            assert!(!matches!(read(&spoilt), Found::Record(_)), "flipped at {position}");
        }
        assert_eq!(read(&[0; 40]), Found::Torn);
        assert_eq!(read(&[0xff; 40]), Found::Corrupt);
    }
}
