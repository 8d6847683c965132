//! The one way in: remote write, this machine's own scrapes and, later, rule results all become samples here.
//!
//! A request is walked in place ([`decode`]): a series that is known is found by a hash of its raw label bytes, and only
//! unknown ones are taken apart and judged ([`validate`]). What is good is committed; what is not is named and counted,
//! and harms nothing else ([`Refusals`]). Samples, native histograms, exemplars and start timestamps of one request are
//! committed together; what it says about metrics goes before them.

mod decode;
mod described;
mod exemplar;
mod gate;
mod histogram;
mod keys;
mod limits;
pub mod metrics;
mod newcomers;
mod pairs;
pub mod quota;
mod refusal;
pub mod relabel;
pub mod replicas;
#[cfg(feature = "testing")]
pub mod testing;
mod validate;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use promql::model::Labels;
use proto::{remote_write::WireError, snappy::SnappyError};
use sqlx::PgPool;

use self::{
    decode::Decoded,
    described::Described,
    gate::{Gate, Standing},
    keys::Meaning,
    newcomers::{CREATED_AT_ONCE_MAX, Newcomer, Newcomers},
    pairs::PairHasher,
};
pub use self::{
    limits::{Limit, LimitArgs, Limits},
    metrics::IngestMetrics,
    refusal::{Reason, Refusals},
};
use crate::{
    config::Rules,
    db::sqlstate::{self, Outlook},
    model::now_ms,
    storage::{
        Storage,
        catalogue::{RawHasher, RawKey},
        commit::{AppendError, Content, Incoming, IncomingHistogram},
        exemplar::IncomingExemplar,
        start::IncomingStart,
    },
};

/// Compressed bodies up to this size are decoded where they arrive, in well below a millisecond: taking them to another
/// thread and back costs a tenth of that. Prometheus' usual requests are a quarter of it.
const INLINE_BYTES_MAX: usize = 128 << 10;

/// A version of remote write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

impl Version {
    /// The name of its protobuf message.
    pub fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// What became of a request whose good part is committed.
#[derive(Debug, Default)]
pub struct Written {
    /// Samples that are stored now, without native histograms.
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
    /// What the rules drop: for its sender it is as good as stored.
    pub dropped: Dropped,
    /// What another replica than the leader sent: the same.
    pub standby: Dropped,
    /// What was not stored, and why. Not empty: the sender has to be told.
    pub refusals: Refusals,
}

/// What is not stored and not refused either, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
}

impl Written {
    /// What the sender of a request that was refused in part is told.
    pub fn explain(&self) -> String {
        self.refusals.explain(self.samples + self.histograms, self.exemplars)
    }
}

/// Why nothing of a request was stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    #[error("the body is not a {}: {source}", version.message())]
    Wire { version: Version, source: WireError },
    #[error("the request holds more than {limit} {}", what.noun())]
    TooMany { what: Limit, limit: usize },
    #[error("the database cannot be reached or did not answer in time")]
    Database {
        #[source]
        source: sqlx::Error,
    },
    #[error("the database refuses the request")]
    Refused {
        #[source]
        source: sqlx::Error,
    },
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What was sent may or may not be there; sending it again is harmless.
    #[error("the request was not stored in time")]
    TooSlow,
}

impl WriteError {
    /// Whether the same request may succeed later.
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::Snappy(_) | Self::Wire { .. } | Self::TooMany { .. } | Self::Refused { .. } => {
                Outlook::NeverPasses
            }
            Self::Append(AppendError::TooManySamples) => Outlook::NeverPasses,
            Self::Append(_) | Self::Database { .. } | Self::TooSlow => Outlook::MayPass,
        }
    }

    /// The bound that the request met, if it did.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Snappy(SnappyError::Bomb { .. }) => Some(Limit::Ratio),
            Self::Snappy(SnappyError::TooLarge { .. }) => Some(Limit::Decoded),
            Self::TooMany { what, .. } => Some(*what),
            Self::TooSlow => Some(Limit::RequestTime),
            Self::Append(AppendError::TooManySamples) => Some(Limit::Samples),
            Self::Append(AppendError::Overloaded) => Some(Limit::Queue),
            Self::Snappy(_)
            | Self::Wire { .. }
            | Self::Refused { .. }
            | Self::Database { .. }
            | Self::Append(_) => None,
        }
    }
}

/// Takes requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    storage: Storage,
    hasher: RawHasher,
    pairs: PairHasher,
    described: Described,
    gate: Gate,
    limits: Arc<Limits>,
    metrics: IngestMetrics,
}

impl Ingest {
    pub fn new(storage: Storage, limits: Limits, rules: Rules, metrics: IngestMetrics) -> Self {
        Self {
            storage,
            hasher: RawHasher::new(),
            pairs: PairHasher::new(),
            described: Described::default(),
            gate: Gate::new(rules),
            limits: Arc::new(limits),
            metrics,
        }
    }

