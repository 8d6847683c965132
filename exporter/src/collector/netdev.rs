//! Traffic and errors of network devices, over rtnetlink or from `/proc/net/dev`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{
    host,
    name_filter::NameFilter,
    netlink::{N_STATS, SharedLinks},
    scan,
};

/// The kernel's counters as `enable-detailed-metrics` names them, in the order of `rtnl_link_stats64`.
const DETAILED: [&str; N_STATS] = [
    "receive_packets",
    "transmit_packets",
    "receive_bytes",
    "transmit_bytes",
    "receive_errors",
    "transmit_errors",
    "receive_dropped",
    "transmit_dropped",
    "multicast",
    "collisions",
    "receive_length_errors",
    "receive_over_errors",
    "receive_crc_errors",
    "receive_frame_errors",
    "receive_fifo_errors",
    "receive_missed_errors",
    "transmit_aborted_errors",
    "transmit_carrier_errors",
    "transmit_fifo_errors",
    "transmit_heartbeat_errors",
    "transmit_window_errors",
    "receive_compressed",
    "transmit_compressed",
    "receive_nohandler",
];

/// The names of `/proc/net/dev`, and the kernel's counters (by position) that the file sums up in each.
const SUMMED: [(&str, &[usize]); 17] = [
    ("receive_bytes", &[2]),
    ("receive_packets", &[0]),
    ("receive_errs", &[4]),
    ("receive_drop", &[6, 15]),
    ("receive_fifo", &[14]),
    ("receive_frame", &[13, 10, 11, 12]),
    ("receive_compressed", &[21]),
    ("receive_multicast", &[8]),
    ("transmit_bytes", &[3]),
    ("transmit_packets", &[1]),
    ("transmit_errs", &[5]),
    ("transmit_drop", &[7]),
    ("transmit_fifo", &[18]),
    ("transmit_colls", &[9]),
    ("transmit_carrier", &[17, 16, 19, 20]),
    ("transmit_compressed", &[22]),
    // The file lacks this one.
    ("receive_nohandler", &[23]),
];
/// How many columns the file has.
const N_COLUMNS: usize = 16;

struct NetDev {
    path: PathBuf,
    netlink: bool,
    links: SharedLinks,
    detailed: bool,
    filter: NameFilter,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(NetDev {
        path: setup.host.proc("net/dev"),
        netlink: setup.selection.switch("collector.netdev.netlink"),
        links: setup.links.clone(),
        detailed: setup.options.netdev_detailed,
        filter: NameFilter::from_pair(
            ("collector.netdev.device-include", &setup.options.netdev_include),
            ("collector.netdev.device-exclude", &setup.options.netdev_exclude),
            "",
        )?,
        buf: Vec::new(),
    }))
}

impl Collector for NetDev {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        if self.netlink { self.collect_links(out) } else { self.collect_file(out) }
    }
}

impl NetDev {
    fn collect_links(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let links = self
            .links
            .get()
            .map_err(|source| Error::System { call: "dump the network links", source })?;
        let devices: Vec<(&str, [u64; N_STATS])> = links
            .iter()
            .filter(|link| self.filter.admits(link.name.as_bytes()))
            .filter_map(|link| Some((link.name.as_str(), link.stats?)))
            .collect();
        if self.detailed {
            for (position, name) in DETAILED.iter().enumerate() {
                write(name, devices.iter().map(|(name, stats)| (*name, stats[position])), out);
            }
            return Ok(());
        }
        for (name, positions) in SUMMED {
            let sums = devices.iter().map(|(name, stats)| {
                let parts = positions.iter().map(|position| stats[*position]);
                (*name, parts.fold(0, u64::wrapping_add))
            });
            write(name, sums, out);
        }
        Ok(())
    }

    fn collect_file(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let mut devices = Vec::new();
        // Two lines of heading.
        for line in scan::lines(text).skip(2) {
            let what = "a line is not `device: 16 numbers`";
            let wrong = || Error::Parse { path: self.path.clone(), what };
            let (name, columns) = parse(line).ok_or_else(wrong)?;
            if self.filter.admits(name) {
                devices.push((scan::text(name), columns));
            }
        }
        for (column, (name, _)) in SUMMED[..N_COLUMNS].iter().enumerate() {
            write(name, devices.iter().map(|(name, columns)| (&**name, columns[column])), out);
        }
        Ok(())
    }
}

fn write<'d>(name: &str, devices: impl Iterator<Item = (&'d str, u64)>, out: &mut Exposition) {
    let full_name = ["node_network_", name, "_total"].concat();
    let help = ["Network device statistic ", name, "."].concat();
    let mut family = out.family(&full_name, &help, Kind::Counter);
    for (device, value) in devices {
        family.sample(&[("device", device)], value as f64);
    }
}

/// `  eth0: 1 2 … 16`; the name may hold colons.
fn parse(line: &[u8]) -> Option<(&[u8], [u64; N_COLUMNS])> {
    let colon = memchr::memrchr(b':', line)?;
    let name = line[..colon].trim_ascii();
    let mut columns = [0; N_COLUMNS];
    let mut fields = scan::fields(&line[colon + 1..]);
    for column in &mut columns {
        *column = scan::u64(fields.next()?)?;
    }
    (!name.is_empty()).then_some((name, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let numbers = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let line = format!("  br:0:{numbers}");
        let (name, columns) = parse(line.as_bytes()).unwrap();
        assert_eq!((name, columns[0], columns[15]), (&b"br:0"[..], 1, 16));
        for garbage in ["", ":", "eth0", "eth0: 1 2", &format!(" : {numbers}"), "eth0: x"] {
            assert_eq!(parse(garbage.as_bytes()), None, "{garbage:?}");
        }
    }

    #[test]
    fn every_counter_has_a_place() {
        let mut used: Vec<usize> = SUMMED.iter().flat_map(|(_, sum)| sum.iter().copied()).collect();
        used.sort_unstable();
        assert_eq!(used, (0..N_STATS).collect::<Vec<_>>());
    }
}
