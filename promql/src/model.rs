//! What the language talks about.

mod labels;
mod matcher;

pub use labels::{Label, LabelError, Labels, METRIC_NAME};
pub use matcher::{MatchOp, Matcher};
