//! Samples in PostgreSQL: a log-structured store whose log, sorted runs and catalogue are ordinary rows.
//!
//! [`Storage::append`] is the way in and returns when the samples are committed. [`Storage::read`] is the way out.
//!
//! - [`codec`], [`batch`]: how samples become bytes.
//! - [`catalogue`]: which series there are.
//! - [`commit`]: group commit into the batch log; [`partition`] keeps the log's partitions, [`writer`] its owner.
//! - [`head`]: what is not in blocks yet, in memory.
//! - [`recover`]: reading it back after a restart.

pub mod batch;
pub mod catalogue;
pub mod codec;
pub mod commit;
pub mod head;
pub mod partition;
mod recover;
pub mod writer;

use std::{collections::HashMap, sync::Arc, time::Duration};

use promql::model::{Labels, Matcher};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::{
    catalogue::Catalogue,
    commit::{AppendError, Appended, Appender, Committer, Incoming, Listener},
    head::Head,
    writer::Writer,
};
use crate::{
    db,
    model::{MetricId, Sample, SeriesId},
};

/// Well below the lease, so that one slow answer does not lose it.
const RENEWAL: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("open the database")]
    Database {
        #[from]
        source: db::OpenError,
    },
    #[error("read the catalogue of series")]
    Catalogue {
        #[source]
        source: sqlx::Error,
    },
    #[error("register as a writer")]
    Writer {
        #[source]
        source: sqlx::Error,
    },
    #[error("read back what is not in blocks yet")]
    Recover {
        #[source]
        source: recover::RecoverError,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("a stored batch does not follow its format")]
    Codec {
        #[from]
        source: codec::CodecError,
    },
}

/// The samples of one series, in order of time, each time once.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSamples {
    pub series: SeriesId,
    pub samples: Vec<Sample>,
}

/// One database, open for writing and reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    shared: Arc<Shared>,
    appender: Appender,
}

#[derive(Debug)]
struct Shared {
    db: PgPool,
    catalogue: Catalogue,
    head: Head,
    writer: Writer,
}

/// Runs until all clones of its [`Storage`] are gone.
#[derive(Debug)]
pub struct Committing(JoinHandle<()>);

impl Committing {
    /// Waits until everything that was sent is answered.
    pub async fn finished(self) {
        if let Err(err) = self.0.await {
            error!("the committer ended: {err}");
        }
    }
}

impl Storage {
    /// Opens a database: migrates it, reads its catalogue and what is not in blocks yet.
    pub async fn open(
        url: &str,
        host: &str,
        listener: Arc<dyn Listener>,
    ) -> Result<(Self, Committing), OpenError> {
        let db = db::open(url).await?;
        let options = db::connect_options(url)?;
        let catalogue =
            Catalogue::load(db.clone()).await.map_err(|source| OpenError::Catalogue { source })?;
        let head = Head::default();
        let recovered = recover::read_back(&db, &catalogue, &head)
            .await
            .map_err(|source| OpenError::Recover { source })?;
        let writer =
            writer::register(&db, host).await.map_err(|source| OpenError::Writer { source })?;
        info!(
            series = catalogue.n_series(),
            batches = recovered.batches,
            samples = recovered.samples,
            writer = writer.id,
            "storage is open"
        );
        let committer = Committer { db: db.clone(), options, writer, head: head.clone(), listener };
        let (appender, committing) = committer.start();
        let shared = Arc::new(Shared { db, catalogue, head, writer });
        tokio::spawn(keep_lease(Arc::downgrade(&shared)));
        Ok((Self { shared, appender }, Committing(committing)))
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.shared.catalogue
    }

    pub fn db(&self) -> &PgPool {
        &self.shared.db
    }

    /// Returns when the samples are committed.
    pub async fn append(&self, samples: Vec<Incoming>) -> Result<Appended, AppendError> {
        self.appender.append(samples).await
    }

    /// Series that satisfy all matchers, at most `limit + 1`.
    pub fn select(&self, matchers: &[Matcher], limit: usize) -> Vec<SeriesId> {
        self.shared.catalogue.select(matchers, limit)
    }

    pub fn labels(&self, series: SeriesId) -> Option<Arc<Labels>> {
        self.shared.catalogue.labels(series)
    }

    /// The newest committed sample of a series.
    pub fn latest(&self, series: SeriesId) -> Option<Sample> {
        let position = self.shared.catalogue.index().position(series)?;
        self.shared.head.latest(position)
    }

    /// Samples with `from <= ts <= to`, in milliseconds; entry i answers `series[i]`.
    pub async fn read(
        &self,
        series: &[SeriesId],
        from: i64,
        to: i64,
    ) -> Result<Vec<SeriesSamples>, ReadError> {
        let by_metric = self.by_metric(series);
        let runs = self.shared.head.runs();
        let found = tokio::task::spawn_blocking(move || {
            let mut found = HashMap::new();
            for (metric, wanted) in &by_metric {
                head::read_runs(&runs, *metric, wanted, from, to, &mut found)?;
            }
            Ok::<_, ReadError>(found)
        });
        let mut found = match found.await {
            Ok(found) => found?,
            Err(err) => std::panic::resume_unwind(err.into_panic()),
        };
        Ok(series
            .iter()
            .map(|id| {
                let mut samples: Vec<Sample> = found.remove(id).unwrap_or_default();
                // Stable: of two for one time, the one that was committed first.
                samples.sort_by_key(|sample| sample.ts);
                samples.dedup_by_key(|sample| sample.ts);
                SeriesSamples { series: *id, samples }
            })
            .collect())
    }

    fn by_metric(&self, series: &[SeriesId]) -> HashMap<MetricId, Vec<SeriesId>> {
        let index = self.shared.catalogue.index();
        let mut by_metric: HashMap<MetricId, Vec<SeriesId>> = HashMap::new();
        for id in series {
            if let Some(position) = index.position(*id) {
                by_metric.entry(index.known(position).metric).or_default().push(*id);
            }
        }
        for wanted in by_metric.values_mut() {
            wanted.sort_unstable();
            wanted.dedup();
        }
        by_metric
    }
}

async fn keep_lease(shared: std::sync::Weak<Shared>) {
    let mut ticks = tokio::time::interval(RENEWAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        match writer::renew(&shared.db, shared.writer).await {
            Ok(true) => {}
            Ok(false) => {
                error!(
                    writer = shared.writer.id,
                    "another receiver took over as writer {}", shared.writer.id
                );
                return;
            }
            Err(err) => warn!("renew the writer's lease: {err}"),
        }
    }
}
