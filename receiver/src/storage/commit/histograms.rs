//! The native histograms of several requests become those of one batch: sorted, each once.
//!
//! The same rules as for floats: what is there already with the same bits is a success that writes nothing, and what
//! differs from what is stored for its time is a conflict. A float at the same time is another value, unless both are
//! staleness markers, which say the same. The other way round nobody looks, as that would cost every float: where a
//! float comes to the time of a histogram, both are stored, and the float counts.

use promql::model::is_stale;

use super::{
    super::{
        batch::HistogramRow,
        head::Head,
        histogram::{HistogramSample, NativeHistogram},
    },
    IncomingHistogram,
    merge::{Appended, Merged},
};
use crate::{
    model::{PackId, SeriesId},
    storage::catalogue::Known,
};

/// What is stored for the time of a histogram.
enum Stored {
    Nothing,
    Same,
    Other,
}

/// Adds histograms to `merged`, which has the floats of the same requests, leaving out what `head` or the batch in flight
/// (`before`) has already.
pub(super) fn merge(
    requests: Vec<Vec<IncomingHistogram>>,
    head: &Head,
    before: Option<&Merged>,
    merged: &mut Merged,
    appended: &mut [Appended],
) {
    let mut all: Vec<(usize, IncomingHistogram)> = requests
        .into_iter()
        .enumerate()
        .flat_map(|(request, of)| of.into_iter().map(move |incoming| (request, incoming)))
        .collect();
    // Stable: of two for one time, the first to arrive is kept.
    all.sort_by_key(|(_, IncomingHistogram { known, sample })| {
        (known.pack, known.series, sample.ts)
    });
    for (request, IncomingHistogram { known, sample }) in all {
        let outcome = &mut appended[request];
        match stored(&known, &sample, head, before, merged) {
            Stored::Nothing => {
                outcome.written += 1;
                outcome.histograms += 1;
                add(merged, &known, sample);
            }
            Stored::Same => {
                outcome.written += 1;
                outcome.histograms += 1;
                outcome.duplicates += 1;
            }
            Stored::Other => outcome.conflict(known.series, sample.ts),
        }
    }
}

fn add(merged: &mut Merged, known: &Known, sample: HistogramSample) {
    let Known { position, pack, series } = *known;
    merged.t_min = merged.t_min.min(sample.ts);
    merged.t_max = merged.t_max.max(sample.ts);
    match (merged.histograms.last_mut(), merged.newest_histograms.last_mut()) {
        (Some(row), Some((_, newest))) if row.series == series => {
            *newest = sample.ts;
            row.samples.push(sample);
        }
        _ => {
            merged.newest_histograms.push((position, sample.ts));
            merged.histograms.push(HistogramRow { pack, series, samples: vec![sample] });
        }
    }
}

fn stored(
    known: &Known,
    sample: &HistogramSample,
    head: &Head,
    before: Option<&Merged>,
    merged: &Merged,
) -> Stored {
    let Known { position, pack, series } = *known;
    let HistogramSample { ts, histogram } = sample;
    for batch in before.into_iter().chain([merged]) {
        if let Some(stored) = batch.histogram_at(pack, series, *ts) {
            return compare(histogram, stored);
        }
        if let Some(value) = batch.value_at(pack, series, *ts) {
            return compare_with_float(histogram, value);
        }
    }
    // A head that cannot be read is a bug that reading will report; storing a sample twice is harmless.
    if *ts <= head.latest_histogram(position)
        && let Ok(Some(stored)) = head.histogram_at(pack, series, *ts)
    {
        return compare(histogram, &stored);
    }
    if head.latest(position).is_some_and(|latest| *ts <= latest.ts)
        && let Ok(Some(value)) = head.at(pack, series, *ts)
    {
        return compare_with_float(histogram, value);
    }
    Stored::Nothing
}

fn compare(sent: &NativeHistogram, stored: &NativeHistogram) -> Stored {
    if sent == stored { Stored::Same } else { Stored::Other }
}

fn compare_with_float(sent: &NativeHistogram, stored: f64) -> Stored {
    if sent.is_stale() && is_stale(stored) { Stored::Same } else { Stored::Other }
}

impl Merged {
    fn histogram_at(&self, pack: PackId, series: SeriesId, ts: i64) -> Option<&NativeHistogram> {
        let at =
            self.histograms.binary_search_by_key(&(pack, series), |row| (row.pack, row.series));
        let row = &self.histograms[at.ok()?];
        let at = row.samples.binary_search_by_key(&ts, |sample| sample.ts).ok()?;
        Some(&row.samples[at].histogram)
    }

    fn value_at(&self, pack: PackId, series: SeriesId, ts: i64) -> Option<f64> {
        let place = (pack, series, ts);
        let at = self.rows.binary_search_by_key(&place, |row| (row.pack, row.series, row.ts));
        Some(self.rows[at.ok()?].value)
    }
}
