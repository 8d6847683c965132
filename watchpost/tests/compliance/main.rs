//! The same samples in a real Prometheus 3.5 and in Watchpost, the same questions to both, and the answers compared.
//!
//! - `language`: the queries of the public compliance suite, in kind and number, over samples like its own;
//! - `api`: what the HTTP API says of right and wrong requests, text by text.
//!
//! The Prometheus is `WATCHPOST_COMPLIANCE_PROMETHEUS`, else `WATCHPOST_E2E_PROMETHEUS`, else the one on the PATH; without
//! one of version 3 the tests print `SKIPPED`. What may differ, and why, is in `tolerated`.

mod api;
mod compare;
mod language;
mod pair;
mod samples;
mod tolerated;
