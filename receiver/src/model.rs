//! Names that every part of the receiver shares.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// A series, by its number in the catalogue. Dense, per database, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub i64);

/// A metric name, by its number in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricId(pub i32);

/// A pack: about 64 series whose samples lie together in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub i32);

/// One sample: milliseconds since the Unix epoch, and a value of which all 64 bits count.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub ts: i64,
    pub value: f64,
}

/// Equality by bits: every NaN equals itself, and −0 is not 0.
impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.ts == other.ts && self.value.to_bits() == other.value.to_bits()
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The present, in milliseconds since the Unix epoch. Asked at the edges; everything inside takes time as an argument.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Where the storage takes the present from. Receivers whose clocks differ may share a database.
#[derive(Clone, Debug)]
pub enum Clock {
    /// This machine's, plus so many milliseconds.
    System { ahead_ms: i64 },
    /// Set by hand, in milliseconds since the Unix epoch: for simulations.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The present, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        match self {
            Self::System { ahead_ms } => now_ms() + ahead_ms,
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::System { ahead_ms: 0 }
    }
}
