//! The one way in: remote write, this machine's own scrapes and, later, rule results all become samples here.
//!
//! A request is walked in place ([`decode`]): a series that is known is found by a hash of its raw label bytes, and only
//! unknown ones are taken apart and judged ([`validate`]). What is good is committed; what is not is named and counted,
//! and harms nothing else ([`Refusals`]).

mod decode;
mod histogram;
mod limits;
pub mod metrics;
mod refusal;
#[cfg(feature = "testing")]
pub mod testing;
mod validate;

use std::sync::Arc;

use bytes::Bytes;
use proto::{remote_write::WireError, snappy::SnappyError};

pub use self::{
    limits::Limits,
    metrics::IngestMetrics,
    refusal::{Reason, Refusals},
};
use crate::{
    db::sqlstate::{self, Outlook},
    model::now_ms,
    storage::{
        Storage,
        catalogue::RawHasher,
        commit::{AppendError, Incoming, IncomingHistogram},
    },
};

/// Compressed bodies up to this size are decoded where they arrive, in well below a millisecond: taking them to another
/// thread and back costs a tenth of that. Prometheus' usual requests are a quarter of it.
const INLINE_BYTES_MAX: usize = 128 << 10;

/// What became of a request whose good part is committed.
#[derive(Debug, Default)]
pub struct Written {
    /// Samples that are stored now.
    pub samples: usize,
    /// What was not stored, and why. Not empty: the sender has to be told.
    pub refusals: Refusals,
}

/// Why nothing of a request was stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    #[error("the body is not a prometheus.WriteRequest: {0}")]
    Wire(#[source] WireError),
    #[error("the request holds more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
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
}

impl From<WireError> for WriteError {
    fn from(err: WireError) -> Self {
        match err {
            WireError::TooMany { what, limit } => Self::TooMany { what, limit },
            err => Self::Wire(err),
        }
    }
}

impl WriteError {
    /// Whether the same request may succeed later.
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::Snappy(_) | Self::Wire(_) | Self::TooMany { .. } | Self::Refused { .. } => {
                Outlook::NeverPasses
            }
            Self::Append(AppendError::TooManySamples) => Outlook::NeverPasses,
            Self::Append(_) | Self::Database { .. } => Outlook::MayPass,
        }
    }
}

/// Takes requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    storage: Storage,
    hasher: RawHasher,
    limits: Arc<Limits>,
    metrics: IngestMetrics,
}

impl Ingest {
    pub fn new(storage: Storage, limits: Limits, metrics: IngestMetrics) -> Self {
        Self { storage, hasher: RawHasher::new(), limits: Arc::new(limits), metrics }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Stores a remote write 1.0 request: a snappy block of a `prometheus.WriteRequest`. Returns when it is committed.
    pub async fn write_v1(&self, block: Bytes) -> Result<Written, WriteError> {
        let outcome = self.decode_and_append(block).await;
        match &outcome {
            Ok(written) => self.metrics.written(written),
            Err(err) => self.metrics.failed(err),
        }
        outcome
    }

    async fn decode_and_append(&self, block: Bytes) -> Result<Written, WriteError> {
        let now = now_ms();
        let decoded = if block.len() <= INLINE_BYTES_MAX {
            let index = self.storage.catalogue().index();
            decode::v1(&block, &index, &self.hasher, &self.limits, now)?
        } else {
            let this = self.clone();
            let decoding = tokio::task::spawn_blocking(move || {
                let index = this.storage.catalogue().index();
                decode::v1(&block, &index, &this.hasher, &this.limits, now)
            });
            match decoding.await {
                Ok(decoded) => decoded?,
                Err(err) => std::panic::resume_unwind(err.into_panic()),
            }
        };
        let mut refusals = decoded.refusals;
        let (mut samples, mut histograms) = (decoded.samples, decoded.histograms);
        if !decoded.unknown.is_empty() {
            self.resolve(decoded.unknown, &mut samples, &mut histograms).await?;
        }
        if !decoded.metadata.is_empty() {
            self.storage.catalogue().describe(decoded.metadata).await.map_err(database)?;
        }
        let appended = self.storage.append_all(samples, histograms).await?;
        refusals.conflicts(&appended, |series| {
            self.storage.reader().labels(series).map(|labels| labels.to_string())
        });
        Ok(Written { samples: appended.written, refusals })
    }

    /// Finds or creates the series that were not known and adds their samples.
    async fn resolve(
        &self,
        unknown: Vec<decode::UnknownSeries>,
        samples: &mut Vec<Incoming>,
        histograms: &mut Vec<IncomingHistogram>,
    ) -> Result<(), WriteError> {
        let mut series = Vec::with_capacity(unknown.len());
        let mut of_series = Vec::with_capacity(unknown.len());
        for unknown in unknown {
            series.push(unknown.series);
            of_series.push((unknown.samples, unknown.histograms));
        }
        let known = self.storage.catalogue().resolve(series).await.map_err(database)?;
        for (known, (of_floats, of_histograms)) in known.into_iter().zip(of_series) {
            samples.extend(of_floats.into_iter().map(|sample| Incoming { known, sample }));
            let incoming = |sample| IncomingHistogram { known, sample };
            histograms.extend(of_histograms.into_iter().map(incoming));
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
