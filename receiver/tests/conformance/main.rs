//! What a receiver of remote write must do, rule by rule: each case is named by its rule, sends a request as a sender would,
//! and reads back from PostgreSQL what it left there.
//!
//! The rules are those of the specifications 1.0 and 2.0 (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>), of
//! the tests of other receivers, and of PostgreSQL. An answer of 400 where something could be stored is a failure here.

mod bounds;
mod exemplars;
mod histograms;
mod labels;
#[cfg(target_os = "linux")]
mod memory;
mod metadata;
mod negotiation;
mod outage;
mod rules;
mod samples;
mod sender;
mod starts;
mod statistics;
