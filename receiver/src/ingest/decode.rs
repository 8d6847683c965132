//! From the bytes of a request to samples of series: one pass, no message built.
//!
//! The two protocols differ in where labels stand ([`v1`], [`v2`]); what becomes of a series is the same for both.

mod v1;
mod v2;

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use promql::model::Labels;
use proto::{
    remote_write::{
        WireError,
        walk::{self, RawSample},
    },
    snappy,
};

use super::{
    Dropped, Limit, Limits, Reason, Refusals, Version, WriteError,
    described::Described,
    exemplar::InvalidExemplar,
    gate::{Judged, Standing},
    histogram,
    keys::{Found, Halves, Meaning},
    newcomers::{Brought, Newcomer, Newcomers},
    pairs::PairHasher,
    quota::{self, Written},
    replicas::{Peer, Snapshot},
    validate::{self, RawLabels},
};
use crate::{
    model::Sample,
    storage::{
        catalogue::{Description, Identity, Index, Known, Position, RawHasher, RawKey},
        commit::{Content, Incoming, IncomingHistogram},
        exemplar::{Exemplar, IncomingExemplar},
        histogram::HistogramSample,
        start::{IncomingStart, Judgement, Starts},
    },
};

/// The label by which series are limited.
pub(super) const JOB: &str = "job";

/// What a request holds.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Of series that the index knows.
    pub(super) content: Content,
    pub(super) unknown: Newcomers,
    pub(super) metadata: Vec<Description>,
    /// What is to be remembered once the metadata is stored.
    pub(super) described: Vec<(Position, u64)>,
    /// Start timestamps that make no sense.
    pub(super) starts_ignored: usize,
    /// What the rules drop.
    pub(super) dropped: Dropped,
    /// What comes from another replica than the leader.
    pub(super) standby: Dropped,
    /// What is to be remembered of label bytes that were not, or not lately.
    pub(super) learned: Vec<(RawKey, Meaning)>,
    pub(super) refusals: Refusals,
}

/// What decoding looks things up in.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) index: &'a Index,
    pub(super) standing: &'a Standing,
    pub(super) keys: &'a Halves,
    /// What is limited, and what was written lately.
    pub(super) quota: Option<(&'a quota::Settings, &'a Written)>,
    pub(super) hasher: &'a RawHasher,
    pub(super) pairs: &'a PairHasher,
    pub(super) starts: &'a Starts,
    pub(super) described: &'a Described,
    pub(super) limits: &'a Limits,
    /// Milliseconds since the Unix epoch.
    pub(super) now: i64,
}

/// Decodes a snappy block of a request.
pub(super) fn decode(
    version: Version,
    block: &[u8],
    context: Context<'_>,
) -> Result<Decoded, WriteError> {
    BODY.with_borrow_mut(|body| {
        let decoded = snappy::decompress(block, context.limits.decoded_bytes_max, body)
            .map_err(WriteError::from)
            .and_then(|()| decode_body(version, body, context));
        if body.capacity() > KEPT_BYTES_MAX {
            *body = Vec::new();
        }
        decoded
    })
}

