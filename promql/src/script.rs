//! Test scripts: load series, evaluate queries, compare.
//!
//! The format is that of Prometheus' `promqltest`, so that its scripts run here and ours run there. A block ends at
//! an empty line; comments count as empty.
//!
//! ```text
//! load 5m
//!     requests_total{path="/a"} 0+10x10
//!
//! eval instant at 50m rate(requests_total[10m])
//!     {path="/a"} 0.0333333333
//! ```

mod compare;
mod execute;
mod histogram;
mod nhcb;
mod pin;
mod points;
mod read;

#[cfg(test)]
mod tests;

pub use execute::{Failure, Report, run};
pub use read::{Script, ScriptError};

use crate::model::{Histogram, Labels, Samples};

/// One block of a script and the line it begins at.
#[derive(Clone, Debug)]
struct Command {
    line: usize,
    kind: CommandKind,
}

#[derive(Clone, Debug)]
enum CommandKind {
    Clear,
    Load(Vec<(Labels, Samples)>),
    Eval(Box<Eval>),
}

/// A query, when it is evaluated, and what must come of it.
#[derive(Clone, Debug)]
struct Eval {
    query: String,
    times: crate::eval::Times,
    outcome: ExpectedOutcome,
    ordered: bool,
    /// Expected times of the points of a range vector.
    range_vector: Option<crate::eval::Grid>,
    fail: Option<TextMatch>,
    warnings: ExpectedTexts,
    infos: ExpectedTexts,
}

#[derive(Clone, Debug)]
enum ExpectedOutcome {
    Scalar(f64),
    String(String),
    Series(Vec<(Labels, Vec<Option<Expected>>)>),
}

/// An expected value.
#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Float(f64),
    Histogram {
        histogram: Histogram,
        /// Whether the hint about counter resets was written down, and so must be equal too.
        with_hint: bool,
    },
}

/// What annotations of one kind there must be.
#[derive(Clone, Debug, Default)]
struct ExpectedTexts {
    /// At least one must be there, and each must match one of `texts` if there are any.
    required: bool,
    forbidden: bool,
    texts: Vec<TextMatch>,
}

#[derive(Clone, Debug)]
enum TextMatch {
    Any,
    Exactly(String),
    Pattern(regexp::Regexp),
}

impl TextMatch {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => text == expected,
            Self::Pattern(pattern) => pattern.is_match(text.as_bytes()),
        }
    }
}
