//! The same samples in a real Prometheus 3.5 and in Watchpost, the same questions to both, and the answers compared.
//!
//! - `language`: the queries of the public compliance suite, in kind and number, over samples like its own;
//! - `random`: queries made up by a grammar, over the same samples or over recorded ones;
//! - `api`: what the HTTP API says of right and wrong requests, text by text;
//! - `grafana`: what Grafana's Prometheus data source sends;
//! - `remote_read`: what a Prometheus sees that reads from us.
//!
//! The Prometheus is `WATCHPOST_COMPLIANCE_PROMETHEUS`, else `WATCHPOST_E2E_PROMETHEUS`, else the one on the PATH; without
//! one of version 3 the tests print `SKIPPED`. `WATCHPOST_COMPLIANCE_CAPTURE` names recorded requests (records of f64 time, u32
//! length and a body, in zstd), `WATCHPOST_COMPLIANCE_RANDOM` a number of random queries and `WATCHPOST_COMPLIANCE_SEED` where
//! they begin. What may differ, and why, is in `tolerated`.

#![expect(clippy::print_stderr, reason = "what was skipped or compared belongs into the output")]

mod api;
mod capture;
mod compare;
mod generator;
mod grafana;
mod language;
mod pair;
mod random;
mod remote_read;
mod samples;
mod tolerated;
