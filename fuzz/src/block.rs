//! A block that was read and is in order is the same after it was written and read again.

use std::collections::BTreeMap;

use receiver::{
    model::{Sample, SeriesId},
    storage::{
        block::{self, PACK_SERIES_MAX},
        codec::{CodecError, group},
        histogram::HistogramSample,
    },
};

#[derive(Debug, Default, PartialEq)]
struct Contents {
    floats: BTreeMap<SeriesId, Vec<Sample>>,
    histograms: BTreeMap<SeriesId, Vec<HistogramSample>>,
}

pub fn target(data: &[u8]) {
    let _ =
        block::read(data, &mut group::Scratch::default(), |series| series.0 % 2 == 0, |_, _, _| {});
    let Ok(contents) = contents(data) else { return };
    let Contents { floats, histograms } = &contents;
    let in_order = floats.values().all(|samples| samples.is_sorted_by(|a, b| a.ts < b.ts))
        && histograms.values().all(|samples| samples.is_sorted_by(|a, b| a.ts < b.ts));
    let is_named = floats.keys().chain(histograms.keys()).all(|series| series.0 > 0);
    let n_series = floats.len().max(histograms.len());
    if !in_order || !is_named || !(1..=PACK_SERIES_MAX).contains(&n_series) {
        return;
    }
    let written = block::Encoder::default().encode_all(
        floats.iter().map(|(series, samples)| (*series, &samples[..])),
        histograms.iter().map(|(series, samples)| (*series, &samples[..])),
    );
    assert_eq!(self::contents(&written.body).expect("what was written can be read"), contents);
}

fn contents(body: &[u8]) -> Result<Contents, CodecError> {
    let mut contents = Contents::default();
    block::read_all(
        body,
        &mut group::Scratch::default(),
        |_| true,
        |series, times, values| {
            let samples =
                times.iter().zip(values).map(|(ts, value)| Sample { ts: *ts, value: *value });
            contents.floats.entry(series).or_default().extend(samples);
        },
        |series, sample| contents.histograms.entry(series).or_default().push(sample),
    )?;
    Ok(contents)
}
