//! How many agents are there and how many are silent, as a metric: counted now and then, for an alert.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use sqlx::PgPool;
use tokio::{sync::watch, time::MissedTickBehavior};
use tracing::debug;

/// Well below the two minutes after which an agent counts as away.
const EVERY: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Announced itself lately.
    Here,
    /// Did not, and is not forgotten yet.
    Away,
}

service::label_values!(State);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: State,
}

/// Clones share their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    agents: Family<ByState, Gauge>,
}

impl Census {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register(
            "receiver_agents",
            "Exporters that announced themselves in the last week, by whether they did in the last two minutes; the same on all receivers of a database",
            this.agents.clone(),
        );
        this
    }

    /// Counts at once and then again and again, until the sender of `accepting` is gone: the storage is closed.
    pub(crate) async fn follow(self, db: PgPool, mut accepting: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => match super::store::count(&db).await {
                    Ok((here, away)) => self.set(here, away),
                    // The values stay as they were; that the database is away is said by those who miss it.
                    Err(err) => debug!("count agents: {err}"),
                },
                changed = accepting.changed() => if changed.is_err() { return },
            }
        }
    }

    fn set(&self, here: i64, away: i64) {
        for (state, n) in [(State::Here, here), (State::Away, away)] {
            self.agents.get_or_create(&ByState { state }).set(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{self, testing};

    #[tokio::test]
    async fn who_is_silent_is_counted_until_forgotten() {
        let database = testing::database().await;
        let db = db::open(database.url()).await.unwrap();
        for (instance, age) in
            [("a", "1 minute"), ("b", "3 minutes"), ("c", "6 days"), ("d", "8 days")]
        {
            sqlx::query(
                "INSERT INTO watchpost.agent (program, instance, job, name, address, scheme, metrics_path, version, os,
                        labels, pushes, stored_interval_ms, live_interval_ms, seen_at)
                 VALUES ('exporter', $1, 'node', $1, 'x', 'http', '/metrics', '1', 'linux', '{}', true, 1, 1,
                         now() - $2::text::interval)",
            )
            .bind(instance)
            .bind(age)
            .execute(&db)
            .await
            .unwrap();
        }
        assert_eq!(super::super::store::count(&db).await.unwrap(), (1, 2));
        let mut registry = Registry::default();
        let census = Census::register(&mut registry);
        let (accepting, receiver) = watch::channel(true);
        let following = tokio::spawn(census.clone().follow(db.clone(), receiver));
        let away = census.agents.get_or_create_owned(&ByState { state: State::Away });
        while away.get() != 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(accepting);
        following.await.unwrap();
        db.close().await;
    }
}
