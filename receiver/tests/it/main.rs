//! The receiver against a real PostgreSQL: each test has a database of its own (`receiver::db::testing`).

mod harness;
mod managed;
mod sql;
mod write;
