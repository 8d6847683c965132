//! What other receivers on the same database do: the series they create, and, while somebody watches, their samples.
//!
//! Polled in the order of each writer's own numbers, which commit in that order: no notification, whose commits would
//! wait for each other across the whole server, and no global order, in which rows become visible out of turn.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use sqlx::{PgPool, Row};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{
    Shared,
    batch::Batch,
    codec::group,
    commit::{Committed, Listener},
};

/// How soon samples of others are live.
const SAMPLES_EVERY: Duration = Duration::from_millis(500);
/// How soon series of others are known: every so many polls.
const SERIES_EVERY: u32 = 4;
/// Batches taken at once: some megabytes. What is behind them comes with the next poll.
const BATCHES_MAX: i64 = 64;

/// Runs until the storage is closed.
pub(super) async fn run(shared: Weak<Shared>, listener: Arc<dyn Listener>) {
    let mut ticks = interval(SAMPLES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tail = Tail::default();
    for n in 0u32.. {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let looks_for_series = n.is_multiple_of(SERIES_EVERY);
        if let Err(err) = tail.poll(&shared, &*listener, looks_for_series).await {
            // Others say that the database is away; here it only means that nothing comes.
            if !std::mem::replace(&mut tail.has_warned, true) {
                warn!("look after other receivers: {err}");
            }
        } else {
            tail.has_warned = false;
        }
    }
}

#[derive(Default)]
struct Tail {
    /// The last batch of each other writer that was handed on, while somebody watches.
    seen: HashMap<i32, i64>,
    /// Whether others were there when last looked for.
    is_shared: bool,
    has_warned: bool,
}

impl Tail {
    async fn poll(
        &mut self,
        shared: &Shared,
        listener: &dyn Listener,
        looks_for_series: bool,
    ) -> Result<(), sqlx::Error> {
        let me = shared.writer.writer().id;
        if looks_for_series {
            self.is_shared = has_others(&shared.db, me).await?;
            if self.is_shared {
                shared.catalogue.refresh().await?;
            }
        }
        if !self.is_shared {
            return Ok(());
        }
        if !listener.is_interested() {
            self.seen.clear();
            return Ok(());
        }
        self.hand_on(shared, me, listener).await
    }

    async fn hand_on(
        &mut self,
        shared: &Shared,
        me: i32,
        listener: &dyn Listener,
    ) -> Result<(), sqlx::Error> {
        let newest: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT w.id, greatest(w.flushed_seq, (SELECT max(b.seq) FROM watchpost.batch b
                                                    WHERE b.writer = w.id AND b.seq > w.flushed_seq))
               FROM watchpost.writer w WHERE w.id <> $1 AND w.lease_until > now()",
        )
        .bind(me)
        .fetch_all(&shared.db)
        .await?;
        for (writer, newest) in newest {
            // What was committed before anybody watched is for reading.
            let seen = *self.seen.entry(writer).or_insert(newest);
            if newest <= seen {
                continue;
            }
            let rows = sqlx::query(
                "SELECT seq, body FROM watchpost.batch WHERE writer = $1 AND seq > $2 AND seq <= $3
                  ORDER BY seq LIMIT $4",
            )
            .bind(writer)
            .bind(seen)
            .bind(newest)
            .bind(BATCHES_MAX)
            .fetch_all(&shared.db)
            .await?;
            for row in rows {
                let body: Vec<u8> = row.try_get("body")?;
                match committed(body) {
                    Ok(committed) => listener.committed(Arc::new(committed)),
                    Err(err) => warn!(writer, "a batch of another receiver: {err}"),
                }
                self.seen.insert(writer, row.try_get("seq")?);
            }
        }
        Ok(())
    }
}

async fn has_others(db: &PgPool, me: i32) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM watchpost.writer WHERE id <> $1 AND lease_until > now() - interval '1 minute')",
    )
    .bind(me)
    .fetch_one(db)
    .await
}

fn committed(body: Vec<u8>) -> Result<Committed, super::codec::CodecError> {
    let batch = Batch::open(Bytes::from(body))?;
    let mut samples = Vec::new();
    batch.read_all(&mut group::Scratch::default(), |_, series, times, values| {
        samples.extend(times.iter().zip(values).map(|(ts, value)| (series, *ts, *value)));
    })?;
    Ok(Committed::sorted(samples))
}
