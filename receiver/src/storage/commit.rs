//! Group commit: what arrives while one batch is being committed becomes the next.
//!
//! One batch is committed at a time, and the next is sorted and encoded meanwhile. No timers: an idle receiver commits
//! a request as soon as it comes, a busy one commits larger batches. A request is answered only after its batch's row
//! is committed; if that fails, nothing of it has happened as far as its sender knows, and the sender tries again.

mod histograms;
mod merge;
mod side;

use std::sync::Arc;

use bytes::Bytes;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tracing::{error, warn};

pub use self::merge::{Appended, Conflict};
use self::{
    merge::{Merged, merge},
    side::Side,
};
use super::{
    batch::{self, Batch},
    catalogue::{Known, Position},
    codec::CodecError,
    exemplar::IncomingExemplar,
    head::{Head, Run},
    histogram::HistogramSample,
    partition::{self, Table},
    start::{IncomingStart, Starts},
    writer::{Current, Writer},
};
use crate::{
    db::{STATEMENT_TIMEOUT, sqlstate},
    model::{Clock, Sample, SeriesId},
};

/// Requests that wait for the committer. Each also holds permits for its samples.
const QUEUE_LEN: usize = 1024;
/// Samples that wait for the committer: 64 MB of them. Beyond it senders are pushed back with 503.
const QUEUED_SAMPLES_MAX: usize = 2 << 20;
/// What the head may hold before senders are pushed back: it is flushed long before, unless the database takes batches
/// but no blocks.
const HEAD_BYTES_MAX: usize = 1 << 30;
/// Samples of one batch: a row of a few megabytes at most.
const BATCH_SAMPLES_MAX: usize = 256 << 10;

/// Groups of up to this many samples are prepared where the committer runs, in about a millisecond; larger ones on a
/// thread that may be busy for longer.
const INLINE_SAMPLES_MAX: usize = 8 << 10;

/// An exemplar takes as much memory as so many samples.
const EXEMPLAR_WEIGHT: usize = 16;

/// One sample of a series that the catalogue knows.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    pub known: Known,
    pub sample: Sample,
}

/// One native histogram of a series that the catalogue knows.
#[derive(Clone, Debug)]
pub struct IncomingHistogram {
    pub known: Known,
    pub sample: HistogramSample,
}

/// Everything that a request wants to have stored; in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub samples: Vec<Incoming>,
    pub histograms: Vec<IncomingHistogram>,
    pub exemplars: Vec<IncomingExemplar>,
    pub starts: Vec<IncomingStart>,
}

impl Content {
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
            && self.histograms.is_empty()
            && self.exemplars.is_empty()
            && self.starts.is_empty()
    }

    /// How many samples take as much memory.
    fn weight(&self) -> usize {
        let of_histograms = self.histograms.iter().map(|one| one.sample.histogram.weight());
        self.samples.len()
            + of_histograms.sum::<usize>()
            + self.exemplars.len() * EXEMPLAR_WEIGHT
            + self.starts.len() * 2
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("too many samples are waiting for the database")]
    Overloaded,
    #[error("the request holds more than {QUEUED_SAMPLES_MAX} samples")]
    TooManySamples,
    /// What was sent may or may not be there; sending it again is harmless.
    #[error("the database did not take the batch")]
    Unavailable,
    #[error("the receiver is stopping")]
    Stopping,
    #[error("another receiver took over; this one registers anew")]
    Fenced,
}

/// Takes samples to the committer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Appender {
    queue: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    head: Head,
    writer: Current,
}

#[derive(Debug)]
struct Request {
    content: Content,
    /// How many samples take as much memory.
    weight: usize,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
    _room: OwnedSemaphorePermit,
}

impl Appender {
    /// Returns when everything is committed, or when it is certain that it was not acknowledged.
    pub async fn append(&self, content: Content) -> Result<Appended, AppendError> {
        if content.is_empty() {
            return Ok(Appended::default());
        }
        let weight = content.weight();
        if weight > QUEUED_SAMPLES_MAX {
            return Err(AppendError::TooManySamples);
        }
        if self.head.n_bytes() > HEAD_BYTES_MAX {
            return Err(AppendError::Overloaded);
        }
        if !self.writer.is_accepting() {
            return Err(AppendError::Fenced);
        }
        let room = Arc::clone(&self.room);
        let permit =
            room.try_acquire_many_owned(weight as u32).map_err(|_| AppendError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let request = Request { content, weight, reply, _room: permit };
        self.queue.try_send(request).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => AppendError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => AppendError::Stopping,
        })?;
        answer.await.unwrap_or(Err(AppendError::Stopping))
    }
}

