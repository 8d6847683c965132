//! Messages of Prometheus remote write, for clients, tests and everything cold.
//!
//! The receiver's hot path does not build these: it walks the bytes in place (see `receiver::ingest`).
//!
//! The specifications are <https://prometheus.io/docs/specs/prw/remote_write_spec/> for [`v1`] and
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/> for [`v2`].

mod sample;
pub mod walk;
mod wire;

/// `encode_to_vec` and `decode` of all messages here.
pub use prost::Message;
pub use wire::{Element, WireError};

/// `Content-Type` of remote write 1.0.
pub const V1_CONTENT_TYPE: &str = "application/x-protobuf;proto=prometheus.WriteRequest";
/// `Content-Type` of remote write 2.0.
pub const V2_CONTENT_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// The bits of the NaN that ends a series: "no longer there", <https://prometheus.io/docs/specs/prw/remote_write_spec/#stale-markers>.
pub const STALE_MARKER_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The NaN that ends a series. Only its bits tell it from other NaNs.
pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_MARKER_BITS)
}

/// Whether a value is the staleness marker, by its bits.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_MARKER_BITS
}

/// Remote write 1.0, package `prometheus`.
pub mod v1 {
    pub use super::{sample::One as Sample, v1_generated::*};
}

#[allow(clippy::all, clippy::doc_markdown, reason = "generated code")]
#[rustfmt::skip]
#[path = "generated/remote_write_v1.rs"]
mod v1_generated;

/// Remote write 2.0 (rc.4), package `io.prometheus.write.v2`.
pub mod v2 {
    pub use super::{sample::Two as Sample, v2_generated::*};
}

#[allow(clippy::all, clippy::doc_markdown, reason = "generated code")]
#[rustfmt::skip]
#[path = "generated/remote_write_v2.rs"]
mod v2_generated;
