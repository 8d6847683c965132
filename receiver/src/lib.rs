//! The remote-write receiver: samples into PostgreSQL, and out again over SQL, WebSocket and the console.
//!
//! A [`Receiver`] is opened on a database, serves a router, and closes when its last clone is gone. Inside, data flows
//! one way, and nothing points back to `http`:
//!
//! ```text
//! http ──► ingest, live, query ──► storage ──► db
//! ```

pub(crate) mod agents;
pub mod config;
pub mod db;
pub mod http;
pub mod ingest;
pub mod live;
pub mod model;
pub mod query;
mod receiver;
pub mod storage;
pub mod time;
pub mod token;
mod usage;

pub use receiver::{Args, Config, DEFAULT_ADDRESS, Receiver, run};
pub use storage::Closing;
