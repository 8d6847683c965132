//! Reading: head, batches of other receivers and blocks as if they were one.
//!
//! The head is looked at first, then the database, by a statement for some packs at a time, each in one snapshot. A batch leaves the head only
//! after its blocks are committed, so what the head no longer had is in blocks that the later look at the database sees:
//! no holes. What both have is told apart by series and time: no doubles.
//!
//! Series are read pack by pack, in order, many packs with each statement. What a statement gives is kept as it is stored
//! and decoded while its packs are taken and the next statement runs: a connection is never held by somebody who waits
//! for a reader. Memory is bounded by the rows of two statements and the packs that are decoded and not taken yet, however
//! much is read.

mod bounds;
mod decode;
mod fetch;
mod spares;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use sqlx::PgPool;
use tokio::sync::mpsc;

pub use self::bounds::Bounds;
use self::{
    decode::{Decoder, Wanted},
    fetch::{Fetch, Pace},
    spares::Spares,
};
use super::{
    ReadError, SeriesColumns, SeriesSamples,
    catalogue::Catalogue,
    head::{Head, Run},
    writer::Writer,
};
use crate::model::{PackId, SeriesId};

/// Portions that are decoded and wait to be taken, besides the one that is being decoded.
const DECODED_PORTIONS: usize = 1;

/// Where samples are looked for.
#[derive(Clone)]
pub(super) struct Places<'a> {
    pub(super) db: &'a PgPool,
    pub(super) catalogue: &'a Catalogue,
    pub(super) head: &'a Head,
    /// Ourselves, whose batches are in the head.
    pub(super) writer: Writer,
}

/// A time range in milliseconds, both ends included.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: i64,
    to: i64,
}

impl Range {
    fn meets(self, t_min: i64, t_max: i64) -> bool {
        t_min <= self.to && t_max >= self.from
    }

    /// The places of the times within.
    fn of(self, times: &[i64]) -> std::ops::Range<usize> {
        times.partition_point(|ts| *ts < self.from)..times.partition_point(|ts| *ts <= self.to)
    }
}

/// The wanted series of each pack, in order.
type Plan = BTreeMap<PackId, Vec<SeriesId>>;

/// The series of a pack that have samples, in order of their numbers.
type Pack = Vec<SeriesColumns>;

/// Samples by packs, in the order in which they are read.
#[derive(Debug)]
pub struct PackStream {
    portions: mpsc::Receiver<Result<VecDeque<Pack>, ReadError>>,
    /// What came and was not taken yet.
    ready: VecDeque<Pack>,
    bounds: Bounds,
    spares: Arc<Spares>,
}

impl PackStream {
    /// The wanted series of the next pack that have samples, in order of their numbers; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Vec<SeriesColumns>, ReadError>> {
        loop {
            if let Some(pack) = self.ready.pop_front() {
                return Some(Ok(pack));
            }
            match self.bounds.wait(self.portions.recv()).await {
                Ok(Some(Ok(portion))) => self.ready = portion,
                Ok(None) => return None,
                Ok(Some(Err(err))) | Err(err) => return Some(Err(err)),
            }
        }
    }

    /// The same for threads of the runtime that may block.
    pub fn blocking_next(&mut self) -> Option<Result<Vec<SeriesColumns>, ReadError>> {
        if let Some(pack) = self.ready.pop_front() {
            return Some(Ok(pack));
        }
        tokio::runtime::Handle::current().block_on(self.next())
    }

    /// Gives columns back whose samples are no longer wanted, to be filled again. Reading goes faster with it.
    pub fn give_back(&self, columns: impl IntoIterator<Item = (Vec<i64>, Vec<f64>)>) {
        self.spares.give_back(columns);
    }
}

/// All samples with `from <= ts <= to`; entry i answers `series[i]`.
pub(super) async fn read(
    places: Places<'_>,
    series: &[SeriesId],
    from: i64,
    to: i64,
) -> Result<Vec<SeriesSamples>, ReadError> {
    let mut stream = stream(places, series, from, to, Bounds::default());
    let mut found: HashMap<SeriesId, SeriesSamples> = HashMap::with_capacity(series.len());
    while let Some(pack) = stream.next().await {
        found.extend(pack?.into_iter().map(|series| (series.series, series.into_samples())));
    }
    let nothing = |series| SeriesSamples { series, samples: Vec::new(), histograms: Vec::new() };
    Ok(series.iter().map(|id| found.remove(id).unwrap_or_else(|| nothing(*id))).collect())
}

