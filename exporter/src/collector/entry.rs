//! What a table of collectors says about each.

use proto::exposition::Exposition;

use super::{Collector, Error, OptionError, Setup};

/// What makes a collector.
type Open = fn(&Setup<'_>) -> Result<Box<dyn Collector>, OptionError>;

/// One collector.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name in `--collector.<name>`, `collect[]` and the label `collector`.
    pub(crate) name: &'static str,
    /// Whether it runs without `--collector.<name>`.
    pub(crate) default_on: bool,
    /// `None` for a collector of node_exporter's that we know but do not have.
    pub(crate) open: Option<Open>,
}

pub(super) const fn on(name: &'static str, open: Open) -> Entry {
    Entry { name, default_on: true, open: Some(open) }
}

#[cfg(not(target_os = "macos"))]
pub(super) const fn off(name: &'static str, open: Open) -> Entry {
    Entry { name, default_on: false, open: Some(open) }
}

/// One of node_exporter's that is still to be written.
#[cfg(target_os = "linux")]
pub(super) const fn known(name: &'static str) -> Entry {
    Entry { name, default_on: false, open: None }
}

/// Stands in for a collector that we do not have: reports so, each time.
pub(crate) struct NotBuilt(pub(crate) &'static str);

impl Collector for NotBuilt {
    fn collect(&mut self, _out: &mut Exposition) -> Result<(), Error> {
        Err(Error::NotBuilt { name: self.0 })
    }
}
