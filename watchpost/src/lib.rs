//! Watchpost as one program: everything on this machine, or any of its parts alone.
//!
//! - [`suite`]: [`Suite`](suite::Suite) starts a private PostgreSQL, the receiver with its console, the exporter and
//!   the blackbox exporter, and stops them in order. It adds nothing that the separate programs lack: the same
//!   libraries with other edges.
//! - [`feed`]: without a Prometheus, it scrapes in this process what a Prometheus would scrape over the network.
//! - [`database`]: a private PostgreSQL that is kept alive, or the server that the user names.
//! - [`cli`]: the command line; [`check`]: whether files are good; [`health`]: what a container's health check asks;
//!   [`render`]: files for other programs; [`storage`]: looking after what is stored.

pub mod check;
pub mod cli;
pub mod database;
pub mod feed;
pub mod health;
pub mod render;
pub mod storage;
pub mod suite;
