//! From the bytes of a request to samples of series: one pass, no message built.

use std::{cell::RefCell, sync::Arc};

use proto::{
    remote_write::{Message, v1::MetricMetadata, walk},
    snappy,
};

use super::{Limits, Reason, Refusals, WriteError, histogram, validate};
use crate::{
    model::Sample,
    storage::{
        catalogue::{Description, Index, RawHasher, Unknown},
        commit::{Incoming, IncomingHistogram},
        histogram::HistogramSample,
    },
};

/// What a request holds.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Samples of series that the index knows.
    pub(super) samples: Vec<Incoming>,
    /// Histograms of series that the index knows.
    pub(super) histograms: Vec<IncomingHistogram>,
    pub(super) unknown: Vec<UnknownSeries>,
    pub(super) metadata: Vec<Description>,
    pub(super) refusals: Refusals,
}

/// A series that the index does not know, with its samples.
#[derive(Debug)]
pub(super) struct UnknownSeries {
    pub(super) series: Unknown,
    pub(super) samples: Vec<Sample>,
    pub(super) histograms: Vec<HistogramSample>,
}

/// Decodes a snappy block of a remote write 1.0 `WriteRequest`.
pub(super) fn v1(
    block: &[u8],
    index: &Index,
    hasher: &RawHasher,
    limits: &Limits,
    now: i64,
) -> Result<Decoded, WriteError> {
    BODY.with_borrow_mut(|body| {
        let decoded = snappy::decompress(block, limits.decoded_bytes_max, body)
            .map_err(WriteError::from)
            .and_then(|()| v1_body(body, index, hasher, limits, now));
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
/// A sample with its labels takes about this many bytes; a guess that saves growing.
const SAMPLE_BYTES: usize = 128;
/// The guess goes no further than this.
const SAMPLES_GUESS_MAX: usize = 10_000;

fn v1_body(
    body: &[u8],
    index: &Index,
    hasher: &RawHasher,
    limits: &Limits,
    now: i64,
) -> Result<Decoded, WriteError> {
    let mut decoder = Decoder {
        index,
        hasher,
        limits,
        now,
        n_series: 0,
        n_samples: 0,
        decoded: Decoded {
            samples: Vec::with_capacity((body.len() / SAMPLE_BYTES).min(SAMPLES_GUESS_MAX)),
            ..Decoded::default()
        },
    };
    let bounds =
        walk::Bounds { elements: limits.samples_per_request_max, ..walk::Bounds::default() };
    walk::v1(body, bounds, &mut decoder)?;
    Ok(decoder.decoded)
}

struct Decoder<'a> {
    index: &'a Index,
    hasher: &'a RawHasher,
    limits: &'a Limits,
    now: i64,
    n_series: usize,
    n_samples: usize,
    decoded: Decoded,
}

impl walk::Visitor for Decoder<'_> {
    type Error = WriteError;

    fn series(&mut self, series: walk::RawSeries<'_>) -> Result<(), WriteError> {
        self.n_series += 1;
        self.n_samples += series.samples.len() + series.histograms.len();
        if self.n_series > self.limits.series_per_request_max {
            return Err(WriteError::TooMany {
                what: "series",
                limit: self.limits.series_per_request_max,
            });
        }
        self.check_samples()?;
        let raw_key = self.hasher.key(series.labels);
        if let Some(known) = self.index.by_raw_key(raw_key) {
            for raw in series.samples {
                let sample = Sample { ts: raw.timestamp, value: raw.value };
                match validate::time(sample.ts, self.now, self.limits) {
                    Ok(()) => self.decoded.samples.push(Incoming { known, sample }),
                    Err(reason) => self.refuse_sample(reason, series.labels, sample),
                }
            }
            if !series.histograms.is_empty() {
                let incoming = |sample| IncomingHistogram { known, sample };
                let histograms = self.histograms(&series)?.into_iter().map(incoming);
                self.decoded.histograms.extend(histograms);
            }
            return Ok(());
        }
        match validate::labels(series.labels, self.limits) {
            Ok(labels) => self.unknown(Unknown { raw_key, labels }, &series)?,
            Err(reason) => {
                // A bad series without samples is still something that its sender should know of.
                let n_samples = (series.samples.len() + series.histograms.len()).max(1);
                self.decoded.refusals.add(reason, n_samples, || validate::display(series.labels));
            }
        }
        Ok(())
    }

    fn metadata(&mut self, message: &[u8]) -> Result<(), WriteError> {
        self.n_series += 1;
        if self.n_series > self.limits.series_per_request_max {
            return Err(WriteError::TooMany {
                what: "metadata entries",
                limit: self.limits.series_per_request_max,
            });
        }
        // Help for humans: what cannot be read of it is not worth refusing samples for.
        if let Ok(metadata) = MetricMetadata::decode(message)
            && let Some(description) = Description::new(&metadata)
        {
            self.decoded.metadata.push(description);
        }
        Ok(())
    }
}

impl Decoder<'_> {
    fn unknown(
        &mut self,
        unknown: Unknown,
        series: &walk::RawSeries<'_>,
    ) -> Result<(), WriteError> {
        let mut samples = Vec::with_capacity(series.samples.len());
        for raw in series.samples {
            let sample = Sample { ts: raw.timestamp, value: raw.value };
            match validate::time(sample.ts, self.now, self.limits) {
                Ok(()) => samples.push(sample),
                Err(reason) => self.refuse_sample(reason, series.labels, sample),
            }
        }
        // A series is created by its first sample, not by being mentioned.
        let histograms = self.histograms(series)?;
        if !samples.is_empty() || !histograms.is_empty() {
            self.decoded.unknown.push(UnknownSeries { series: unknown, samples, histograms });
        }
        Ok(())
    }

    /// The histograms of a series that can be stored; the others are refused.
    fn histograms(
        &mut self,
        series: &walk::RawSeries<'_>,
    ) -> Result<Vec<HistogramSample>, WriteError> {
        let mut histograms = Vec::with_capacity(series.histograms.len());
        for message in series.histograms {
            let named = || validate::display(series.labels);
            let refusals = &mut self.decoded.refusals;
            let (ts, decoded) = match histogram::decode(message) {
                Ok(decoded) => decoded,
                Err(err) => {
                    refusals.add(Reason::InvalidHistogram, 1, || format!("{err}: {}", named()));
                    continue;
                }
            };
            if let Err(reason) = validate::time(ts, self.now, self.limits) {
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

    fn check_samples(&self) -> Result<(), WriteError> {
        let limit = self.limits.samples_per_request_max;
        if self.n_samples > limit {
            return Err(WriteError::TooMany { what: "samples", limit });
        }
        Ok(())
    }

    fn refuse_sample(&mut self, reason: Reason, labels: &[u8], sample: Sample) {
        self.decoded
            .refusals
            .add(reason, 1, || format!("{} at {}", validate::display(labels), sample.ts));
    }
}
