//! Samples in PostgreSQL: a log-structured store whose log, sorted runs and catalogue are ordinary rows.
//!
//! [`Storage::append`] is the way in and returns when the samples are committed. [`Storage::reader`] is the way out.
//!
//! - [`codec`], [`batch`]: how samples become bytes.
//! - [`histogram`]: samples that are histograms.
//! - [`catalogue`]: which series there are.
//! - [`commit`]: group commit into the batch log; [`partition`] keeps the log's partitions, [`writer`] its owner.
//! - [`exemplar`], [`start`]: what is committed beside the samples, as ordinary rows.
//! - [`head`]: what is not in blocks yet, in memory.
//! - [`flush`] turns the head into rows of [`block`]s; `housekeeping` says when, and drops what nobody needs.
//! - `merge` turns flushed blocks into larger ones, and days into final ones, under a `lease`.
//! - [`delete`] hides what somebody wants to have deleted, at once, and takes it out of the blocks later.
//! - `rollup` keeps hours of whole days.
//! - `tail` learns what other receivers on the same database do.
//! - `read` brings head and blocks together, `source` hands that to the query engine, `presence` says which series may
//!   have samples in a range; `recover` fills the head after a
//!   restart.

pub mod batch;
pub mod block;
pub mod catalogue;
pub mod codec;
pub mod commit;
mod copy;
pub mod delete;
pub mod exemplar;
pub mod flush;
pub mod head;
pub mod histogram;
mod housekeeping;
mod lease;
mod merge;
pub mod metrics;
pub mod partition;
mod presence;
mod read;
mod recover;
pub mod report;
pub mod retention;
mod rollup;
mod source;
pub mod start;
mod tail;
pub mod writer;

pub use self::presence::Presence;
pub use self::{housekeeping::HousekeepingError, metrics::StorageMetrics};
pub use self::{read::Bounds, read::PackStream, source::BoundedReader};

use std::{sync::Arc, time::Duration};

use promql::model::{Labels, Matcher};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::{
    catalogue::Catalogue,
    commit::{AppendError, Appended, Appender, Committer, Content, Incoming, Listener},
    delete::{DeleteError, Preview, Request},
    exemplar::SeriesExemplars,
    flush::{FlushError, Flushed},
    head::Head,
    histogram::HistogramSample,
    partition::Table,
    retention::Retention,
    start::Starts,
    writer::Current,
};
use crate::{
    db,
    model::{Clock, Sample, SeriesId},
};

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
    #[error("read who leads among replicas")]
    Leaders {
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
    #[error("stored bytes do not follow their format")]
    Codec {
        #[from]
        source: codec::CodecError,
    },
    #[error("read blocks")]
    Blocks {
        #[from]
        source: sqlx::Error,
    },
    #[error("more samples than may be held at once: select fewer series or a shorter range")]
    TooManySamples,
    #[error("more series than may be selected at once: use a narrower selector")]
    TooManySeries,
    #[error("reading took too long")]
    TimedOut,
    #[error("reading was given up")]
    Cancelled,
    #[error("decoding ended unexpectedly")]
    Interrupted,
}

/// The samples of one series, in order of time, each time once.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSamples {
    pub series: SeriesId,
    pub samples: Vec<Sample>,
    /// Native histograms, none at the time of any of `samples`.
    pub histograms: Vec<HistogramSample>,
}

impl SeriesSamples {
    pub fn len(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty()
    }
}

/// The same as columns: `values[i]` is from `timestamps[i]`, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesColumns {
    pub series: SeriesId,
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
    /// Native histograms, none at any of `timestamps`.
    pub histograms: Vec<HistogramSample>,
}

impl SeriesColumns {
    pub fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.histograms.is_empty()
    }

    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.timestamps
            .iter()
            .zip(&self.values)
            .map(|(ts, value)| Sample { ts: *ts, value: *value })
    }

    fn into_samples(self) -> SeriesSamples {
        let samples = self.samples().collect();
        SeriesSamples { series: self.series, samples, histograms: self.histograms }
    }

    /// Brings the floats in order of time. Of two for one time, the first stays.
    fn sort(&mut self) {
        let mut samples: Vec<Sample> = self.samples().collect();
        samples.sort_by_key(|sample| sample.ts);
        samples.dedup_by_key(|sample| sample.ts);
        self.timestamps.clear();
        self.timestamps.extend(samples.iter().map(|sample| sample.ts));
        self.values.clear();
        self.values.extend(samples.iter().map(|sample| sample.value));
    }
}

/// What a storage is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    pub database_url: String,
    /// Names this process in `watchpost.writer`.
    pub host: String,
    pub retention: Retention,
    /// For how long the hours of days are kept, if at all.
    pub rollups: Option<Duration>,
    /// How long samples stay in batches only: a restart reads them back, and SQL decodes them without an index.
    pub flush_every: Duration,
    /// What decides into which partitions things go.
    pub clock: Clock,
}

impl Options {
    /// Flushes every two minutes.
    pub const FLUSH_EVERY: Duration = Duration::from_secs(120);

