//! Windows, under windows_exporter's names.
//!
//! Each file here holds the facts of one collector and makes families of them, as plain functions that are tested on
//! every system. `read` asks Windows for the facts.

mod cpu;
mod cs;
mod logical_disk;
mod memory;
mod net;
mod os;
mod pagefile;
mod service;
mod system;
mod time;

#[cfg(windows)]
mod read;
#[cfg(windows)]
pub(crate) mod table;
#[cfg(test)]
mod tests;
