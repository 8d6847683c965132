//! Which series lie together in blocks.
//!
//! A row per series and span of time would weigh more than its samples, so about 64 series share one: those of one
//! metric where it has many, because queries ask for metrics; and metrics of few series share packs in the order of
//! their names, so that a small installation has full packs as well. A series stays in its pack for good.

use std::collections::HashMap;

use sqlx::PgPool;

use super::rows;
use crate::{
    model::{MetricId, PackId},
    storage::block::PACK_SERIES_MAX,
};

/// From this many series on, a metric gets packs of its own.
const OWN_PACKS_FROM: usize = 16;
const PACK_CLAIM: i64 = 256;

/// Packs that are being filled by this process. After a restart new ones are opened: a few stay half empty.
#[derive(Debug, Default)]
pub(super) struct Packs {
    claimed: std::ops::Range<i64>,
    shared: Option<Open>,
    by_metric: HashMap<MetricId, Filling>,
}

#[derive(Debug, Default)]
struct Filling {
    n_series: usize,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    pack: PackId,
    n_series: usize,
}

impl Packs {
    /// The pack for a new series of a metric.
    pub(super) async fn place(
        &mut self,
        db: &PgPool,
        metric: MetricId,
    ) -> Result<PackId, sqlx::Error> {
        let filling = self.by_metric.entry(metric).or_default();
        filling.n_series += 1;
        let open =
            if filling.n_series > OWN_PACKS_FROM { &mut filling.open } else { &mut self.shared };
        if let Some(open) = open
            && open.n_series < PACK_SERIES_MAX
        {
            open.n_series += 1;
            return Ok(open.pack);
        }
        if self.claimed.is_empty() {
            self.claimed = rows::claim(db, "pack", PACK_CLAIM).await?;
        }
        let id = self.claimed.next().expect("claimed above");
        let pack = PackId(i32::try_from(id).map_err(|err| sqlx::Error::Decode(Box::new(err)))?);
        *open = Some(Open { pack, n_series: 1 });
        Ok(pack)
    }
}
