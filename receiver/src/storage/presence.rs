//! Which series may have samples in a range: for lists of series and labels, which should not name what is long gone.
//!
//! Samples are not read. A series is taken for present if its pack has a block that meets the range, or if it has been
//! written since; so some are named that have samples only shortly before or after.

use std::collections::HashSet;

use super::{
    ReadError, Reader,
    catalogue::{Index, Position},
    head::Latest,
    partition::Table,
};
use crate::model::PackId;

/// Beyond this everything counts as present: looking at all blocks of years would take longer than anybody waits.
const SPAN_MS_MAX: i64 = 7 * 24 * 3_600_000;

/// See the [module](self).
#[derive(Debug)]
pub struct Presence {
    /// `None` is all.
    packs: Option<HashSet<PackId>>,
    from: i64,
    /// Whether what is in memory meets the range.
    head_counts: bool,
}

impl Presence {
    /// Every series.
    pub fn everything() -> Self {
        Self { packs: None, from: i64::MIN, head_counts: true }
    }

    /// Whether this says anything at all.
    pub fn is_everything(&self) -> bool {
        self.packs.is_none()
    }

    /// Whether a series may have samples; `latest` are the newest ones of the head.
    pub fn admits(&self, index: &Index, latest: &Latest<'_>, position: Position) -> bool {
        let Some(packs) = &self.packs else { return true };
        let newest = || latest.get(position).ts.max(latest.histogram_ts(position));
        let in_head = || self.head_counts && newest() >= self.from;
        packs.contains(&index.pack(position)) || in_head()
    }
}

impl Reader {
    /// Which series may have samples with `from <= ts <= to`, in milliseconds.
    pub async fn presence(&self, from: i64, to: i64) -> Result<Presence, ReadError> {
        if to < from {
            return Ok(Presence { packs: Some(HashSet::new()), from, head_counts: false });
        }
        if to.saturating_sub(from) > SPAN_MS_MAX {
            return Ok(Presence::everything());
        }
        let head_counts = self.0.head.time_range().is_some_and(|(t_min, _)| t_min <= to);
        let packs: Vec<i32> = sqlx::query_scalar(
            "SELECT DISTINCT pack FROM watchpost.live_block
              WHERE t_min <= $2 AND t_max >= $1 AND (age = 2 OR bucket >= $3)",
        )
        .bind(from)
        .bind(to)
        .bind(Table::Block.bucket_of(from))
        .fetch_all(&self.0.reading)
        .await?;
        let packs = Some(packs.into_iter().map(PackId).collect());
        Ok(Presence { packs, from, head_counts })
    }

    /// The newest samples that the head knows of.
    pub fn latest_all(&self) -> Latest<'_> {
        self.0.head.latest_all()
    }

    /// The earliest and the latest time of what is only in memory and in the log.
    pub fn head_range(&self) -> Option<(i64, i64)> {
        self.0.head.time_range()
    }
}
