//! Samples in PostgreSQL: a log-structured store whose log, sorted runs and catalogue are ordinary rows.

pub mod batch;
pub mod codec;
