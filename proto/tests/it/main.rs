//! Tests of the wire formats from outside: generated code against the .proto files, round trips, hostile bytes.

mod generated;
mod walk;
mod walk_referenced;
