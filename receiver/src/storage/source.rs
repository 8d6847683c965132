//! The storage as the query engine sees it.
//!
//! Labels come from memory. Samples come pack by pack, in the order of the series that are given out: while the engine
//! works on some packs, the next are being read and decoded.

use std::{collections::VecDeque, sync::Arc};

use promql::{
    model::{HistogramSample, Labels, Samples},
    source::{Select, SeriesSet, Source, SourceError},
};

use super::{Bounds, PackStream, ReadError, Reader, SeriesColumns, catalogue::Copied};
use crate::model::SeriesId;

/// Series whose labels are copied under one lock, for which others wait.
const LABELS_PER_LOCK: usize = 4096;

/// A reader for one query: it stops at its bounds. To be used on a thread of the runtime that may block.
///
/// Errors are [`ReadError`]s.
#[derive(Clone, Debug)]
pub struct BoundedReader {
    pub reader: Reader,
    pub bounds: Bounds,
}

/// Without bounds. To be used on a thread of the runtime that may block.
impl Source for Reader {
    fn select<'s>(&'s self, request: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        select(self, request, Bounds::default())
    }
}

impl Source for BoundedReader {
    fn select<'s>(&'s self, request: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        select(&self.reader, request, self.bounds.clone())
    }
}

impl Reader {
    /// The numbers and labels of the series that satisfy all matchers, in the order in which samples are read.
    pub fn select_labels(
        &self,
        matchers: &[promql::model::Matcher],
        series_max: usize,
    ) -> Result<(Vec<SeriesId>, Vec<Labels>), ReadError> {
        let mut ids = self.select(matchers, series_max);
        if ids.len() > series_max {
            return Err(ReadError::TooManySeries);
        }
        let index = self.catalogue().index();
        ids.sort_by_cached_key(|id| (index.position(*id).map(|at| index.pack(at)), *id));
        drop(index);
        let mut labels = Vec::with_capacity(ids.len());
        let mut copied = Copied::default();
        for some in ids.chunks(LABELS_PER_LOCK) {
            let index = self.catalogue().index();
            let positions = some.iter().filter_map(|id| index.position(*id));
            labels.extend(positions.map(|position| index.labels_with(position, &mut copied)));
        }
        Ok((ids, labels))
    }
}

fn select<'s>(
    reader: &'s Reader,
    request: &Select<'_>,
    bounds: Bounds,
) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
    let found = reader.select_labels(request.matchers, bounds.series_max);
    let (ids, labels) = found.map_err(|err| SourceError(Box::new(err)))?;
    Ok(Box::new(Found {
        reader,
        labels,
        ids,
        from: request.after.saturating_add(1),
        to: request.until,
        bounds,
        stream: None,
        next: 0,
        decoded: VecDeque::new(),
    }))
}

struct Found<'s> {
    reader: &'s Reader,
    labels: Vec<Labels>,
    /// In the order in which packs are read.
    ids: Vec<SeriesId>,
    from: i64,
    to: i64,
    bounds: Bounds,
    /// Opened by the first series that is read.
    stream: Option<PackStream>,
    /// The place before which nothing is waited for any more.
    next: usize,
    /// What came and was not asked for yet, in order.
    decoded: VecDeque<SeriesColumns>,
}

impl Found<'_> {
    /// The stream of the samples of the series from this place on, if there is none yet.
    fn open(&mut self, place: usize) {
        if self.stream.is_none() {
            let (ids, bounds) = (&self.ids[place..], self.bounds.clone());
            self.stream = Some(self.reader.stream_within(ids, self.from, self.to, bounds));
        }
    }
}

impl SeriesSet for Found<'_> {
    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn start(&mut self) {
        self.open(0);
    }

    fn keep_only(&mut self, places: &[usize]) -> bool {
        if self.stream.is_some() {
            return false;
        }
        self.labels = places.iter().map(|place| self.labels[*place].clone()).collect();
        self.ids = places.iter().map(|place| self.ids[*place]).collect();
        true
    }

    fn read(&mut self, place: usize, samples: &mut Samples) -> Result<(), SourceError> {
        samples.clear();
        self.open(place);
        let stream = self.stream.as_mut().expect("opened above");
        loop {
            while let Some(first) = self.decoded.front() {
                // Series without samples are left out of the stream: the first one stands at `next` or behind it.
                let rest = &self.ids[self.next..];
                let at = self.next + rest.iter().take_while(|id| **id != first.series).count();
                if at > place {
                    return Ok(());
                }
                self.next = at + 1;
                let mut found = self.decoded.pop_front().expect("seen above");
                if at == place {
                    // What the engine has done with goes back in exchange.
                    std::mem::swap(&mut samples.timestamps, &mut found.timestamps);
                    std::mem::swap(&mut samples.values, &mut found.values);
                    samples.histograms.extend(found.histograms.iter().map(|sample| {
                        HistogramSample {
                            ts: sample.ts,
                            value: Arc::new(sample.histogram.to_float()),
                            start_ts: sample.histogram.start_ts,
                        }
                    }));
                }
                stream.give_back([(found.timestamps, found.values)]);
                if at == place {
                    return Ok(());
                }
            }
            match stream.blocking_next() {
                Some(pack) => {
                    self.decoded.extend(pack.map_err(|err| SourceError(Box::new(err)))?);
                }
                None => return Ok(()),
            }
        }
    }
}
