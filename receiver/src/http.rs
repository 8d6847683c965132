//! What the receiver answers over HTTP.

pub mod live;
