//! The Prometheus query language: pure functions of query, series and time.
//!
//! No I/O, no clock, no threads: the same query over the same series at the same time gives the same answer.
//! [`model`] holds what the language talks about: labels, matchers, samples, histograms. [`parse`] makes an [`ast`].

pub mod ast;
pub mod functions;
pub mod model;
pub mod parse;
mod print;

pub use parse::{Features, ParseError, parse, parse_selector};
pub use print::pretty;
