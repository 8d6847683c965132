//! Free memory by the size of its blocks, from `/proc/buddyinfo`: how fragmented it is. Off by default, as in
//! node_exporter.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct BuddyInfo {
    path: PathBuf,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(BuddyInfo { path: setup.host.proc("buddyinfo"), buf: Vec::new() }))
}

impl Collector for BuddyInfo {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)
            .map_err(|err| err.or_no_data("list of free blocks"))?;
        let mut family = out.family(
            "node_buddyinfo_blocks",
            "Count of free blocks according to size.",
            Kind::Gauge,
        );
        // `Node 0, zone   Normal    216     55    189`: how many blocks of 1, 2, 4… pages are free.
        for line in scan::lines(text) {
            let wrong = || Error::Parse {
                path: self.path.clone(),
                what: "a line is not `Node number, zone name count…`",
            };
            let mut fields = scan::fields(line);
            let mut next = || fields.next().ok_or_else(wrong);
            let (node_word, node, zone_word, zone) = (next()?, next()?, next()?, next()?);
            if (node_word, zone_word) != (&b"Node"[..], &b"zone"[..]) {
                return Err(wrong());
            }
            let node = scan::text(node.strip_suffix(b",").unwrap_or(node));
            let zone = scan::text(zone);
            for (order, count) in fields.enumerate() {
                let count = scan::f64(count).ok_or_else(wrong)?;
                let size = order.to_string();
                family.sample(&[("node", &node), ("size", &size), ("zone", &zone)], count);
            }
        }
        Ok(())
    }
}
