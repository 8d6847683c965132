//! How samples become bytes: exact, small, and simple enough that plain SQL reads them.
//!
//! - [`varint`]: LEB128 and zigzag, and a [`varint::Reader`] that never trusts a length.
//! - [`packed`]: integers in as few bits as they need.
//! - [`values`]: one series' values as integers with a decimal exponent.
//! - [`timestamps`]: vectors of timestamps, stored once for all series that share them.
//! - [`group`]: up to 64 adjacent series of one pack, the unit of batches and blocks alike.
//! - [`histograms`]: the same for series of native histograms.
//!
//! The formats are described with byte diagrams in `receiver/docs/format/`. They never change once released: a new
//! format gets a new format byte.

pub mod group;
pub mod histograms;
pub mod packed;
pub mod timestamps;
pub mod values;
pub mod varint;

/// Bytes that do not follow the format: a bug, or a damaged row.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    #[error("the bytes end early, at {at}")]
    Truncated { at: usize },
    #[error("a varint is longer than ten bytes, at {at}")]
    VarintTooLong { at: usize },
    #[error("format {format} is unknown to this version")]
    UnknownFormat { format: u8 },
    #[error("{what} is {value}, beyond its bound {bound}")]
    OutOfBounds { what: &'static str, value: u64, bound: u64 },
    #[error("{what}, at {at}")]
    Malformed { what: &'static str, at: usize },
}
