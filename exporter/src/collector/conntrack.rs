//! Connections tracked by netfilter.

use std::path::PathBuf;

use proto::exposition::Exposition;

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Conntrack {
    count: PathBuf,
    max: PathBuf,
    stats: PathBuf,
    buf: Vec<u8>,
}

/// (column in the file, name, help). Gauges although they count, as node_exporter has them.
const COLUMNS: [(&[u8], &str, &str); 8] = [
    (b"found", "node_nf_conntrack_stat_found", "Number of searched entries which were successful."),
    (
        b"invalid",
        "node_nf_conntrack_stat_invalid",
        "Number of packets seen which can not be tracked.",
    ),
    (
        b"ignore",
        "node_nf_conntrack_stat_ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
    ),
    (b"insert", "node_nf_conntrack_stat_insert", "Number of entries inserted into the list."),
    (
        b"insert_failed",
        "node_nf_conntrack_stat_insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
    ),
    (b"drop", "node_nf_conntrack_stat_drop", "Number of packets dropped due to conntrack failure."),
    (
        b"early_drop",
        "node_nf_conntrack_stat_early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    (
        b"search_restart",
        "node_nf_conntrack_stat_search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Conntrack {
        count: setup.host.proc("sys/net/netfilter/nf_conntrack_count"),
        max: setup.host.proc("sys/net/netfilter/nf_conntrack_max"),
        stats: setup.host.proc("net/stat/nf_conntrack"),
        buf: Vec::new(),
    }))
}

impl Collector for Conntrack {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let Some(count) = host::number(&self.count) else {
            return Err(Error::NoData { what: "connection tracking" });
        };
        out.gauge(
            "node_nf_conntrack_entries",
            "Number of currently allocated flow entries for connection tracking.",
            count,
        );
        if let Some(max) = host::number(&self.max) {
            out.gauge(
                "node_nf_conntrack_entries_limit",
                "Maximum size of connection tracking table.",
                max,
            );
        }
        let text = host::read(&self.stats, &mut self.buf)?;
        let sums = sum(text).ok_or_else(|| Error::Parse {
            path: self.stats.clone(),
            what: "not a table of hexadecimal numbers",
        })?;
        for ((_, name, help), sum) in COLUMNS.iter().zip(sums) {
            if let Some(sum) = sum {
                out.gauge(name, help, sum as f64);
            }
        }
        Ok(())
    }
}

/// A heading and one line of hexadecimal numbers for each CPU; the sums of our columns, where the file has them.
fn sum(text: &[u8]) -> Option<[Option<u64>; COLUMNS.len()]> {
    let mut lines = scan::lines(text);
    let heading: Vec<&[u8]> = scan::fields(lines.next()?).collect();
    let mut sums = COLUMNS.map(|(name, ..)| heading.contains(&name).then_some(0_u64));
    for line in lines {
        for (name, field) in heading.iter().zip(scan::fields(line)) {
            let position = COLUMNS.iter().position(|(column, ..)| column == name);
            if let Some(Some(sum)) = position.map(|position| &mut sums[position]) {
                *sum = sum.wrapping_add(scan::hex(field)?);
            }
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let sums = sum(b"entries  found new drop\n00000021 0000000a 00000000 00000002\n00000021 00000001 00000000 00000003\n").unwrap();
        assert_eq!(sums, [Some(11), None, None, None, None, Some(5), None, None]);
        assert_eq!(sum(b""), None);
        assert_eq!(sum(b"found\nxyz\n"), None);
    }
}
