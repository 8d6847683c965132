//! Queries in the query language, answered one beside the other within bounds.
//!
//! [`Queries::evaluate`] parses nothing and knows no HTTP: it waits for its turn, evaluates on a thread that may block,
//! and ends at the deadline, at a limit, or when nobody waits for the answer any more.

mod metrics;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use promql::{Answer, EvalError, Features, Options, Query, Stop, Times};
use service::units::{ByteSize, Span};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tracing::warn;

use self::metrics::Outcome;
pub use self::metrics::QueryMetrics;
use crate::{
    db::sqlstate::{self, Outlook},
    storage::{BoundedReader, Bounds, ReadError, Reader},
};

/// Queries that wait for each one that may run; more are turned away.
const WAITING_PER_RUNNING: usize = 50;
/// What a series weighs at least while a query holds its labels: so many fit into the query's memory.
const SERIES_BYTES: u64 = 256;
/// What a sample weighs.
const SAMPLE_BYTES: u64 = 16;
/// As much of a slow query is logged.
const LOGGED_BYTES_MAX: usize = 1_000;

/// The flags of queries.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// How long a query may take
    #[arg(
        long = "query.timeout",
        value_name = "DURATION",
        default_value = "2m",
        help_heading = "Queries"
    )]
    pub timeout: Span,
    /// Queries that are evaluated at the same time; others wait
    #[arg(
        long = "query.max-concurrency",
        value_name = "N",
        default_value = "20",
        value_parser = clap::value_parser!(u16).range(1..=100),
        help_heading = "Queries"
    )]
    pub max_concurrency: u16,
    /// Samples that one query may read
    #[arg(
        long = "query.max-samples",
        value_name = "N",
        default_value = "50000000",
        help_heading = "Queries"
    )]
    pub max_samples: u64,
    /// Memory that one query may hold
    #[arg(
        long = "query.max-memory",
        value_name = "SIZE",
        default_value = "256MiB",
        help_heading = "Queries"
    )]
    pub max_memory: ByteSize,
    /// How old the newest sample of a series may be to count as its present value
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m",
        help_heading = "Queries"
    )]
    pub lookback_delta: Span,
    /// Queries that take longer are logged
    #[arg(
        long = "query.log-slower-than",
        value_name = "DURATION",
        default_value = "10s",
        help_heading = "Queries"
    )]
    pub log_slower_than: Span,
    /// Parts of the query language that may still change, as Prometheus names them
    #[arg(
        long = "enable-feature",
        value_name = "NAME,…",
        value_enum,
        value_delimiter = ',',
        help_heading = "Queries"
    )]
    pub enable_feature: Vec<Feature>,
}

/// A part of the language that has to be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Feature {
    /// Functions such as `mad_over_time` and `sort_by_label`, and the aggregations `limitk` and `limit_ratio`
    PromqlExperimentalFunctions,
    /// `anchored` and `smoothed`
    PromqlExtendedRangeSelectors,
    /// `fill`, `fill_left` and `fill_right`
    PromqlBinopFillModifiers,
}

impl Args {
    /// What a query may take with these flags.
    pub fn limits(&self) -> Limits {
        Limits {
            timeout: self.timeout.0,
            concurrency: usize::from(self.max_concurrency),
            samples_max: self.max_samples,
            bytes_max: self.max_memory.0,
            lookback: self.lookback_delta.0,
            slow: self.log_slower_than.0,
            features: self.features(),
        }
    }

    fn features(&self) -> Features {
        let mut features = Features::default();
        for feature in &self.enable_feature {
            match feature {
                Feature::PromqlExperimentalFunctions => features.experimental_functions = true,
                Feature::PromqlExtendedRangeSelectors => features.extended_selectors = true,
                Feature::PromqlBinopFillModifiers => features.fill_modifiers = true,
            }
        }
        features
    }
}

/// What queries may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of one query, waiting included.
    pub timeout: Duration,
    /// Evaluated at the same time.
    pub concurrency: usize,
    /// Read by one query.
    pub samples_max: u64,
    /// Held by one query.
    pub bytes_max: u64,
    /// How far an instant selector looks back, if the query does not say.
    pub lookback: Duration,
    /// From when on a query is worth a line in the log.
    pub slow: Duration,
    /// What they may be written in, besides what never changes.
    pub features: Features,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            concurrency: 20,
            samples_max: 50_000_000,
            bytes_max: 256 << 20,
            lookback: Duration::from_secs(300),
            slow: Duration::from_secs(10),
            features: Features::default(),
        }
    }
}

