//! What live updates need to know of the store, and nothing more.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use promql::model::{Labels, Matcher};
use proto::remote_write::STALE_MARKER_BITS;

pub(super) use proto::remote_write::is_stale;

pub use crate::storage::commit::Committed;
use crate::{model::SeriesId, storage::Reader};

/// One sample: milliseconds since 1970, value.
pub type Sample = (i64, f64);

/// The store as subscriptions see it.
pub trait Source: Send + Sync + 'static {
    /// Ids of the active series that satisfy all matchers, at most `limit + 1` so that the caller can tell.
    fn select(&self, matchers: &[Matcher], limit: usize) -> Vec<SeriesId>;

    fn labels(&self, id: SeriesId) -> Option<Arc<Labels>>;

    /// The newest committed sample of a series.
    fn latest(&self, id: SeriesId) -> Option<Sample>;

    /// Samples of `ids` with `from_ms <= ts <= to_ms`, in order of time; entry `i` answers `ids[i]`.
    fn read(
        &self,
        ids: &[SeriesId],
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Vec<Sample>>>>;

    /// A counter that grows whenever a series was added, so that subscriptions notice new series.
    fn series_generation(&self) -> u64;
}

/// "No value": the stale marker, which clients see as `null`.
pub(super) const NONE: f64 = f64::from_bits(STALE_MARKER_BITS);

impl Source for Reader {
    fn select(&self, matchers: &[Matcher], limit: usize) -> Vec<SeriesId> {
        Self::select(self, matchers, limit)
    }

    fn labels(&self, id: SeriesId) -> Option<Arc<Labels>> {
        Self::labels(self, id)
    }

    fn latest(&self, id: SeriesId) -> Option<Sample> {
        Self::latest(self, id).map(|sample| (sample.ts, sample.value))
    }

    fn read(
        &self,
        ids: &[SeriesId],
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Vec<Sample>>>> {
        let ids = ids.to_vec();
        Box::pin(async move {
            let series = Self::read(self, &ids, from_ms, to_ms).await?;
            Ok(series
                .into_iter()
                .map(|series| {
                    series.samples.iter().map(|sample| (sample.ts, sample.value)).collect()
                })
                .collect())
        })
    }

    fn series_generation(&self) -> u64 {
        self.catalogue().generation()
    }
}
