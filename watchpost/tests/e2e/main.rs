//! Watchpost as its users run it: the built programs as processes, a real Prometheus, a real PostgreSQL, a real browser.
//!
//! Each test has a folder and ports of its own. A tool that is not installed is named loudly and its test is skipped.
//! `WATCHPOST_E2E_SECONDS` (default 20) says for how long samples flow in the tests of remote write.

#![expect(
    clippy::print_stderr,
    reason = "what was skipped and what was compared belongs into the test's output"
)]

mod harness;

mod alerting;
mod alertmanager;
mod all_in_one;
mod console;
mod dashboards;
mod live;
mod names;
mod relabel;
mod remote_write;
mod senders;
mod storage;
