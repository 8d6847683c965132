//! Windows: every collector's name, whether it runs unless told otherwise, and how it is made.

use super::{
    super::{
        entry::{Entry, off, on},
        textfile,
    },
    read,
};

/// All collectors, sorted by name. Those that run are windows_exporter's, and `pagefile` and `textfile`.
pub(crate) const ENTRIES: &[Entry] = &[
    on("cpu", read::open_cpu),
    off("cs", read::open_cs),
    on("logical_disk", read::open_logical_disk),
    on("memory", read::open_memory),
    on("net", read::open_net),
    on("os", read::open_os),
    on("pagefile", read::open_pagefile),
    on("service", read::open_service),
    on("system", read::open_system),
    on("textfile", textfile::open),
    off("time", read::open_time),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.name < b.name));
    }
}
