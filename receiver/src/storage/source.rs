//! The storage as the query engine sees it.
//!
//! Labels come from memory. Samples come pack by pack, in the order of the series that are given out: while the engine
//! works on one pack, the next is being decoded and the one behind it is on its way from the database.

use std::{collections::VecDeque, sync::Arc};

use promql::{
    model::{HistogramSample, Labels, Samples},
    source::{Select, SeriesSet, Source, SourceError},
};

use super::{PackStream, Reader, SeriesSamples};
use crate::model::SeriesId;

/// To be used on a thread of the runtime that may block.
impl Source for Reader {
    fn select<'s>(&'s self, request: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        let mut ids = self.select(request.matchers, usize::MAX);
        let index = self.catalogue().index();
        ids.sort_by_cached_key(|id| (index.position(*id).map(|at| index.pack(at)), *id));
        let positions = ids.iter().filter_map(|id| index.position(*id));
        let labels = positions.map(|position| index.labels(position)).collect();
        drop(index);
        Ok(Box::new(Found {
            reader: self,
            labels,
            ids,
            from: request.after.saturating_add(1),
            to: request.until,
            stream: None,
            next: 0,
            decoded: VecDeque::new(),
        }))
    }
}

struct Found<'s> {
    reader: &'s Reader,
    labels: Vec<Labels>,
    /// In the order in which packs are read.
    ids: Vec<SeriesId>,
    from: i64,
    to: i64,
    /// Opened by the first series that is read.
    stream: Option<PackStream>,
    /// The place before which nothing is waited for any more.
    next: usize,
    /// What came and was not asked for yet, in order.
    decoded: VecDeque<SeriesSamples>,
}

impl SeriesSet for Found<'_> {
    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn read(&mut self, place: usize, samples: &mut Samples) -> Result<(), SourceError> {
        samples.clear();
        let stream = self
            .stream
            .get_or_insert_with(|| self.reader.stream(&self.ids[place..], self.from, self.to));
        loop {
            while let Some(first) = self.decoded.front() {
                // Series without samples are left out of the stream: the first one stands at `next` or behind it.
                let rest = &self.ids[self.next..];
                let at = self.next + rest.iter().take_while(|id| **id != first.series).count();
                if at > place {
                    return Ok(());
                }
                self.next = at + 1;
                let found = self.decoded.pop_front().expect("seen above");
                if at == place {
                    samples.timestamps.extend(found.samples.iter().map(|sample| sample.ts));
                    samples.values.extend(found.samples.iter().map(|sample| sample.value));
                    samples.histograms.extend(found.histograms.iter().map(|sample| {
                        HistogramSample {
                            ts: sample.ts,
                            value: Arc::new(sample.histogram.to_float()),
                            start_ts: sample.histogram.start_ts,
                        }
                    }));
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