    /// Samples are kept for ever, and no rollups.
    pub fn new(database_url: String, host: String) -> Self {
        Self {
            database_url,
            host,
            retention: Retention::default(),
            rollups: None,
            flush_every: Self::FLUSH_EVERY,
            clock: Clock::default(),
        }
    }
}

/// One database, open for writing and reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    reader: Reader,
    appender: Appender,
}

/// The reading side alone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    db: PgPool,
    /// Connections for reading samples alone, so that no query waits for ingest or the other way round.
    reading: PgPool,
    catalogue: Arc<Catalogue>,
    head: Head,
    starts: Starts,
    writer: Current,
    flushing: tokio::sync::Mutex<()>,
    housekeeping: tokio::sync::Mutex<()>,
    /// Partitions of blocks that are superseded, and since when that is known, in milliseconds.
    superseded: std::sync::Mutex<std::collections::HashMap<(Table, i32), i64>>,
    metrics: StorageMetrics,
    clock: Clock,
    learning: tokio::sync::Mutex<()>,
    retention: Retention,
    rollups: Option<Duration>,
}

/// What is left to do when all clones of a [`Storage`] are gone.
#[derive(Debug)]
pub struct Closing {
    committing: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Closing {
    /// Waits until everything that was sent is answered, and leaves everything in blocks, so that the next start has
    /// nothing to read back.
    pub async fn finished(self) {
        if let Err(err) = self.committing.await {
            error!("the committer ended: {err}");
        }
        let flushed = match self.shared.flush(self.shared.clock.now_ms()).await {
            Ok(flushed) => flushed,
            // Nothing is lost: the batches are read back at the next start.
            Err(err) => return warn!("the last flush: {}", service::error::chain(&err)),
        };
        if let Err(err) = writer::release(&self.shared.db, self.shared.writer.writer()).await {
            warn!("release the writer's lease: {err}");
        }
        info!(samples = flushed.samples, "storage is closed");
        self.shared.reading.close().await;
        self.shared.db.close().await;
    }
}

impl Storage {
    /// Opens a database: migrates it, reads its catalogue and what is not in blocks yet.
    pub async fn open(
        options: Options,
        listener: Arc<dyn Listener>,
    ) -> Result<(Self, Closing), OpenError> {
        let db = db::open(&options.database_url).await?;
        let connect_options = db::connect_options(&options.database_url)?;
        let catalogue =
            Catalogue::load(db.clone()).await.map_err(|source| OpenError::Catalogue { source })?;
        let head = Head::default();
        let recovered = recover::read_back(&db, &catalogue, &head, None)
            .await
            .map_err(|source| OpenError::Recover { source })?;
        let writer = writer::register(&db, &options.host)
            .await
            .map_err(|source| OpenError::Writer { source })?;
        info!(
            series = catalogue.n_series(),
            batches = recovered.batches,
            samples = recovered.samples,
            writer = writer.id,
            "storage is open"
        );
        let now = options.clock.now_ms();
        for table in [Table::Batch, Table::BlockRecent, Table::Exemplar] {
            partition::ensure(&db, table, table.bucket_of(now))
                .await
                .map_err(|source| OpenError::Writer { source })?;
        }
        let writer = Current::new(writer);
        let committer = Committer {
            db: db.clone(),
            options: connect_options,
            writer: writer.clone(),
            head: head.clone(),
            starts: Starts::default(),
            clock: options.clock.clone(),
            listener: Arc::clone(&listener),
        };
        let starts = committer.starts.clone();
        let (appender, committing) = committer.start();
        let flushing = tokio::sync::Mutex::default();
        let shared = Arc::new(Shared {
            db: db.clone(),
            reading: db::reading(&db),
            catalogue: Arc::new(catalogue),
            head,
            starts,
            writer,
            flushing,
            housekeeping: tokio::sync::Mutex::default(),
            superseded: std::sync::Mutex::default(),
            metrics: StorageMetrics::default(),
            clock: options.clock,
            learning: tokio::sync::Mutex::default(),
            retention: options.retention,
            rollups: options.rollups,
        });
        shared.learn_of_deletions().await.map_err(|source| OpenError::Catalogue { source })?;
        tokio::spawn(housekeeping::run(Arc::downgrade(&shared), options.flush_every));
        tokio::spawn(housekeeping::flush_when_full(Arc::downgrade(&shared)));
        tokio::spawn(tail::run(Arc::downgrade(&shared), listener));
        tokio::spawn(housekeeping::keep_alive(Arc::downgrade(&shared), db, options.host));
        tokio::spawn(housekeeping::run_deletions(Arc::downgrade(&shared)));
        let closing = Closing { committing, shared: Arc::clone(&shared) };
        Ok((Self { reader: Reader(shared), appender }, closing))
    }

    /// Returns when the samples are committed.
    pub async fn append(&self, samples: Vec<Incoming>) -> Result<Appended, AppendError> {
        self.append_all(Content { samples, ..Content::default() }).await
    }

    /// Returns when everything is committed, in one transaction.
    pub async fn append_all(&self, content: Content) -> Result<Appended, AppendError> {
        self.appender.append(content).await
    }

