//! Which series there are: in memory for lookups and matchers, in PostgreSQL for good.
//!
//! Whoever takes requests finds a series by the hash of its raw label bytes ([`RawKey`]) and asks here for those that are
//! not found so: they are taken apart, sorted and identified ([`Identity`]), and only one that is new to the database is created
//! there. Numbers come from ranges claimed in advance; a series that two receivers create at once keeps the number of
//! whoever came first.

mod description;
mod identity;
mod index;
mod packs;
mod rows;
mod select;

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use promql::model::{Labels, Matcher};
use sqlx::PgPool;

pub(crate) use self::rows::claim;
pub use self::{
    description::Description,
    identity::{Identity, RawHasher, RawKey},
    index::{Copied, Index, Position},
};
use crate::model::{PackId, SeriesId};

/// What a lookup gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where the series stands in this process's columns.
    pub position: Position,
    /// Where its samples lie in batches and blocks.
    pub pack: PackId,
    pub series: SeriesId,
}

/// The catalogue of one database.
#[derive(Debug)]
pub struct Catalogue {
    db: PgPool,
    index: RwLock<Index>,
    /// Numbers for new series: one request takes some at a time.
    claims: tokio::sync::Mutex<rows::Claims>,
    generation: AtomicU64,
    /// What others created before this time of the database is in the index, but for what was being committed.
    seen_until: tokio::sync::Mutex<String>,
    descriptions: tokio::sync::Mutex<description::Written>,
}

impl Catalogue {
    /// Reads all series of the database.
    pub async fn load(db: PgPool) -> Result<Self, sqlx::Error> {
        let mut index = Index::default();
        let seen_until = rows::load(&db, &mut index).await?;
        Ok(Self {
            db,
            seen_until: tokio::sync::Mutex::new(seen_until),
            index: RwLock::new(index),
            claims: tokio::sync::Mutex::default(),
            generation: AtomicU64::new(1),
            descriptions: tokio::sync::Mutex::default(),
        })
    }

    /// Adds the series that other receivers created since this was last asked.
    pub async fn refresh(&self) -> Result<(), sqlx::Error> {
        let mut seen_until = self.seen_until.lock().await;
        let (now, fresh) = rows::created_since(&self.db, &seen_until).await?;
        *seen_until = now;
        let mut index = self.index.write().expect("no holder panics");
        let before = index.len();
        for row in fresh {
            index.insert(
                row.identity,
                row.metric,
                row.pack,
                row.series,
                row.labels.iter().map(|label| (&*label.name, &*label.value)),
            );
        }
        if index.len() > before {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The index for many lookups under one lock. Drop it before anything is awaited.
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("no holder panics")
    }

    /// Grows whenever a series was added.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Finds or creates series, in the order given.
    pub async fn resolve(&self, unknown: &[&Labels]) -> Result<Vec<Known>, sqlx::Error> {
        let identities: Vec<Identity> = unknown.iter().map(|labels| Identity::of(labels)).collect();
        let missing = {
            let index = self.index();
            identities.iter().any(|identity| index.by_identity(*identity).is_none())
        };
        if missing {
            let placed = {
                let mut claims = self.claims.lock().await;
                let (missing, metrics) = self.missing(&identities, unknown);
                rows::place(&self.db, &mut claims, missing, metrics).await?
            };
            // Not under the lock: requests that bring different series, as those of one sender do, need not wait for each
            // other, and of two that bring the same ones the database tells who was first.
            let rows = rows::create(&self.db, placed).await?;
            let mut index = self.index.write().expect("no holder panics");
            for row in rows {
                let labels = row.labels.iter().map(|label| (&*label.name, &*label.value));
                index.insert(row.identity, row.metric, row.pack, row.series, labels);
            }
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        let index = self.index();
        let known = identities
            .iter()
            .map(|identity| index.by_identity(*identity).expect("found or created above"));
        Ok(known.collect())
    }

    /// The series among these that the index does not know, and the numbers of their metrics as far as it does.
    fn missing<'a>(
        &self,
        identities: &[Identity],
        unknown: &[&'a Labels],
    ) -> (Vec<(Identity, &'a Labels)>, HashMap<&'a str, i32>) {
        let index = self.index();
        let missing: Vec<(Identity, &Labels)> = identities
            .iter()
            .zip(unknown)
            .filter(|(identity, _)| index.by_identity(**identity).is_none())
            .map(|(identity, labels)| (*identity, *labels))
            .collect();
        let names = missing.iter().map(|(_, labels)| labels.metric_name());
        let metrics = names.filter_map(|name| Some((name, index.metric(name)?.0))).collect();
        (missing, metrics)
    }

    /// Keeps what exporters say about their metrics; the last word wins.
    pub async fn describe(&self, descriptions: Vec<Description>) -> Result<(), sqlx::Error> {
        let mut written = self.descriptions.lock().await;
        let changed = written.changed(descriptions);
        if changed.is_empty() {
            return Ok(());
        }
        let mut claims = self.claims.lock().await;
        description::write(&self.db, &mut claims, &changed).await?;
        written.remember(changed);
        Ok(())
    }

    /// Series that satisfy all matchers, in order of their numbers; at most `limit + 1`, so that the caller can tell.
    pub fn select(&self, matchers: &[Matcher], limit: usize) -> Vec<SeriesId> {
        select::select(&self.index, matchers, limit)
    }

    pub fn labels(&self, series: SeriesId) -> Option<Arc<Labels>> {
        let index = self.index();
        index.position(series).map(|position| Arc::new(index.labels(position)))
    }

    pub fn n_series(&self) -> usize {
        self.index().len()
    }
}