/// Samples that were just committed, as parallel columns sorted by series and time.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    pub series: Vec<SeriesId>,
    /// Milliseconds since the Unix epoch.
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
}

impl Committed {
    /// Of samples in any order.
    pub fn sorted(mut samples: Vec<(SeriesId, i64, f64)>) -> Self {
        // A batch is in the order of packs, which is not that of series.
        samples.sort_unstable_by_key(|(series, ts, _)| (*series, *ts));
        Self {
            series: samples.iter().map(|(series, ..)| *series).collect(),
            timestamps: samples.iter().map(|(_, ts, _)| *ts).collect(),
            values: samples.iter().map(|(.., value)| *value).collect(),
        }
    }
}

/// Told of everything that was committed, in order. Must not block.
pub trait Listener: Send + Sync {
    /// Whether anybody wants to know: if not, nothing is put together for it.
    fn is_interested(&self) -> bool;
    fn committed(&self, committed: Arc<Committed>);
}

/// Everything that the committer works with.
pub struct Committer {
    pub db: PgPool,
    pub options: PgConnectOptions,
    pub writer: Current,
    pub head: Head,
    pub starts: Starts,
    pub clock: Clock,
    pub listener: Arc<dyn Listener>,
}

impl Committer {
    /// Starts the committer. It ends when every [`Appender`] is gone and all that they sent is answered.
    pub fn start(self) -> (Appender, JoinHandle<()>) {
        let (queue, requests) = mpsc::channel(QUEUE_LEN);
        let (head, writer) = (self.head.clone(), self.writer.clone());
        let task = tokio::spawn(self.run(requests));
        (Appender { queue, room: Arc::new(Semaphore::new(QUEUED_SAMPLES_MAX)), head, writer }, task)
    }

    async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let head = self.head.clone();
        let inserter = Arc::new(tokio::sync::Mutex::new(Inserter {
            connection: None,
            writer: self.writer.writer(),
            seq: 0,
            in_doubt: None,
            context: self,
        }));
        let mut encoder = batch::Encoder::default();
        let mut in_flight: Option<InFlight> = None;
        while let Some(first) = requests.recv().await {
            let group = collect(first, &mut requests);
            let head = head.clone();
            let before = in_flight.as_ref().map(|flight| Arc::clone(&flight.merged));
            let weight: usize = group.iter().map(|request| request.weight).sum();
            let prepared = if weight <= INLINE_SAMPLES_MAX {
                prepare(group, &head, before.as_deref(), &mut encoder)
            } else {
                let mut moved = std::mem::take(&mut encoder);
                let preparing = tokio::task::spawn_blocking(move || {
                    let prepared = prepare(group, &head, before.as_deref(), &mut moved);
                    (prepared, moved)
                });
                match preparing.await {
                    Ok((prepared, returned)) => {
                        encoder = returned;
                        prepared
                    }
                    Err(err) => {
                        // The group's senders see their channel close, and try again.
                        error!("prepare a batch: {err}");
                        continue;
                    }
                }
            };
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(err) => {
                    // A bug, found before anything was acknowledged.
                    error!("a batch cannot be read back and is not written: {err}");
                    continue;
                }
            };
            if let Some(flight) = in_flight.take()
                && !flight.inserting.await.unwrap_or(false)
            {
                // What was left out as a duplicate of the failed batch has to be sent again as well.
                prepared.fail();
                continue;
            }
            let merged = Arc::clone(&prepared.merged);
            let inserter = Arc::clone(&inserter);
            let inserting =
                tokio::spawn(async move { inserter.lock().await.commit(prepared).await });
            in_flight = Some(InFlight { merged, inserting });
        }
        if let Some(flight) = in_flight {
            let _ = flight.inserting.await;
        }
    }
}

/// The batch that is being inserted while the next one is prepared.
struct InFlight {
    merged: Arc<Merged>,
    inserting: JoinHandle<bool>,
}

/// A batch that is ready to be inserted, and who waits for it.
struct Prepared {
    merged: Arc<Merged>,
    /// `None` when all samples in the group were there already.
    body: Option<Body>,
    side: Side,
    replies: Vec<(oneshot::Sender<Result<Appended, AppendError>>, Appended)>,
    _room: Vec<OwnedSemaphorePermit>,
}

/// The bytes of a batch, and the batch as whoever reads it back will see it.
struct Body {
    bytes: Bytes,
    batch: Batch,
}

