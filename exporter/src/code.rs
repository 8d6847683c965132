//! Memory of code that only the start needed, such as reading flags and files: given back once.
//!
//! Pages of the program's file that were looked at, and fifteen around each, count as its memory for as long as nobody
//! else wants the memory. What is needed again comes back from the page cache without being read.

#![expect(unsafe_code, reason = "madvise takes addresses")]

use std::{fs, time::Duration};

use rustix::mm::{Advice, madvise};
use tracing::debug;

/// By then it has been scraped, or is idle.
const AFTER: Duration = Duration::from_secs(10);

/// A stretch of our addresses, as in `/proc/self/smaps`.
struct Mapping {
    start: usize,
    end: usize,
    /// Of a file, and nobody may write to it.
    is_constant: bool,
    /// Bytes that are not the file's any more, such as addresses that were filled in at the start.
    own_kb: Option<u64>,
}

/// Waits a while, then unmaps what is as it lies in the file.
pub(crate) async fn give_back() {
    tokio::time::sleep(AFTER).await;
    let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else { return };
    let given_back =
        mappings(&smaps).filter(|mapping| mapping.is_constant && mapping.own_kb == Some(0));
    let mut bytes = 0;
    for Mapping { start, end, .. } in given_back {
        let address = std::ptr::without_provenance_mut(start);
        // SAFETY: the mapping is one of a file that nobody may write to, and no page of it differs from the file: whatever
        // is looked at afterwards reads as it did before.
        match unsafe { madvise(address, end - start, Advice::LinuxDontNeed) } {
            Ok(()) => bytes += end - start,
            Err(err) => debug!("give back {start:x}-{end:x}: {err}"),
        }
    }
    debug!("gave back what only the start needed of {} KiB of code", bytes / 1024);
}

fn mappings(smaps: &str) -> impl Iterator<Item = Mapping> + '_ {
    let mut lines = smaps.lines().peekable();
    std::iter::from_fn(move || {
        let mut mapping = lines.by_ref().find_map(header)?;
        while let Some(line) = lines.next_if(|line| header(line).is_none()) {
            if let Some(value) = line.strip_prefix("Anonymous:") {
                mapping.own_kb = value.trim().strip_suffix(" kB").and_then(|kb| kb.parse().ok());
            }
        }
        Some(mapping)
    })
}

/// `55d0…-55d1… r-xp 00001000 fe:00 1234   /usr/bin/watchpost-exporter`
fn header(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    let is_private_constant = matches!(words.next()?, "r-xp" | "r--p");
    let is_of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some(Mapping { start, end, is_constant: is_private_constant && is_of_file, own_kb: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_the_file() {
        let smaps = "\
            5000-6000 r--p 00000000 fe:00 12                         /usr/bin/program\n\
            Size:                  4 kB\n\
            Anonymous:             0 kB\n\
            VmFlags: rd mr mw me\n\
            6000-8000 r-xp 00001000 fe:00 12                         /usr/bin/program\n\
            Anonymous:             4 kB\n\
            8000-9000 rw-p 00003000 fe:00 12                         /usr/bin/program\n\
            Anonymous:             0 kB\n\
            9000-a000 r-xp 00000000 00:00 0                          [vdso]\n\
            Anonymous:             0 kB\n\
            a000-b000 r--p 00000000 00:00 0 \n";
        let found: Vec<_> = mappings(smaps)
            .map(|mapping| (mapping.start, mapping.end, mapping.is_constant, mapping.own_kb))
            .collect();
        assert_eq!(
            found,
            [
                (0x5000, 0x6000, true, Some(0)),
                (0x6000, 0x8000, true, Some(4)),
                (0x8000, 0x9000, false, Some(0)),
                (0x9000, 0xa000, false, Some(0)),
                (0xa000, 0xb000, false, None),
            ]
        );
    }
}