/// What to evaluate, and when.
#[derive(Clone, Debug)]
pub struct Request {
    pub query: Query,
    pub times: Times,
    /// How far an instant selector looks back, if not as usual.
    pub lookback_ms: Option<i64>,
    /// If shorter than the usual one.
    pub timeout: Option<Duration>,
}

/// An answer, and the right to hold it in memory.
#[derive(Debug)]
pub struct Evaluated {
    pub answer: Answer,
    /// How long the query waited for its turn.
    pub waited: Duration,
    /// How long it was evaluated.
    pub took: Duration,
    /// Until when the answer should be delivered.
    pub deadline: Instant,
    /// To be dropped when the answer is.
    pub turn: Turn,
}

/// The right to work on one query.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    metrics: QueryMetrics,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.metrics.running.dec();
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("too many queries are waiting: try again later")]
    Busy,
    #[error("query timed out in query queue")]
    TimedOutWaiting,
    #[error(transparent)]
    Evaluation(EvalError),
    /// The storage's side of it; bounds are told as [`QueryError::Evaluation`].
    #[error("read the storage")]
    Storage(#[source] ReadError),
    #[error("the evaluation ended unexpectedly")]
    Panicked,
}

impl QueryError {
    /// Whether the same query may be answered later.
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::Busy | Self::TimedOutWaiting => Outlook::MayPass,
            Self::Storage(ReadError::Blocks { source }) => sqlstate::outlook(source),
            Self::Evaluation(_) | Self::Storage(_) | Self::Panicked => Outlook::NeverPasses,
        }
    }
}

impl From<ReadError> for QueryError {
    fn from(err: ReadError) -> Self {
        match err {
            ReadError::TimedOut => Self::Evaluation(EvalError::TimedOut),
            ReadError::Cancelled => Self::Evaluation(EvalError::Cancelled),
            ReadError::TooManySamples | ReadError::TooManySeries => {
                Self::Evaluation(EvalError::TooManySamples)
            }
            other => Self::Storage(other),
        }
    }
}

impl From<EvalError> for QueryError {
    fn from(err: EvalError) -> Self {
        match err {
            EvalError::Source(source) => match source.0.downcast::<ReadError>() {
                Ok(read) => (*read).into(),
                Err(other) => {
                    Self::Evaluation(EvalError::Source(promql::source::SourceError(other)))
                }
            },
            other => Self::Evaluation(other),
        }
    }
}

/// Answers queries over one storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queries(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reader: Reader,
    limits: Limits,
    turns: Arc<Semaphore>,
    n_waiting: AtomicUsize,
    metrics: QueryMetrics,
}

/// Says that nobody waits any more, when it is dropped.
struct CancelOnDrop(watch::Sender<bool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Counts a query when it is over, in whatever way.
struct Counted<'a> {
    metrics: &'a QueryMetrics,
    began: Instant,
    outcome: Outcome,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.seconds.observe(self.began.elapsed().as_secs_f64());
        self.metrics.count(self.outcome);
    }
}

impl Queries {
    pub fn new(reader: Reader, limits: Limits, metrics: QueryMetrics) -> Self {
        let turns = Arc::new(Semaphore::new(limits.concurrency));
        Self(Arc::new(Inner { reader, limits, turns, n_waiting: AtomicUsize::new(0), metrics }))
    }

    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Evaluates a query. Dropping the future ends the evaluation.
    pub async fn evaluate(&self, request: Request) -> Result<Evaluated, QueryError> {
        let began = Instant::now();
        let text = request.query.text.clone();
        let mut counted = Counted { metrics: &self.0.metrics, began, outcome: Outcome::Cancelled };
        let outcome = self.evaluate_in_turn(request).await;
        counted.outcome = match &outcome {
            Ok(evaluated) => {
                self.0.metrics.samples.inc_by(evaluated.answer.samples_read);
                Outcome::Answered
            }
            Err(err) => Outcome::of(err),
        };
        if began.elapsed() > self.0.limits.slow {
            let shown = (0..=LOGGED_BYTES_MAX.min(text.len()))
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .map_or("", |end| &text[..end]);
            let samples = outcome.as_ref().map_or(0, |evaluated| evaluated.answer.samples_read);
            let duration_ms = began.elapsed().as_millis() as u64;
            warn!(duration_ms, samples, query = shown, "slow query");
        }
        outcome
    }

