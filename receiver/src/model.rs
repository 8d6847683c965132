//! The small types that ingest, storage and live share.

/// A series in this database. Ids are dense: they are handed out from one upward and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub i64);
