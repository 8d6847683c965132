//! The receiver against a real PostgreSQL: each test has a database of its own (`receiver::db::testing`).
//! Live updates and the console need none.

mod agents;
mod backup;
mod catalogue;
mod console_assets;
mod console_browser;
mod console_tokens;
mod deletion;
mod harness;
mod histograms;
mod histograms_sql;
mod live;
mod live_socket;
mod live_store;
mod managed;
mod people;
mod query_api;
mod query_source;
mod quotas;
mod relabel;
mod replicas;
mod rollups;
mod sql;
mod tokens;
mod watcher;
mod write;
