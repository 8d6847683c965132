//! macOS, under the names that node_exporter has there.
//!
//! Each file here holds the facts of one collector and makes families of them, as plain functions that are tested on
//! every system. `read` asks macOS for the facts.

mod cpu;
mod diskstats;
mod filesystem;
mod loadavg;
mod meminfo;
mod netdev;
mod os;
mod time;
mod uname;

#[cfg(target_os = "macos")]
mod read;
#[cfg(target_os = "macos")]
pub(crate) mod table;
#[cfg(test)]
mod tests;
