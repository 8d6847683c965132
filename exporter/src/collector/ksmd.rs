//! Memory that the kernel found to be the same and keeps once, from `/sys/kernel/mm/ksm`. Off by default, as in
//! node_exporter.

use std::path::PathBuf;

use proto::exposition::Exposition;

use super::{
    Collector, Error, OptionError, Setup,
    attributes::{self, Attribute, Scale, counter, gauge},
};

struct Ksmd {
    folder: PathBuf,
}

const NUMBERS: [Attribute; 10] = [
    counter(
        "full_scans",
        "node_ksmd_full_scans_total",
        "How many times all mergeable areas have been scanned.",
    ),
    gauge(
        "general_profit",
        "node_ksmd_general_profit_bytes",
        "How effective is KSM. ksm_saved_pages * sizeof(page) - (all_rmap_items) * sizeof(rmap_item)",
    ),
    gauge(
        "merge_across_nodes",
        "node_ksmd_merge_across_nodes",
        "Specifies if pages from different NUMA nodes can be merged.",
    ),
    gauge("pages_shared", "node_ksmd_pages_shared", "How many shared pages are being used."),
    gauge(
        "pages_sharing",
        "node_ksmd_pages_sharing",
        "How many more sites are sharing them i.e. how much saved.",
    ),
    gauge(
        "pages_to_scan",
        "node_ksmd_pages_to_scan",
        "How many pages to scan before ksmd goes to sleep.",
    ),
    gauge(
        "pages_unshared",
        "node_ksmd_pages_unshared",
        "How many pages unique but repeatedly checked for merging.",
    ),
    gauge(
        "pages_volatile",
        "node_ksmd_pages_volatile",
        "How many pages changing too fast to be placed in a tree.",
    ),
    gauge("run", "node_ksmd_run", "The status of ksmd. stopped = 0, running = 1"),
    gauge(
        "sleep_millisecs",
        "node_ksmd_sleep_seconds",
        "How many seconds ksmd should sleep before next scan.",
    )
    .scaled(Scale::Per(1000.0)),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Ksmd { folder: setup.host.sys("kernel/mm/ksm") }))
}

impl Collector for Ksmd {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        if !self.folder.is_dir() {
            return Err(Error::NoData { what: "merging of equal pages" });
        }
        attributes::write(&self.folder, &NUMBERS, &[], out);
        Ok(())
    }
}