    /// What is known about when counters started.
    pub fn starts(&self) -> &Starts {
        &self.reader.0.starts
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    pub fn catalogue(&self) -> &Catalogue {
        self.reader.catalogue()
    }

    /// What [`Storage::delete`] would delete.
    pub async fn preview_deletion(&self, request: &Request) -> Result<Preview, DeleteError> {
        let shared = &self.reader.0;
        delete::preview(&shared.db, &shared.catalogue, request).await
    }

    /// Deletes: when this returns, no reader of this process sees any of it, other receivers within seconds, and SQL at
    /// once. The space is free when everything that was written before is merged and rewritten. What is sent again
    /// afterwards is new and stays. Gives the number of series.
    pub async fn delete(&self, request: &Request) -> Result<usize, DeleteError> {
        let shared = &self.reader.0;
        let (deletion, n_series) = delete::create(&shared.db, &shared.catalogue, request).await?;
        shared.learn_of_deletions().await?;
        if let Some(deletion) = deletion {
            exemplar::delete(&shared.db, deletion).await?;
            info!(deletion, series = n_series, "deletion {deletion} hides {n_series} series");
        }
        Ok(n_series)
    }

    /// Does what is done now and then: flushes, adopts what dead writers left, merges, drops what nobody needs. `now` is
    /// in milliseconds since the Unix epoch; a later one brings forward what would be due then. Does all that it can, and
    /// gives the first failure.
    pub async fn housekeep(&self, now: i64) -> Result<Flushed, HousekeepingError> {
        let housekeeping::Done { flushed, mut failures } =
            housekeeping::all(&self.reader.0, now).await;
        for failure in failures.iter().skip(1) {
            warn!("housekeeping: {}", service::error::chain(failure));
        }
        if failures.is_empty() { Ok(flushed) } else { Err(failures.swap_remove(0)) }
    }

    /// Counters of flushes, merges and their like.
    pub fn metrics(&self) -> &StorageMetrics {
        &self.reader.0.metrics
    }

    /// Whether writes are taken: not while another receiver has taken over and this one is not registered anew.
    pub fn accepting(&self) -> tokio::sync::watch::Receiver<bool> {
        self.reader.0.writer.watch()
    }
}

impl Reader {
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    pub fn db(&self) -> &PgPool {
        &self.0.db
    }

    /// Series that satisfy all matchers, at most `limit + 1`.
    pub fn select(&self, matchers: &[Matcher], limit: usize) -> Vec<SeriesId> {
        self.0.catalogue.select(matchers, limit)
    }

    pub fn labels(&self, series: SeriesId) -> Option<Arc<Labels>> {
        self.0.catalogue.labels(series)
    }

    /// The newest committed sample of a series that this process knows of.
    pub fn latest(&self, series: SeriesId) -> Option<Sample> {
        let position = self.0.catalogue.index().position(series)?;
        self.0.head.latest(position)
    }

    /// Samples with `from <= ts <= to`, in milliseconds; entry i answers `series[i]`.
    pub async fn read(
        &self,
        series: &[SeriesId],
        from: i64,
        to: i64,
    ) -> Result<Vec<SeriesSamples>, ReadError> {
        read::read(self.places(), series, from, to).await
    }

    /// The same, pack by pack, while the database sends what comes next.
    pub fn stream(&self, series: &[SeriesId], from: i64, to: i64) -> PackStream {
        self.stream_within(series, from, to, Bounds::default())
    }

    /// The same within bounds.
    pub fn stream_within(
        &self,
        series: &[SeriesId],
        from: i64,
        to: i64,
        bounds: Bounds,
    ) -> PackStream {
        read::stream(self.places(), series, from, to, bounds)
    }

    /// The exemplars of these series with `from <= ts <= to`, in milliseconds, by series in order of their numbers; at most
    /// `limit` in all.
    pub async fn exemplars(
        &self,
        series: &[SeriesId],
        from: i64,
        to: i64,
        limit: usize,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        Ok(exemplar::read(&self.0.db, series, from, to, limit).await?)
    }

    fn places(&self) -> read::Places<'_> {
        let Shared { reading, catalogue, head, writer, .. } = &*self.0;
        read::Places { db: reading, catalogue, head, writer: writer.writer() }
    }
}

impl Shared {
    async fn flush(&self, now: i64) -> Result<Flushed, FlushError> {
        // One at a time: two would write the same samples twice.
        let _only = self.flushing.lock().await;
        loop {
            match flush::flush(&self.db, &self.head, self.writer.writer(), now).await {
                Err(FlushError::Deleted) => self.learn_of_deletions().await?,
                done => return done,
            }
        }
    }

    /// From now on this process hides what was deleted before.
    async fn learn_of_deletions(&self) -> Result<(), sqlx::Error> {
        // One at a time, or an older answer could replace a newer one.
        let _only = self.learning.lock().await;
        let known = self.head.deletions().refreshed(&self.db).await?;
        let index = self.catalogue.index();
        self.head.delete(known, |deletion| {
            deletion.series.iter().filter_map(|series| index.position(*series)).collect()
        });
        Ok(())
    }
}