thread_local! {
    /// Memory to decompress into: fresh one would be zeroed and faulted in for each request.
    static BODY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How much of it a thread keeps.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// A sample with its labels takes about this many bytes, or references to labels; a guess that saves growing.
const SAMPLE_BYTES: usize = 128;
const REFERENCED_SAMPLE_BYTES: usize = 32;
/// The guess goes no further than this.
const SAMPLES_GUESS_MAX: usize = 10_000;

/// Decodes a request that is no longer compressed.
pub(super) fn decode_body(
    version: Version,
    body: &[u8],
    context: Context<'_>,
) -> Result<Decoded, WriteError> {
    let bounds = walk::Bounds {
        elements: context.limits.samples_per_request_max,
        symbols: context.limits.symbols_per_request_max,
    };
    let sample_bytes = match version {
        Version::V1 => SAMPLE_BYTES,
        Version::V2 => REFERENCED_SAMPLE_BYTES,
    };
    let mut decoder = Decoder {
        context,
        // After the keys were locked, or they could know a replica that this does not have yet.
        leaders: context.standing.replicas.snapshot(),
        peer: Peer::NOBODY,
        before: None,
        pending: HashMap::new(),
        n_series: 0,
        n_samples: 0,
        n_exemplars: 0,
        expanded_bytes: 0,
        decoded: Decoded::default(),
    };
    let guess = (body.len() / sample_bytes).min(SAMPLES_GUESS_MAX);
    decoder.decoded.content.samples = Vec::with_capacity(guess);
    let walked = match version {
        Version::V1 => walk::v1(body, bounds, &mut decoder),
        Version::V2 => walk::v2(body, bounds, &mut v2::Referenced::new(&mut decoder)),
    };
    match walked {
        Ok(()) => Ok(decoder.decoded),
        Err(Stop::Wire(WireError::TooMany { what, limit })) => {
            Err(WriteError::TooMany { what: what.into(), limit })
        }
        Err(Stop::Wire(source)) => Err(WriteError::Wire { version, source }),
        Err(Stop::Refused(err)) => Err(err),
    }
}

/// Why a walk ended early.
#[derive(Debug)]
enum Stop {
    Wire(WireError),
    Refused(WriteError),
}

impl From<WireError> for Stop {
    fn from(err: WireError) -> Self {
        Self::Wire(err)
    }
}

impl From<WriteError> for Stop {
    fn from(err: WriteError) -> Self {
        Self::Refused(err)
    }
}

struct Decoder<'a> {
    context: Context<'a>,
    leaders: Arc<Snapshot>,
    /// Who sends the series that is being taken.
    peer: Peer,
    /// The one that was taken before, if it is known.
    before: Option<Position>,
    /// Series that are about to be made, by job.
    pending: HashMap<String, u64>,
    n_series: usize,
    n_samples: usize,
    n_exemplars: usize,
    expanded_bytes: usize,
    decoded: Decoded,
}

/// One series of either protocol.
struct Series<'s, L> {
    labels: L,
    samples: &'s [RawSample],
    histograms: &'s [&'s [u8]],
    exemplars: &'s [&'s [u8]],
    /// Since when samples count that do not say so themselves; 0 where unknown.
    created: i64,
}

impl<L> Series<'_, L> {
    fn add_to(&self, dropped: &mut Dropped) {
        dropped.samples += self.samples.len();
        dropped.histograms += self.histograms.len();
        dropped.exemplars += self.exemplars.len();
    }

    fn n_elements(&self) -> usize {
        self.samples.len() + self.histograms.len() + self.exemplars.len()
    }
}

/// What became of a series.
enum Taken {
    Known(Known),
    /// New, or nothing of it was to be stored; the name of its metric as the rules have it.
    New(Box<str>),
    /// The rules drop it, or another replica than its sender leads.
    Dropped,
    Refused,
}

