//! The prober from outside: over HTTP, against servers that each test starts on a port of its own.

mod dashboards;
mod differences;
mod dns;
mod grpc;
mod harness;
mod hostile;
mod http;
mod http3;
mod icmp;
mod json;
mod memory;
mod pages;
mod reference;
mod resolver;
mod tcp;
mod terminal;
mod tls;
