//! What is fuzzed: each target takes any bytes and panics if something is wrong with how we read them.
//!
//! The targets are ordinary functions, so that `cargo test` replays the seeds on a stable compiler as well
//! (`watchpost/tests/fuzz.rs`).

pub mod batch;
pub mod block;
pub mod evaluate;
pub mod exposition;
pub mod histograms;
pub mod http;
pub mod ingest;
pub mod promql;
pub mod snappy;
pub mod timestamps;
pub mod values;
pub mod varint;
pub mod walk;
pub mod walk_referenced;

/// A target by its name, which is also that of its folder of seeds.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 14] = [
    ("batch", batch::target),
    ("block", block::target),
    ("evaluate", evaluate::target),
    ("exposition", exposition::target),
    ("histograms", histograms::target),
    ("http", http::target),
    ("ingest", ingest::target),
    ("promql", promql::target),
    ("snappy", snappy::target),
    ("timestamps", timestamps::target),
    ("values", values::target),
    ("varint", varint::target),
    ("walk", walk::target),
    ("walk_referenced", walk_referenced::target),
];
