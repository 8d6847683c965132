//! Which series a query of remote read asks for, and their samples in the order of their labels.

use promql::model::{Labels, Matcher};

use crate::{
    model::SeriesId,
    storage::{BoundedReader, ReadError, SeriesColumns},
};

/// Series that are read at a time: of some metrics, which lie together.
const SERIES_PER_READ: usize = 512;

/// One query.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) matchers: Vec<Matcher>,
    /// Milliseconds since the epoch, both included.
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Selection {
    /// Calls `each` with every series that has samples, in the order of labels.
    pub(super) fn each(
        &self,
        reader: &BoundedReader,
        mut each: impl FnMut(&Labels, &SeriesColumns) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let (ids, labels) =
            reader.reader.select_labels(&self.matchers, reader.bounds.series_max)?;
        let mut wanted: Vec<(Labels, SeriesId)> = labels.into_iter().zip(ids).collect();
        wanted.sort_unstable();
        let mut rest = &wanted[..];
        let mut n_series = SERIES_PER_READ;
        while !rest.is_empty() {
            let (some, behind) = rest.split_at(n_series.min(rest.len()));
            let samples = match self.read(reader, some) {
                Ok(samples) => samples,
                // Together they are too many; one by one perhaps not.
                Err(ReadError::TooManySamples) if n_series > 1 => {
                    n_series /= 2;
                    continue;
                }
                Err(err) => return Err(err),
            };
            for ((labels, _), samples) in some.iter().zip(&samples) {
                if let Some(samples) = samples {
                    each(labels, samples)?;
                }
            }
            rest = behind;
        }
        Ok(())
    }

    /// The samples of some series, each in its place.
    fn read(
        &self,
        reader: &BoundedReader,
        some: &[(Labels, SeriesId)],
    ) -> Result<Vec<Option<SeriesColumns>>, ReadError> {
        let ids: Vec<SeriesId> = some.iter().map(|(_, id)| *id).collect();
        let mut places: Vec<(SeriesId, usize)> =
            ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        places.sort_unstable();
        let bounds = reader.bounds.clone();
        let mut stream = reader.reader.stream_within(&ids, self.from, self.to, bounds);
        let mut found: Vec<Option<SeriesColumns>> = vec![None; some.len()];
        let mut n_samples = 0;
        while let Some(pack) = stream.blocking_next() {
            for series in pack? {
                n_samples += series.len();
                if n_samples > reader.bounds.samples_max {
                    return Err(ReadError::TooManySamples);
                }
                if let Ok(at) = places.binary_search_by_key(&series.series, |(id, _)| *id) {
                    found[places[at].1] = Some(series);
                }
            }
        }
        Ok(found)
    }
}
