//! A batch that was read and is in order is the same after it was written and read again.

use bytes::Bytes;
use receiver::{
    model::{PackId, SeriesId},
    storage::{
        batch::{Batch, Encoder, HistogramRow, Row},
        codec::{CodecError, group},
    },
};

#[derive(Default)]
struct Contents {
    rows: Vec<Row>,
    histograms: Vec<HistogramRow>,
}

pub fn target(data: &[u8]) {
    let Ok(batch) = Batch::open(Bytes::copy_from_slice(data)) else { return };
    let Ok(contents) = contents(&batch) else { return };
    // All ways of reading survive, whatever the directory says.
    let mut scratch = group::Scratch::default();
    for pack in [PackId(1), PackId(2), PackId(9)] {
        let is_odd = |series: SeriesId| series.0 % 2 == 1;
        let _ = batch.read(pack, &mut scratch, is_odd, |_, _, _| {});
        let _ = batch.read_with_histograms(pack, &mut scratch, is_odd, |_, _, _| {}, |_, _| {});
    }

    let Contents { rows, histograms } = &contents;
    let in_order = rows.is_sorted_by(|a, b| (a.pack, a.series, a.ts) < (b.pack, b.series, b.ts))
        && histograms.is_sorted_by(|a, b| (a.pack, a.series) < (b.pack, b.series))
        && histograms.iter().all(|row| row.samples.is_sorted_by(|a, b| a.ts < b.ts));
    // Numbers of packs and series are positive, and a series belongs to one pack.
    let is_named = rows.iter().all(|row| row.pack.0 > 0 && row.series.0 > 0)
        && histograms.iter().all(|row| row.pack.0 > 0 && row.series.0 > 0)
        && rows
            .windows(2)
            .all(|pair| pair[0].pack == pair[1].pack || pair[0].series != pair[1].series);
    if !in_order || !is_named || rows.is_empty() && histograms.is_empty() {
        return;
    }
    let written = Encoder::default().encode_all(rows, histograms);
    let again = Batch::open(written.into()).expect("what was written can be opened");
    let again = self::contents(&again).expect("what was written can be read");
    assert_eq!(again.histograms.len(), histograms.len());
    for (a, b) in again.histograms.iter().zip(histograms) {
        assert_eq!((a.pack, a.series, &a.samples), (b.pack, b.series, &b.samples));
    }
    let bits = |rows: &[Row]| {
        rows.iter()
            .map(|row| (row.pack, row.series, row.ts, row.value.to_bits()))
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&again.rows), bits(rows));
}

fn contents(batch: &Batch) -> Result<Contents, CodecError> {
    let Contents { mut rows, mut histograms } = Contents::default();
    batch.read_everything(
        &mut group::Scratch::default(),
        |pack, series, times, values| {
            let samples = times.iter().zip(values);
            rows.extend(samples.map(|(ts, value)| Row { pack, series, ts: *ts, value: *value }));
        },
        |pack, series, sample| match histograms.last_mut() {
            Some(HistogramRow { pack: of, series: last, samples })
                if (*of, *last) == (pack, series) =>
            {
                samples.push(sample);
            }
            _ => histograms.push(HistogramRow { pack, series, samples: vec![sample] }),
        },
    )?;
    Ok(Contents { rows, histograms })
}