impl Prepared {
    fn fail(self) {
        for (reply, _) in self.replies {
            // A sender that hung up has its answer already: none.
            let _ = reply.send(Err(AppendError::Unavailable));
        }
    }

    fn succeed(self) {
        for (reply, appended) in self.replies {
            let _ = reply.send(Ok(appended));
        }
    }
}

/// All that waits, up to the size of one batch.
fn collect(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut weight = first.weight;
    let mut group = vec![first];
    while weight < BATCH_SAMPLES_MAX {
        let Ok(request) = requests.try_recv() else { break };
        weight += request.weight;
        group.push(request);
    }
    group
}

fn prepare(
    group: Vec<Request>,
    head: &Head,
    before: Option<&Merged>,
    encoder: &mut batch::Encoder,
) -> Result<Prepared, CodecError> {
    let mut replies = Vec::with_capacity(group.len());
    let mut room = Vec::with_capacity(group.len());
    let mut samples = Vec::with_capacity(group.len());
    let mut of_histograms = Vec::with_capacity(group.len());
    let mut n_exemplars = Vec::with_capacity(group.len());
    let mut side = Side::default();
    for request in group {
        let content = request.content;
        samples.push(content.samples);
        of_histograms.push(content.histograms);
        n_exemplars.push(content.exemplars.len());
        side.add(content.exemplars, content.starts);
        replies.push(request.reply);
        room.push(request._room);
    }
    let (mut merged, mut appended) = merge(&samples, head, before);
    histograms::merge(of_histograms, head, before, &mut merged, &mut appended);
    for (appended, n_exemplars) in appended.iter_mut().zip(n_exemplars) {
        appended.exemplars = n_exemplars;
    }
    side.tidy();
    let body = if merged.rows.is_empty() && merged.histograms.is_empty() {
        None
    } else {
        let bytes = Bytes::from(encoder.encode_all(&merged.rows, &merged.histograms));
        Some(Body { batch: Batch::open(bytes.clone())?, bytes })
    };
    Ok(Prepared {
        merged: Arc::new(merged),
        body,
        side,
        replies: replies.into_iter().zip(appended).collect(),
        _room: room,
    })
}

/// The side that talks to the database.
struct Inserter {
    context: Committer,
    connection: Option<PgConnection>,
    /// Who `seq` is counted for.
    writer: Writer,
    seq: i64,
    in_doubt: Option<InDoubt>,
}

/// A batch of which it is not known whether it was committed. Its senders were told that it was not, yet it may be there,
/// or may still come to be: before anything else is committed, it is, under the same number. Otherwise a flush that
/// knows only of the batches around it would cover its number, and a receiver that read it back meanwhile would have
/// counted on it.
struct InDoubt {
    bucket: i32,
    seq: i64,
    merged: Arc<Merged>,
    body: Body,
    side: Side,
}

impl Inserter {
    /// Commits one batch and answers who waits for it. `false`: nothing was acknowledged.
    async fn commit(&mut self, mut prepared: Prepared) -> bool {
        let Some(writer) = self.context.writer.committing() else {
            prepared.fail();
            return false;
        };
        if writer.id != self.writer.id {
            // What is in doubt under the old number is for whoever took it over.
            (self.writer, self.seq, self.in_doubt) = (writer, 0, None);
        }
        if !self.settle().await {
            prepared.fail();
            return false;
        }
        let side = std::mem::take(&mut prepared.side);
        let Some(body) = prepared.body.take() else {
            if !self.insert_side(side).await {
                prepared.fail();
                return false;
            }
            prepared.succeed();
            return true;
        };
        self.seq += 1;
        let bucket = Table::Batch.bucket_of(self.context.clock.now_ms());
        let merged = Arc::clone(&prepared.merged);
        let batch = InDoubt { bucket, seq: self.seq, merged, body, side };
        if !self.insert(batch).await {
            prepared.fail();
            return false;
        }
        prepared.succeed();
        true
    }

    /// Makes sure that a batch in doubt is committed. `false`: the database does not answer.
    async fn settle(&mut self) -> bool {
        match self.in_doubt.take() {
            Some(batch) => self.insert(batch).await,
            None => true,
        }
    }

