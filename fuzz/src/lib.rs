//! What is fuzzed: each target takes any bytes and panics if something is wrong with how we read them.
//!
//! The targets are ordinary functions, so that `cargo test` replays the seeds on a stable compiler as well
//! (`watchpost/tests/fuzz.rs`).

pub mod batch;
pub mod block;
pub mod exposition;
pub mod histograms;
pub mod ingest;
pub mod promql;
pub mod snappy;
pub mod timestamps;
pub mod values;
pub mod varint;
pub mod walk;

/// A target by its name, which is also that of its folder of seeds.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 11] = [
    ("batch", batch::target),
    ("block", block::target),
    ("exposition", exposition::target),
    ("histograms", histograms::target),
    ("ingest", ingest::target),
    ("promql", promql::target),
    ("snappy", snappy::target),
    ("timestamps", timestamps::target),
    ("values", values::target),
    ("varint", varint::target),
    ("walk", walk::target),
];