impl Decoder<'_> {
    /// Counts a series and what it brings, before anything is done about it.
    fn count(&mut self, samples: usize, exemplars: usize, what: Limit) -> Result<(), WriteError> {
        self.n_series += 1;
        self.n_samples += samples;
        self.n_exemplars += exemplars;
        let limits = self.context.limits;
        if self.n_series > limits.series_per_request_max {
            return Err(WriteError::TooMany { what, limit: limits.series_per_request_max });
        }
        if self.n_exemplars > limits.exemplars_per_request_max {
            let limit = limits.exemplars_per_request_max;
            return Err(WriteError::TooMany { what: Limit::Exemplars, limit });
        }
        self.check_samples()
    }

    /// Stores what can be stored of a series, which is found by the key of its label bytes. `exemplar` decodes one.
    #[inline]
    fn take<L: RawLabels>(
        &mut self,
        key: Option<RawKey>,
        series: &Series<'_, L>,
        exemplar: impl Fn(&[u8]) -> Result<Exemplar, InvalidExemplar>,
    ) -> Result<Taken, WriteError> {
        self.count(
            series.samples.len() + series.histograms.len(),
            series.exemplars.len(),
            Limit::Series,
        )?;
        match key.and_then(|key| self.look_up(key)) {
            Some(Meaning::Series(position, peer)) => {
                self.peer = peer;
                if let Err(reason) = self.admit(position, series) {
                    self.refuse_series(reason, series);
                    return Ok(Taken::Refused);
                }
                let known = self.context.index.known(position);
                self.known(known, series, exemplar)?;
                return Ok(Taken::Known(known));
            }
            Some(Meaning::Standby(peer)) => {
                self.peer = peer;
                if !self.takes_any(series) {
                    series.add_to(&mut self.decoded.standby);
                    return Ok(Taken::Dropped);
                }
            }
            Some(Meaning::Dropped) => {
                series.add_to(&mut self.decoded.dropped);
                return Ok(Taken::Dropped);
            }
            None => {}
        }
        let limits = self.context.limits;
        let judged = validate::labels(series.labels, limits)
            .and_then(|labels| self.context.standing.judge(labels, limits, self.context.now));
        match judged {
            Ok(Judged::Dropped) => {
                self.decoded.learned.extend(key.map(|key| (key, Meaning::Dropped)));
                series.add_to(&mut self.decoded.dropped);
                Ok(Taken::Dropped)
            }
            Ok(Judged::Kept(peer, labels)) => {
                self.peer = peer;
                if !self.leaders.knows(peer) {
                    self.leaders = self.context.standing.replicas.snapshot();
                }
                let raw_key = key.expect("labels that are in order have a key");
                self.expand(labels.iter().map(|l| l.name.len() + l.value.len()).sum())?;
                let name = labels.metric_name().into();
                self.unknown(raw_key, labels, series, exemplar)?;
                Ok(Taken::New(name))
            }
            Err(reason) => {
                self.refuse_series(reason, series);
                Ok(Taken::Refused)
            }
        }
    }

    /// What label bytes mean, as far as that is known.
    #[inline]
    fn look_up(&mut self, key: RawKey) -> Option<Meaning> {
        let meaning = match self.context.keys.find_after(self.before, key) {
            Found::Young(meaning) => Some(meaning),
            Found::Old(meaning) => {
                self.decoded.learned.push((key, meaning));
                Some(meaning)
            }
            Found::Nowhere => None,
        };
        self.before = match meaning {
            Some(Meaning::Series(position, _)) => Some(position),
            _ => None,
        };
        meaning
    }

    /// Whether a series that is known may be written.
    #[inline]
    fn admit<L>(&self, position: Position, series: &Series<'_, L>) -> Result<(), Reason> {
        match self.context.quota {
            Some((limits, written)) if !written.is_counted(position) && self.takes_any(series) => {
                let labels = self.context.index.labels(position);
                self.context.standing.quotas.admit(limits, written, position, labels.get(JOB))
            }
            _ => Ok(()),
        }
    }

    /// Whether a series may be made; one that exists under other label bytes, whether it may be written.
    fn may_create(&mut self, labels: &Labels) -> Result<(), Reason> {
        let Some((limits, written)) = self.context.quota else { return Ok(()) };
        let (quotas, job) = (&self.context.standing.quotas, labels.get(JOB));
        if let Some(known) = self.context.index.by_identity(Identity::of(labels)) {
            return quotas.admit(limits, written, known.position, job);
        }
        let pending = self.pending.entry(job.to_owned()).or_default();
        quotas.may_create(limits, job, *pending, self.context.now)?;
        *pending += 1;
        Ok(())
    }

    /// Whether the sender of the present series led at this time.
    #[inline]
    fn takes(&self, ts: i64) -> bool {
        self.leaders.takes(self.peer, ts, self.context.now)
    }

    /// Whether something of a series may have to be stored. Times of histograms and exemplars are not known yet.
    fn takes_any<L>(&self, series: &Series<'_, L>) -> bool {
        let has_others = !series.histograms.is_empty() || !series.exemplars.is_empty();
        series.samples.iter().any(|raw| self.takes(raw.timestamp))
            || (has_others && self.leaders.ever_led(self.peer))
    }

    #[inline]
    fn known<L: RawLabels>(
        &mut self,
        known: Known,
        series: &Series<'_, L>,
        exemplar: impl Fn(&[u8]) -> Result<Exemplar, InvalidExemplar>,
    ) -> Result<(), WriteError> {
        for raw in series.samples {
            if !self.takes(raw.timestamp) {
                self.decoded.standby.samples += 1;
                continue;
            }
            let sample = Sample { ts: raw.timestamp, value: raw.value };
            match validate::time(sample.ts, self.context.now, self.context.limits) {
                Ok(()) => {
                    self.decoded.content.samples.push(Incoming { known, sample });
                    if let Some(start_ts) = self.start(raw, series.created) {
                        self.start_of_known(known, sample.ts, start_ts);
                    }
                }
                Err(reason) => self.refuse_sample(reason, series.labels, sample),
            }
        }
        if !series.histograms.is_empty() {
            let incoming = |sample| IncomingHistogram { known, sample };
            let histograms = self.histograms(series)?.into_iter().map(incoming);
            self.decoded.content.histograms.extend(histograms);
        }
        if !series.exemplars.is_empty() {
            let incoming = |exemplar| IncomingExemplar { series: known.series, exemplar };
            let exemplars = self.exemplars(series, exemplar).into_iter().map(incoming);
            self.decoded.content.exemplars.extend(exemplars);
        }
        Ok(())
    }

    fn unknown<L: RawLabels>(
        &mut self,
        raw_key: RawKey,
        labels: Labels,
        series: &Series<'_, L>,
        exemplar: impl Fn(&[u8]) -> Result<Exemplar, InvalidExemplar>,
    ) -> Result<(), WriteError> {
        let mut samples = Vec::with_capacity(series.samples.len());
        let mut starts = Vec::new();
        for raw in series.samples {
            if !self.takes(raw.timestamp) {
                self.decoded.standby.samples += 1;
                continue;
            }
            let sample = Sample { ts: raw.timestamp, value: raw.value };
            match validate::time(sample.ts, self.context.now, self.context.limits) {
                Ok(()) => {
                    samples.push(sample);
                    starts.extend(self.start(raw, series.created).map(|start| (sample.ts, start)));
                }
                Err(reason) => self.refuse_sample(reason, series.labels, sample),
            }
        }
        let histograms = self.histograms(series)?;
        let exemplars = self.exemplars(series, exemplar);
        // A series is created by its first sample, not by being mentioned.
        let brought = Brought { samples, histograms, exemplars, starts };
        let n_elements = brought.n_elements();
        if n_elements > 0 {
            if let Err(reason) = self.may_create(&labels) {
                let named = || validate::display(series.labels);
                self.decoded.refusals.add(reason, n_elements, named);
                return Ok(());
            }
            self.decoded.unknown.push(Newcomer { raw_key, peer: self.peer, labels, brought });
        } else if self.peer != Peer::NOBODY {
            let standby = Meaning::Standby(self.peer);
            self.decoded.learned.push((raw_key, standby));
        }
        Ok(())
    }

    /// Since when a sample counts, if that is said and makes sense.
    #[inline]
    fn start(&mut self, raw: &RawSample, created: i64) -> Option<i64> {
        let said = if raw.start_timestamp == 0 { created } else { raw.start_timestamp };
        if said == 0 {
            return None;
        }
        let start_ts = validate::start(said, raw.timestamp);
        self.decoded.starts_ignored += usize::from(start_ts == 0);
        (start_ts != 0).then_some(start_ts)
    }

    fn start_of_known(&mut self, known: Known, ts: i64, start_ts: i64) {
        let Known { position, series, .. } = known;
        match self.context.starts.judge(position, ts, start_ts) {
            Judgement::Known => {}
            Judgement::New => {
                let start = IncomingStart { position, series, ts, start_ts };
                self.decoded.content.starts.push(start);
            }
            Judgement::Backwards => self.decoded.starts_ignored += 1,
        }
    }

    /// The histograms of a series that can be stored; the others are refused.
    fn histograms<L: RawLabels>(
        &mut self,
        series: &Series<'_, L>,
    ) -> Result<Vec<HistogramSample>, WriteError> {
        let mut histograms = Vec::with_capacity(series.histograms.len());
        for message in series.histograms {
            let named = || validate::display(series.labels);
            let refusals = &mut self.decoded.refusals;
            let (ts, decoded) = match histogram::decode(message, series.created) {
                Ok(decoded) => decoded,
                Err(err) => {
                    refusals.add(Reason::InvalidHistogram, 1, || format!("{err}: {}", named()));
                    continue;
                }
            };
            if !self.leaders.takes(self.peer, ts, self.context.now) {
                self.decoded.standby.histograms += 1;
                continue;
            }
            if let Err(reason) = validate::time(ts, self.context.now, self.context.limits) {
                refusals.add(reason, 1, || format!("{} at {ts}", named()));
                continue;
            }
            match decoded {
                Ok(histogram) => {
                    self.n_samples += histogram.weight();
                    histograms.push(HistogramSample { ts, histogram: Arc::new(histogram) });
                    self.check_samples()?;
                }
                Err(err) => {
                    let example = || format!("{err}: {} at {ts}", named());
                    refusals.add(Reason::InvalidHistogram, 1, example);
                }
            }
        }
        Ok(histograms)
    }

    /// The exemplars of a series that can be stored; the others are refused.
    fn exemplars<L: RawLabels>(
        &mut self,
        series: &Series<'_, L>,
        decode: impl Fn(&[u8]) -> Result<Exemplar, InvalidExemplar>,
    ) -> Vec<Exemplar> {
        let mut exemplars = Vec::with_capacity(series.exemplars.len());
        for message in series.exemplars {
            let named = || validate::display(series.labels);
            let refusals = &mut self.decoded.refusals;
            match decode(message) {
                Ok(exemplar) => {
                    let ts = exemplar.ts;
                    if !self.leaders.takes(self.peer, ts, self.context.now) {
                        self.decoded.standby.exemplars += 1;
                        continue;
                    }
                    match validate::time(ts, self.context.now, self.context.limits) {
                        Ok(()) => exemplars.push(exemplar),
                        Err(reason) => {
                            refusals.add(reason, 1, || format!("exemplar of {} at {ts}", named()));
                        }
                    }
                }
                Err(err) => {
                    refusals.add(Reason::InvalidExemplar, 1, || format!("{err}: {}", named()));
                }
            }
        }
        exemplars
    }

    /// Counts bytes that are copied out of the request.
    fn expand(&mut self, n_bytes: usize) -> Result<(), WriteError> {
        self.expanded_bytes += n_bytes;
        // Lengths are kept in 32 bits.
        let limit = self.context.limits.expanded_bytes_max.min(u32::MAX as usize);
        if self.expanded_bytes > limit {
            return Err(WriteError::TooMany { what: Limit::Expanded, limit });
        }
        Ok(())
    }

    fn check_samples(&self) -> Result<(), WriteError> {
        let limit = self.context.limits.samples_per_request_max;
        if self.n_samples > limit {
            return Err(WriteError::TooMany { what: Limit::Samples, limit });
        }
        Ok(())
    }

    #[cold]
    fn refuse_series<L: RawLabels>(&mut self, reason: Reason, series: &Series<'_, L>) {
        // A bad series without samples is still something that its sender should know of.
        let n_elements = series.n_elements().max(1);
        self.decoded.refusals.add(reason, n_elements, || validate::display(series.labels));
    }

    #[cold]
    fn refuse_sample(&mut self, reason: Reason, labels: impl RawLabels, sample: Sample) {
        self.decoded
            .refusals
            .add(reason, 1, || format!("{} at {}", validate::display(labels), sample.ts));
    }
}
