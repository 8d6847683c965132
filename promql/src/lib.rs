//! The Prometheus query language: pure functions of query, series and time.
//!
//! No I/O, no clock, no threads: the same query over the same series at the same time gives the same answer.
//! [`model`] holds what the language talks about: labels, matchers.

pub mod model;
