//! macOS: every collector's name, whether it runs unless told otherwise, and how it is made.

use super::{
    super::{
        entry::{Entry, on},
        textfile,
    },
    read,
};

/// All collectors, sorted by name.
pub(crate) const ENTRIES: &[Entry] = &[
    on("boottime", read::open_boottime),
    on("cpu", read::open_cpu),
    on("diskstats", read::open_diskstats),
    on("filesystem", read::open_filesystem),
    on("loadavg", read::open_loadavg),
    on("meminfo", read::open_meminfo),
    on("netdev", read::open_netdev),
    on("os", read::open_os),
    on("textfile", textfile::open),
    on("time", read::open_time),
    on("uname", read::open_uname),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.name < b.name));
    }
}
