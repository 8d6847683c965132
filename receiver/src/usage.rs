//! What the database takes on disk, as a metric: looked at now and then, for an alert about growth.
//!
//! Only sizes of files are asked for, which costs the server a few milliseconds whatever is in them; what takes how much in
//! detail is `storage::report`.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use sqlx::PgPool;
use tokio::{sync::watch, time::MissedTickBehavior};
use tracing::debug;

/// Growth is a matter of hours.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// What the bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// Days that are final.
    Final,
    /// Blocks that are merged, of days that are not.
    Merged,
    /// Blocks as they were flushed.
    Recent,
    /// Batches.
    Log,
    /// Names and labels of series.
    Catalogue,
    /// Hours.
    Rollups,
    /// Exemplars, tokens and the like.
    Other,
}

service::label_values!(Part);

impl Part {
    const ALL: [Self; 7] = [
        Self::Final,
        Self::Merged,
        Self::Recent,
        Self::Log,
        Self::Catalogue,
        Self::Rollups,
        Self::Other,
    ];

    fn of(table: &str) -> Self {
        match table {
            "block" => Self::Final,
            "block_window" => Self::Merged,
            "block_recent" => Self::Recent,
            "batch" => Self::Log,
            "series" | "metric" => Self::Catalogue,
            "rollup" => Self::Rollups,
            _ => Self::Other,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPart {
    part: Part,
}

/// Clones share their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    bytes: Family<ByPart, Gauge>,
}

impl Usage {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register_with_unit(
            "receiver_storage",
            "What the database takes on disk, indexes included, by what it is for; the same on all receivers of a database",
            Unit::Bytes,
            this.bytes.clone(),
        );
        this
    }

    /// Looks at once and then every few minutes, until the sender of `accepting` is gone: the storage is closed.
    pub(crate) async fn follow(self, db: PgPool, mut accepting: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if let Err(err) = self.look(&db).await {
                        // The value stays as it was; that the database is away is said by those who miss it.
                        debug!("look at the size of the database: {err}");
                    }
                }
                changed = accepting.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn look(&self, db: &PgPool) -> Result<(), sqlx::Error> {
        let sizes: Vec<(String, i64)> = sqlx::query_as(
            "SELECT part_of::text, sum(bytes)::bigint FROM watchpost.relation_size GROUP BY part_of",
        )
        .fetch_all(db)
        .await?;
        for part in Part::ALL {
            let bytes = sizes.iter().filter(|(table, _)| Part::of(table) == part).map(|(_, n)| n);
            self.bytes.get_or_create(&ByPart { part }).set(bytes.sum());
        }
        Ok(())
    }
}
