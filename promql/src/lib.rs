//! The Prometheus query language: pure functions of query, series and time.
//!
//! No I/O, no clock, no threads: the same query over the same series at the same time gives the same answer.
//! [`model`] holds what the language talks about: labels, matchers, samples, histograms. [`parse`] makes an [`ast`].

pub mod model;

pub mod ast;
pub mod functions;
pub mod parse;
mod print;

pub mod source;

pub mod eval;
mod plan;

pub use eval::{Answer, EvalError, Options, Outcome, Query, Times, evaluate};
pub use parse::{Features, ParseError, parse, parse_selector};
pub use print::pretty;

#[cfg(any(test, feature = "testing"))]
pub mod script;