    async fn evaluate_in_turn(&self, request: Request) -> Result<Evaluated, QueryError> {
        let limits = &self.0.limits;
        let asked = Instant::now();
        let deadline = self.deadline(request.timeout);
        let turn = self.turn(deadline).await?;
        let began = Instant::now();
        let options = Options {
            lookback_ms: request.lookback_ms.unwrap_or(limits.lookback.as_millis() as i64),
            limits: promql::Limits {
                samples_max: limits.samples_max,
                bytes_max: limits.bytes_max,
                ..promql::Limits::default()
            },
            ..Options::default()
        };
        let (cancel, cancelled) = watch::channel(false);
        let _cancel = CancelOnDrop(cancel);
        let source = BoundedReader {
            reader: self.reader().clone(),
            bounds: self.bounds(deadline, &cancelled),
        };
        let evaluation = tokio::task::spawn_blocking(move || {
            let interrupt = || {
                if *cancelled.borrow() {
                    Some(Stop::Cancelled)
                } else if Instant::now() >= deadline {
                    Some(Stop::TimedOut)
                } else {
                    None
                }
            };
            let answer =
                promql::evaluate(&request.query, request.times, &source, &options, &interrupt);
            // The turn ends with the evaluation, not with whoever stopped waiting for it.
            (answer, turn)
        });
        let (answer, turn) = evaluation.await.map_err(|_| QueryError::Panicked)?;
        let (waited, took) = (began - asked, began.elapsed());
        Ok(Evaluated { answer: answer?, waited, took, deadline, turn })
    }

    /// Does something else with the storage that takes a while, in its turn, on a thread that may block.
    pub async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BoundedReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<(T, Turn), QueryError> {
        let deadline = self.deadline(None);
        let turn = self.turn(deadline).await?;
        let (cancel, cancelled) = watch::channel(false);
        let _cancel = CancelOnDrop(cancel);
        let bounds = self.bounds(deadline, &cancelled);
        let reader = BoundedReader { reader: self.reader().clone(), bounds };
        let done = tokio::task::spawn_blocking(move || (work(&reader), turn));
        let (done, turn) = done.await.map_err(|_| QueryError::Panicked)?;
        Ok((done?, turn))
    }

    /// When somebody who comes now has to be done.
    pub fn deadline(&self, timeout: Option<Duration>) -> Instant {
        let usual = self.0.limits.timeout;
        Instant::now() + timeout.map_or(usual, |timeout| timeout.min(usual))
    }

    /// What may be read of the storage until then.
    pub fn bounds(&self, deadline: Instant, cancelled: &watch::Receiver<bool>) -> Bounds {
        let limits = &self.0.limits;
        let samples_max = limits.samples_max.min(limits.bytes_max / SAMPLE_BYTES);
        Bounds {
            deadline: Some(deadline),
            samples_max: usize::try_from(samples_max).unwrap_or(usize::MAX),
            series_max: usize::try_from(limits.bytes_max / SERIES_BYTES).unwrap_or(usize::MAX - 1),
            cancelled: Some(cancelled.clone()),
        }
    }

    /// Waits for the right to work.
    pub async fn turn(&self, deadline: Instant) -> Result<Turn, QueryError> {
        struct Waiting<'a>(&'a Inner);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.n_waiting.fetch_sub(1, Ordering::Relaxed);
                self.0.metrics.waiting.dec();
            }
        }
        let inner = &*self.0;
        let n_waiting = inner.n_waiting.fetch_add(1, Ordering::Relaxed);
        inner.metrics.waiting.inc();
        let _waiting = Waiting(inner);
        if n_waiting >= inner.limits.concurrency * WAITING_PER_RUNNING {
            return Err(QueryError::Busy);
        }
        let turn =
            tokio::time::timeout_at(deadline, Arc::clone(&inner.turns).acquire_owned()).await;
        let permit =
            turn.map_err(|_| QueryError::TimedOutWaiting)?.expect("the semaphore is never closed");
        inner.metrics.running.inc();
        Ok(Turn { _permit: permit, metrics: inner.metrics.clone() })
    }
}
