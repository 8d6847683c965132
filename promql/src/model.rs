//! What the language talks about: series, samples, histograms, numbers.

pub mod annotation;
pub mod duration;
pub mod histogram;
mod labels;
mod matcher;
pub mod number;
mod sample;
pub mod text;
pub mod time;

pub use annotation::{Annotation, Annotations};
pub use histogram::Histogram;
pub use labels::{Label, LabelError, Labels, METADATA_NAMES, METRIC_NAME};
pub use matcher::{MatchOp, Matcher};
pub use sample::{HistogramSample, STALE_MARKER_BITS, Samples, Value, is_stale, stale_marker};
