//! Bytes on the wire, and nothing else: no domain, no I/O.
//!
//! - [`remote_write`]: Prometheus remote write 1.0 and 2.0, as prost messages for clients, tests and everything cold.
//! - [`remote_read`]: Prometheus remote read: its messages, and chunks as Prometheus encodes them.
//! - [`snappy`]: the block framing of remote write, with limits checked before anything is allocated.
//! - [`exposition`]: host and probe metrics as families and samples, and the text formats they are served in.
//! - [`grpc_health`]: the health check of gRPC, which probes ask.
//! - [`scrape`]: from an exposition to remote write, as a Prometheus that scraped it would send it.

pub mod exposition;
pub mod grpc_health;
pub mod remote_read;
pub mod remote_write;
pub mod scrape;
pub mod snappy;
