//! The way in up to the catalogue, for fuzzing and benchmarks.

use prometheus_client::metrics::counter::Counter;

use super::{
    Limits, Version, WriteError,
    decode::{self, Decoded},
    described::Described,
    gate::Standing,
    keys::{Halves, Meaning},
    pairs::PairHasher,
    quota::Quotas,
    replicas::{Peer, Replicas},
};
use crate::{
    config::Rules,
    model::{MetricId, PackId, SeriesId},
    storage::{
        batch::{self, Row},
        catalogue::{Identity, Index, RawHasher},
        commit::Incoming,
        start::Starts,
    },
};

/// Decodes and judges a request at the time `now`, before an index that knows no series.
pub fn decode(version: Version, block: &[u8], now: i64) -> Result<(), WriteError> {
    let decoding = Decoding::default();
    let halves = decoding.standing.keys.halves();
    let context = decode::Context { now, ..decoding.context(&halves) };
    decode::decode(version, block, context).map(drop)
}

/// Series per pack, as the catalogue has them.
const PACK_SERIES: usize = 64;

/// The way in with an index that learns, and no database.
#[derive(Debug)]
pub struct Decoding {
    index: Index,
    standing: Standing,
    hasher: RawHasher,
    pairs: PairHasher,
    starts: Starts,
    described: Described,
    limits: Limits,
    encoder: batch::Encoder,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            index: Index::default(),
            standing: Standing::new(Rules::default(), Replicas::default(), Quotas::default()),
            hasher: RawHasher::new(),
            pairs: PairHasher::new(),
            starts: Starts::default(),
            described: Described::default(),
            limits: Limits::default(),
            encoder: batch::Encoder::default(),
        }
    }
}

impl Decoding {
    fn context<'a>(&'a self, keys: &'a Halves) -> decode::Context<'a> {
        let Self { index, standing, hasher, pairs, starts, described, limits, .. } = self;
        let now = i64::MAX / 2;
        let quota = None;
        decode::Context {
            index,
            standing,
            quota,
            keys,
            hasher,
            pairs,
            starts,
            described,
            limits,
            now,
        }
    }

    /// Makes the series of a block known. Gives how many samples it holds.
    ///
    /// # Panics
    ///
    /// If it is no block of that version.
    pub fn learn(&mut self, version: Version, block: &[u8]) -> usize {
        let halves = self.standing.keys.halves();
        let decoded = decode::decode(version, block, self.context(&halves)).expect("a block");
        drop(halves);
        let n_samples = decoded.content.samples.len() + decoded.unknown.n_samples();
        for unknown in decoded.unknown.take_apart() {
            let at = self.index.len();
            let labels = &unknown.labels;
            let position = self.index.insert(
                Identity::of(labels),
                MetricId(1),
                PackId((at / PACK_SERIES) as i32),
                SeriesId(at as i64 + 1),
                labels.iter().map(|label| (&*label.name, &*label.value)),
            );
            let key = (unknown.raw_key, Meaning::Series(position, Peer::NOBODY));
            self.standing.keys.remember([key], at, &Counter::default());
        }
        n_samples
    }

    /// Decodes a request that is no longer compressed. Gives how many samples of known series it holds.
    ///
    /// # Panics
    ///
    /// If it is no message of that version.
    pub fn decode(&self, version: Version, body: &[u8]) -> usize {
        self.decoded(version, body).content.samples.len()
    }

    /// The same, and encodes the samples as a batch. Gives its size.
    ///
    /// # Panics
    ///
    /// If it is no message of that version.
    pub fn encode(&mut self, version: Version, body: &[u8]) -> usize {
        let mut samples = self.decoded(version, body).content.samples;
        samples.sort_by_key(|one| (one.known.pack, one.known.series, one.sample.ts));
        samples.dedup_by_key(|one| (one.known.series, one.sample.ts));
        let row = |Incoming { known, sample }: &Incoming| Row {
            pack: known.pack,
            series: known.series,
            ts: sample.ts,
            value: sample.value,
        };
        let rows: Vec<Row> = samples.iter().map(row).collect();
        if rows.is_empty() { 0 } else { self.encoder.encode(&rows).len() }
    }

    fn decoded(&self, version: Version, body: &[u8]) -> Decoded {
        let halves = self.standing.keys.halves();
        decode::decode_body(version, body, self.context(&halves)).expect("a message")
    }
}
