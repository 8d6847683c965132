//! Families that are files: a folder under `/sys` for each device, a number in each of its files.

use std::path::Path;

use proto::exposition::{Exposition, Kind};

use crate::host;

/// One file and the family it becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    /// Below the device's folder.
    pub(super) file: &'static str,
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    /// From the file's unit to the family's.
    pub(super) scale: Scale,
}

/// From a file's unit to a base unit. Divided where that is exact and a product is not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    One,
    Times(f64),
    Per(f64),
}

impl Scale {
    pub(super) fn apply(self, value: f64) -> f64 {
        match self {
            Self::One => value,
            Self::Times(factor) => value * factor,
            Self::Per(divisor) => value / divisor,
        }
    }
}

pub(super) const fn gauge(file: &'static str, name: &'static str, help: &'static str) -> Attribute {
    Attribute { file, name, help, kind: Kind::Gauge, scale: Scale::One }
}

pub(super) const fn counter(
    file: &'static str,
    name: &'static str,
    help: &'static str,
) -> Attribute {
    Attribute { file, name, help, kind: Kind::Counter, scale: Scale::One }
}

impl Attribute {
    pub(super) const fn scaled(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }
}

/// Adds a sample for each file of `table` that `folder` has and that holds a number.
pub(super) fn write(
    folder: &Path,
    table: &[Attribute],
    labels: &[(&str, &str)],
    out: &mut Exposition,
) {
    for attribute in table {
        if let Some(value) = host::number(&folder.join(attribute.file)) {
            out.family(attribute.name, attribute.help, attribute.kind)
                .sample(labels, attribute.scale.apply(value));
        }
    }
}
