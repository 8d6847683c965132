//! The remote-write receiver: samples into PostgreSQL, and out again over SQL, WebSocket and the console.
//!
//! `http` → `ingest`, `live` → `storage` → `db`: data flows one way and nothing points back to `http`.

pub mod http;
pub mod live;
pub mod model;