    /// Puts other rules in force, for requests that come from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.gate.replace(rules);
    }

    /// Reads who leads among replicas, and goes on agreeing with other receivers about it while this is in use. `db` is a
    /// pool of its own: whoever agrees must not wait for those who query.
    pub async fn agree_on_leaders(&self, db: PgPool) -> Result<(), sqlx::Error> {
        self.gate.agree(db).await
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where it is counted what becomes of requests.
    pub fn metrics(&self) -> &IngestMetrics {
        &self.metrics
    }

    /// Stores a remote write 1.0 request: a snappy block of a `prometheus.WriteRequest`. Returns when it is committed.
    pub async fn write_v1(&self, block: Bytes) -> Result<Written, WriteError> {
        self.write(Version::V1, block, Instant::now() + self.limits.request_timeout).await
    }

    /// Stores a snappy block of the message of this version. Returns when it is committed, or at the deadline.
    pub async fn write(
        &self,
        version: Version,
        block: Bytes,
        deadline: Instant,
    ) -> Result<Written, WriteError> {
        let storing = self.decode_and_append(version, block);
        let outcome = match tokio::time::timeout_at(deadline.into(), storing).await {
            Ok(outcome) => outcome,
            Err(_) => Err(WriteError::TooSlow),
        };
        match &outcome {
            Ok(written) => self.metrics.written(written),
            Err(err) => self.metrics.failed(err),
        }
        outcome
    }

    async fn decode_and_append(
        &self,
        version: Version,
        block: Bytes,
    ) -> Result<Written, WriteError> {
        let now = now_ms();
        let standing = self.gate.standing();
        let decoded = if block.len() <= INLINE_BYTES_MAX {
            self.decode(version, &block, &standing, now)?
        } else {
            let (this, standing) = (self.clone(), Arc::clone(&standing));
            let decoding =
                tokio::task::spawn_blocking(move || this.decode(version, &block, &standing, now));
            match decoding.await {
                Ok(decoded) => decoded?,
                Err(err) => std::panic::resume_unwind(err.into_panic()),
            }
        };
        self.metrics.starts_ignored(decoded.starts_ignored);
        if !decoded.learned.is_empty() {
            self.remember(&standing, decoded.learned);
        }
        let mut refusals = decoded.refusals;
        let mut content = decoded.content;
        if !decoded.unknown.is_empty() {
            self.resolve(&standing, decoded.unknown, &mut content).await?;
        }
        if !decoded.metadata.is_empty() {
            self.storage.catalogue().describe(decoded.metadata).await.map_err(database)?;
            self.described.remember(&decoded.described);
        }
        let appended = self.storage.append_all(content).await?;
        refusals.conflicts(&appended, |series| {
            self.storage.reader().labels(series).map(|labels| labels.to_string())
        });
        Ok(Written {
            samples: appended.written - appended.histograms,
            histograms: appended.histograms,
            exemplars: appended.exemplars,
            dropped: decoded.dropped,
            standby: decoded.standby,
            refusals,
        })
    }

    /// Keeps what label bytes mean under the rules that said so.
    fn remember(&self, standing: &Standing, keys: impl IntoIterator<Item = (RawKey, Meaning)>) {
        let n_series = self.storage.catalogue().n_series();
        standing.keys.remember(keys, n_series, self.metrics.keys_forgotten());
    }

    fn decode(
        &self,
        version: Version,
        block: &[u8],
        standing: &Standing,
        now: i64,
    ) -> Result<Decoded, WriteError> {
        let written = standing.limits().map(|limits| {
            standing.quotas.prepare(self.storage.catalogue().n_series(), now);
            (limits, standing.quotas.written())
        });
        let context = decode::Context {
            quota: written.as_ref().map(|(limits, written)| (*limits, &**written)),
            // Before the keys, or they could know a series that this does not have yet.
            index: &self.storage.catalogue().index(),
            standing,
            keys: &standing.keys.halves(),
            hasher: &self.hasher,
            pairs: &self.pairs,
            starts: self.storage.starts(),
            described: &self.described,
            limits: &self.limits,
            now,
        };
        decode::decode(version, block, context)
    }

    /// Finds or creates the series that were not known, some at a time, and adds what they brought.
    async fn resolve(
        &self,
        standing: &Standing,
        unknown: Newcomers,
        content: &mut Content,
    ) -> Result<(), WriteError> {
        content.samples.reserve(unknown.n_samples());
        let mut series = unknown.take_apart();
        loop {
            let some: Vec<Newcomer> = series.by_ref().take(CREATED_AT_ONCE_MAX).collect();
            if some.is_empty() {
                return Ok(());
            }
            self.resolve_some(standing, some, content).await?;
        }
    }

    async fn resolve_some(
        &self,
        standing: &Standing,
        newcomers: Vec<Newcomer>,
        content: &mut Content,
    ) -> Result<(), WriteError> {
        let labels: Vec<&Labels> = newcomers.iter().map(|one| &one.labels).collect();
        let known = self.storage.catalogue().resolve(&labels).await.map_err(database)?;
        if standing.limits().is_some() {
            let now = now_ms();
            standing.quotas.prepare(self.storage.catalogue().n_series(), now);
            let positions = known.iter().map(|known| known.position);
            let jobs = labels.iter().map(|labels| labels.get(decode::JOB));
            standing.quotas.created(positions.zip(jobs), now);
        }
        let meanings = newcomers
            .iter()
            .zip(&known)
            .map(|(one, known)| (one.raw_key, Meaning::Series(known.position, one.peer)));
        self.remember(standing, meanings);
        for (known, Newcomer { brought, .. }) in known.into_iter().zip(newcomers) {
            let (position, series) = (known.position, known.series);
            let samples = brought.samples.into_iter();
            content.samples.extend(samples.map(|sample| Incoming { known, sample }));
            let histograms = brought.histograms.into_iter();
            content.histograms.extend(histograms.map(|sample| IncomingHistogram { known, sample }));
            let exemplars = brought.exemplars.into_iter();
            content
                .exemplars
                .extend(exemplars.map(|exemplar| IncomingExemplar { series, exemplar }));
            let start = |(ts, start_ts)| IncomingStart { position, series, ts, start_ts };
            content.starts.extend(brought.starts.into_iter().map(start));
        }
        Ok(())
    }
}

fn database(source: sqlx::Error) -> WriteError {
    match sqlstate::outlook(&source) {
        Outlook::MayPass => WriteError::Database { source },
        Outlook::NeverPasses => WriteError::Refused { source },
    }
}
