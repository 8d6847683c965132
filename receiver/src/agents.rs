//! Exporters that announce themselves: a list of them, and what is wanted of each.
//!
//! An agent says who it is and what it knows, and is answered when something else is wanted of it, or after a while
//! with the same ([`Agents::announce`]): so a change of an interval, or somebody who begins to watch, reaches it at
//! once without a connection of another kind. What it samples while somebody watches ([`live`]) goes to the watchers
//! and is not stored.
//!
//! Agents that were not seen for [`FORGOTTEN_AFTER`] leave the list; there are at most [`AGENTS_MAX`].

pub(crate) mod census;
pub(crate) mod live;
pub(crate) mod store;

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::sync::watch;
use tracing::{info, warn};

pub(crate) use self::store::{Agent, AgentError, Announcement, Wanted};
use crate::{live::Hub, storage::Reader};

/// Each is a row that is written every half minute, and an open request.
pub(crate) const AGENTS_MAX: i64 = 10_000;
/// One that is down must stay for a while, so that its Prometheus sees that it is.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// How often those that are gone are taken out, by each receiver.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// An announcement is answered after this time at the latest; below what proxies and clients wait.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(25);
/// How often it is looked at whether somebody watches.
const WATCHERS_EVERY: Duration = Duration::from_millis(250);
/// How often changes that came by another receiver are looked for, while anybody waits for them.
const CHANGES_EVERY: Duration = Duration::from_secs(2);

/// The agents of this database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Agents(Arc<Inner>);

struct Inner {
    db: PgPool,
    reader: Reader,
    hub: Hub,
    changed: watch::Sender<i64>,
    waiting: AtomicUsize,
    swept: Mutex<Option<Instant>>,
    known: Mutex<live::Known>,
}

/// What an agent has heard already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) generation: i64,
    pub(crate) is_watched: bool,
}

/// What is wanted of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) wanted: Wanted,
    pub(crate) is_watched: bool,
}

impl Agents {
    /// `db` should not be one that queries wait for.
    pub(crate) fn new(db: PgPool, reader: Reader, hub: Hub) -> Self {
        let inner = Arc::new(Inner {
            db,
            reader,
            hub,
            changed: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            swept: Mutex::new(None),
            known: Mutex::default(),
        });
        tokio::spawn(look_for_changes(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Notes that an agent is there. Returns when something else is wanted of it than it has `heard`, or after `wait`.
    pub(crate) async fn announce(
        &self,
        agent: &Announcement,
        heard: Heard,
        wait: Duration,
    ) -> Result<Order, AgentError> {
        let inner = &*self.0;
        self.sweep().await;
        let mut changed = inner.changed.subscribe();
        changed.mark_unchanged();
        let _waiting = Waiting::begin(&inner.waiting);
        let deadline = tokio::time::Instant::now() + wait.min(WAIT_MAX);
        let mut wanted = store::note(&inner.db, agent).await?;
        loop {
            let is_watched = inner.hub.watches(&agent.instance);
            let now = Heard { generation: wanted.generation, is_watched };
            if now != heard || tokio::time::Instant::now() >= deadline {
                return Ok(Order { wanted, is_watched });
            }
            tokio::select! {
                _ = changed.changed() => {
                    wanted = store::wanted(&inner.db, &agent.program, &agent.instance).await?;
                }
                () = tokio::time::sleep(WATCHERS_EVERY) => {}
            }
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<Agent>, AgentError> {
        Ok(store::list(&self.0.db).await?)
    }

    /// Wants other intervals of an agent. `false`: there is none of that name.
    pub(crate) async fn want(
        &self,
        program: &str,
        instance: &str,
        stored_ms: Option<i64>,
        live_ms: Option<i64>,
    ) -> Result<bool, AgentError> {
        let generation = store::want(&self.0.db, program, instance, stored_ms, live_ms).await?;
        let Some(generation) = generation else { return Ok(false) };
        info!(program, instance, ?stored_ms, ?live_ms, "other intervals for {instance}");
        self.0.changed.send_replace(generation);
        Ok(true)
    }

    /// Takes an agent out until it announces itself again. `false`: there is none of that name.
    pub(crate) async fn forget(&self, program: &str, instance: &str) -> Result<bool, AgentError> {
        Ok(store::forget(&self.0.db, program, instance).await?)
    }

    async fn sweep(&self) {
        {
            let mut swept = self.0.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.is_some_and(|at| at.elapsed() < SWEEP_EVERY) {
                return;
            }
            *swept = Some(Instant::now());
        }
        match store::sweep(&self.0.db, FORGOTTEN_AFTER).await {
            Ok(0) => {}
            Ok(gone) => info!(gone, "forgot {gone} agents that were not seen for long"),
            Err(err) => warn!("forget agents that are gone: {err}"),
        }
    }
}

/// One announcement that is not answered yet.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells those who wait of what was wanted by way of another receiver.
async fn look_for_changes(agents: Weak<Inner>) {
    loop {
        tokio::time::sleep(CHANGES_EVERY).await;
        let Some(inner) = agents.upgrade() else { return };
        if inner.waiting.load(Ordering::Relaxed) == 0 {
            continue;
        }
        // An error shows where somebody asks.
        if let Ok(newest) = store::newest(&inner.db).await {
            inner.changed.send_if_modified(|known| {
                let is_newer = newest > *known;
                *known = newest.max(*known);
                is_newer
            });
        }
    }
}