    /// Inserts a batch and lets readers see it; keeps it as in doubt if that fails.
    async fn insert(&mut self, batch: InDoubt) -> bool {
        let mut batch = batch;
        let inserted = match timeout(STATEMENT_TIMEOUT, self.try_insert(&mut batch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(err)) => Err((err.to_string(), sqlstate::is_certain(&err))),
            Err(_) => Err((format!("no answer within {STATEMENT_TIMEOUT:?}"), false)),
        };
        if let Err((reason, certain)) = inserted {
            // In an unknown state: the next batch gets a new one.
            self.connection = None;
            warn!(
                seq = batch.seq,
                samples = batch.merged.n_samples(),
                "batch {} was not committed: {reason}",
                batch.seq
            );
            if !certain {
                self.in_doubt = Some(batch);
            }
            return false;
        }
        self.publish(&batch);
        true
    }

    async fn try_insert(&mut self, batch: &mut InDoubt) -> Result<(), sqlx::Error> {
        let today = Table::Exemplar.bucket_of(self.context.clock.now_ms());
        match self.insert_row(batch, today).await {
            Err(err) if sqlstate::is(&err, sqlstate::NO_PARTITION) => {
                // Made ahead by housekeeping, usually; and nothing is in doubt where there is no partition.
                batch.bucket =
                    partition::ensure(&self.context.db, Table::Batch, batch.bucket).await?;
                let day = batch.side.ensure(&self.context.db, today).await?;
                self.connection = None;
                self.insert_row(batch, day).await
            }
            outcome => outcome,
        }
    }

    /// `day` is the bucket of exemplars.
    async fn insert_row(&mut self, batch: &InDoubt, day: i32) -> Result<(), sqlx::Error> {
        let writer = self.writer.id;
        let connection = self.connection().await?;
        if batch.side.is_empty() {
            return insert_batch(connection, writer, batch).await;
        }
        let mut transaction = connection.begin().await?;
        insert_batch(&mut transaction, writer, batch).await?;
        batch.side.insert(&mut transaction, day).await?;
        transaction.commit().await
    }

    /// Commits what came without samples. Nothing is in doubt if that fails: it has no number, and can be sent again.
    async fn insert_side(&mut self, side: Side) -> bool {
        if side.is_empty() {
            return true;
        }
        let inserted = timeout(STATEMENT_TIMEOUT, async {
            let today = Table::Exemplar.bucket_of(self.context.clock.now_ms());
            let connection = self.connection().await?;
            match side.insert_alone(connection, today).await {
                Err(err) if sqlstate::is(&err, sqlstate::NO_PARTITION) => {
                    let day = side.ensure(&self.context.db, today).await?;
                    self.connection = None;
                    side.insert_alone(self.connection().await?, day).await
                }
                outcome => outcome,
            }
        });
        let reason = match inserted.await {
            Ok(Ok(())) => {
                self.context.starts.learn(&side.starts);
                return true;
            }
            Ok(Err(err)) => err.to_string(),
            Err(_) => format!("no answer within {STATEMENT_TIMEOUT:?}"),
        };
        self.connection = None;
        warn!(exemplars = side.exemplars.len(), "exemplars were not committed: {reason}");
        false
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        if self.connection.is_none() {
            self.connection = Some(PgConnection::connect_with(&self.context.options).await?);
        }
        Ok(self.connection.as_mut().expect("connected above"))
    }

    /// Lets readers in this process see what was committed.
    fn publish(&self, committed: &InDoubt) {
        let InDoubt { merged, seq, body, side, .. } = committed;
        self.context.starts.learn(&side.starts);
        let run = Run {
            writer: self.writer.id,
            seq: *seq,
            t_min: merged.t_min,
            t_max: merged.t_max,
            batch: body.batch.clone(),
        };
        let newest = merged
            .newest
            .iter()
            .map(|(position, sample): &(Position, Sample)| (*position, *sample));
        let newest_histograms = merged.newest_histograms.iter().copied();
        self.context.head.push_all(run, newest, newest_histograms);
        if self.context.listener.is_interested() {
            let samples = merged.rows.iter().map(|row| (row.series, row.ts, row.value));
            self.context.listener.committed(Arc::new(Committed::sorted(samples.collect())));
        }
    }
}

async fn insert_batch(
    connection: &mut PgConnection,
    writer: i32,
    batch: &InDoubt,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        // Of two attempts with one number, the second waits for the first.
        "INSERT INTO watchpost.batch (bucket, writer, seq, n_samples, t_min, t_max, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT ON CONSTRAINT batch_pkey DO NOTHING",
    )
    .bind(batch.bucket)
    .bind(writer)
    .bind(batch.seq)
    .bind(batch.merged.n_samples() as i32)
    .bind(batch.merged.t_min)
    .bind(batch.merged.t_max)
    .bind(&batch.body.bytes[..])
    .execute(connection)
    .await
    .map(drop)
}