/// Starts reading. Dropping the stream ends it.
pub(super) fn stream(
    places: Places<'_>,
    series: &[SeriesId],
    from: i64,
    to: i64,
    bounds: Bounds,
) -> PackStream {
    let (decoded, portions) = mpsc::channel(DECODED_PORTIONS);
    let spares = Arc::new(Spares::default());
    let stream = PackStream {
        portions,
        ready: VecDeque::new(),
        bounds: bounds.clone(),
        spares: Arc::clone(&spares),
    };
    let plan = plan(places.catalogue, series);
    if plan.is_empty() || from > to {
        return stream;
    }
    let range = Range { from, to };
    let deletions = places.head.deletions().pending;
    // Before the database is looked at: see above.
    let runs: Vec<Arc<Run>> =
        places.head.runs().into_iter().filter(|run| range.meets(run.t_min, run.t_max)).collect();
    let decoder = Decoder::new(runs, deletions, range, bounds.samples_max, spares);
    let fetch = Fetch { db: places.db.clone(), writer: places.writer, range, bounds };
    tokio::spawn(async move {
        let reading = read_packs(&fetch, decoder, plan, &decoded);
        let outcome = tokio::select! {
            outcome = fetch.bounds.wait(reading) => outcome.and_then(|outcome| outcome),
            () = decoded.closed() => return,
        };
        if let Err(err) = outcome {
            // Nobody waits any more if this fails.
            let _ = decoded.send(Err(err)).await;
        }
    });
    stream
}

/// Decodes the packs of one statement while the next one runs.
async fn read_packs(
    fetch: &Fetch,
    mut decoder: Decoder,
    plan: Plan,
    decoded: &mpsc::Sender<Result<VecDeque<Pack>, ReadError>>,
) -> Result<(), ReadError> {
    let mut rest: VecDeque<(PackId, Vec<SeriesId>)> = plan.into_iter().collect();
    let mut pace = Pace::new();
    let mut fetched = Some(next_packs(fetch, &mut rest, &mut pace, true).await?);
    while let Some(wanted) = fetched {
        let fetching = async {
            match rest.is_empty() {
                true => Ok(None),
                false => next_packs(fetch, &mut rest, &mut pace, false).await.map(Some),
            }
        };
        (fetched, decoder) = tokio::try_join!(fetching, decode(decoder, wanted, decoded))?;
    }
    Ok(())
}

/// The next packs and their rows.
async fn next_packs(
    fetch: &Fetch,
    rest: &mut VecDeque<(PackId, Vec<SeriesId>)>,
    pace: &mut Pace,
    with_batches: bool,
) -> Result<Wanted, ReadError> {
    let packs: VecDeque<_> = rest.drain(..pace.n_packs().min(rest.len())).collect();
    let ids: Vec<PackId> = packs.iter().map(|(pack, _)| *pack).collect();
    let rows = fetch.rows(&ids, with_batches).await?;
    pace.after(ids.len(), &rows);
    Ok(Wanted { packs, rows: rows.rows.into_iter().peekable() })
}

/// Decodes packs and hands them on, some at a time, while somebody takes them.
async fn decode(
    mut decoder: Decoder,
    mut wanted: Wanted,
    decoded: &mpsc::Sender<Result<VecDeque<Pack>, ReadError>>,
) -> Result<Decoder, ReadError> {
    while !wanted.packs.is_empty() {
        let portion;
        (decoder, wanted, portion) = tokio::task::spawn_blocking(move || {
            let portion = decoder.portion(&mut wanted);
            (decoder, wanted, portion)
        })
        .await
        .map_err(|_| ReadError::Interrupted)?;
        // If nobody is there any more, the whole task is about to end.
        let _ = decoded.send(Ok(portion?)).await;
    }
    Ok(decoder)
}

fn plan(catalogue: &Catalogue, series: &[SeriesId]) -> Plan {
    let index = catalogue.index();
    let mut plan = Plan::new();
    for id in series {
        if let Some(position) = index.position(*id) {
            plan.entry(index.pack(position)).or_default().push(*id);
        }
    }
    for wanted in plan.values_mut() {
        wanted.sort_unstable();
        wanted.dedup();
    }
    plan
}
