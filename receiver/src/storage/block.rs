//! The block: the samples of one pack of series over a span of time, as the bytes of one row.
//!
//! The byte diagram is in `receiver/docs/format/block.md`. A block is a batch without a directory: one group, found by
//! the row's pack.

use super::{
    codec::{
        CodecError,
        group::{self, GroupSeries},
        histograms,
        timestamps::{Dictionary, Vectors},
        values,
        varint::{self, Reader},
    },
    histogram::HistogramSample,
};
use crate::model::{Sample, SeriesId};

pub use super::codec::group::GROUP_SERIES_MAX as PACK_SERIES_MAX;

/// The first byte of a block.
const FORMAT: u8 = 1;

/// Builds blocks; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Encoder {
    values: values::Encoder,
    dictionary: Dictionary,
    columns: Vec<f64>,
    times: Vec<i64>,
    members: Vec<(i64, u32, usize, usize)>,
    histograms: histograms::Encoder,
}

/// A block as encoded.
#[derive(Debug)]
pub struct Encoded {
    pub t_min: i64,
    pub t_max: i64,
    pub n_samples: usize,
    pub body: Vec<u8>,
}

impl Encoder {
    /// The bytes of a block without histograms.
    pub fn encode<'a>(
        &mut self,
        series: impl Iterator<Item = (SeriesId, &'a [Sample])>,
    ) -> Encoded {
        self.encode_all(series, std::iter::empty())
    }

    /// The bytes of a block. Series ascend, at most [`PACK_SERIES_MAX`]; the samples of each ascend in time, at least one;
    /// the same goes for histograms. At least one series of either.
    pub fn encode_all<'a>(
        &mut self,
        series: impl Iterator<Item = (SeriesId, &'a [Sample])>,
        of_histograms: impl Iterator<Item = (SeriesId, &'a [HistogramSample])>,
    ) -> Encoded {
        self.dictionary.clear();
        self.columns.clear();
        self.members.clear();
        let (mut t_min, mut t_max) = (i64::MAX, i64::MIN);
        for (id, samples) in series {
            let (first, last) =
                (samples.first().expect("no series is empty"), samples.last().expect("as above"));
            t_min = t_min.min(first.ts);
            t_max = t_max.max(last.ts);
            self.times.clear();
            self.times.extend(samples.iter().map(|sample| sample.ts));
            let vector = self.dictionary.intern(&self.times);
            let start = self.columns.len();
            self.columns.extend(samples.iter().map(|sample| sample.value));
            self.members.push((id.0, vector, start, self.columns.len()));
        }
        let mut chunks = Vec::new();
        let mut n_histograms = 0;
        for (id, samples) in of_histograms {
            let (first, last) =
                (samples.first().expect("no series is empty"), samples.last().expect("as above"));
            t_min = t_min.min(first.ts);
            t_max = t_max.max(last.ts);
            n_histograms += samples.len();
            self.histograms.cut(id.0, samples, &mut self.dictionary, &mut chunks);
        }
        assert!(t_min <= t_max, "an empty block is not written");
        let mut body = vec![FORMAT];
        varint::put_signed(&mut body, t_min);
        self.dictionary.encode(t_min, &mut body);
        let members: Vec<GroupSeries<'_>> = self
            .members
            .iter()
            .map(|(series, vector, start, end)| GroupSeries {
                series: *series,
                vector: *vector,
                values: &self.columns[*start..*end],
            })
            .collect();
        if members.is_empty() {
            // A group of no series, so that the histograms can follow.
            varint::put(&mut body, 0);
        } else {
            group::encode(&members, &mut self.values, &mut body);
        }
        if !chunks.is_empty() {
            self.histograms.encode(&chunks, &mut body);
        }
        Encoded { t_min, t_max, n_samples: self.columns.len() + n_histograms, body }
    }
}

/// Hands each wanted series' timestamps and values to `sink`, in order of ids; histograms are left out.
pub fn read(
    body: &[u8],
    scratch: &mut group::Scratch,
    wanted: impl FnMut(SeriesId) -> bool,
    sink: impl FnMut(SeriesId, &[i64], &[f64]),
) -> Result<(), CodecError> {
    let mut reader = Reader::new(body);
    read_floats(&mut reader, scratch, wanted, sink).map(drop)
}

/// Hands each wanted series' timestamps and values to `floats`, in order of ids, and then its histograms to
/// `of_histograms`, in order of ids and time.
pub fn read_all(
    body: &[u8],
    scratch: &mut group::Scratch,
    mut wanted: impl FnMut(SeriesId) -> bool,
    floats: impl FnMut(SeriesId, &[i64], &[f64]),
    mut of_histograms: impl FnMut(SeriesId, HistogramSample),
) -> Result<(), CodecError> {
    let mut reader = Reader::new(body);
    let vectors = read_floats(&mut reader, scratch, &mut wanted, floats)?;
    read_histograms(&mut reader, &vectors, &mut wanted, &mut of_histograms)
}

/// Reads each wanted series' values to where `floats` wants them, in order of ids, and then hands histograms to
/// `of_histograms`, in order of ids and time.
pub fn read_into(
    body: &[u8],
    scratch: &mut group::Scratch,
    floats: &mut impl group::Sink,
    mut wanted: impl FnMut(SeriesId) -> bool,
    mut of_histograms: impl FnMut(SeriesId, HistogramSample),
) -> Result<(), CodecError> {
    let mut reader = Reader::new(body);
    let vectors = vectors(&mut reader)?;
    group::decode_into(&mut reader, &vectors, scratch, floats)?;
    read_histograms(&mut reader, &vectors, &mut wanted, &mut of_histograms)
}

/// Reads up to the histograms.
fn read_floats(
    reader: &mut Reader<'_>,
    scratch: &mut group::Scratch,
    mut wanted: impl FnMut(SeriesId) -> bool,
    mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
) -> Result<Vectors, CodecError> {
    let vectors = vectors(reader)?;
    group::decode(
        reader,
        &vectors,
        scratch,
        |id| wanted(SeriesId(id)),
        |id, times, values| sink(SeriesId(id), times, values),
    )?;
    Ok(vectors)
}

/// Reads up to the group.
fn vectors(reader: &mut Reader<'_>) -> Result<Vectors, CodecError> {
    let format = reader.byte()?;
    if format != FORMAT {
        return Err(CodecError::UnknownFormat { format });
    }
    let base = reader.signed()?;
    Vectors::decode(reader, base)
}

/// Reads what follows the group, if anything does.
fn read_histograms(
    reader: &mut Reader<'_>,
    vectors: &Vectors,
    wanted: &mut impl FnMut(SeriesId) -> bool,
    sink: &mut impl FnMut(SeriesId, HistogramSample),
) -> Result<(), CodecError> {
    if reader.is_at_end() {
        return Ok(());
    }
    histograms::decode(
        reader,
        vectors,
        &mut histograms::Scratch::default(),
        |id| wanted(SeriesId(id)),
        |id, sample| sink(SeriesId(id), sample),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::histogram::testing;

    #[test]
    fn what_goes_in_comes_out() {
        let scrapes: Vec<Sample> =
            (0..480).map(|i| Sample { ts: 1_000 + i * 15_000, value: (i % 7) as f64 }).collect();
        let stale = [Sample { ts: 5, value: f64::from_bits(0x7ff0_0000_0000_0002) }];
        let series: [(SeriesId, &[Sample]); 3] =
            [(SeriesId(3), &scrapes), (SeriesId(4), &stale), (SeriesId(900), &scrapes[..10])];
        let encoded = Encoder::default().encode(series.iter().copied());
        assert_eq!(
            (encoded.t_min, encoded.t_max, encoded.n_samples),
            (5, 1_000 + 479 * 15_000, 491)
        );
        let mut seen = Vec::new();
        read(
            &encoded.body,
            &mut group::Scratch::default(),
            |_| true,
            |id, times, values| {
                let samples: Vec<Sample> = times
                    .iter()
                    .zip(values)
                    .map(|(ts, value)| Sample { ts: *ts, value: *value })
                    .collect();
                seen.push((id, samples));
            },
        )
        .unwrap();
        let expected: Vec<(SeriesId, Vec<Sample>)> =
            series.iter().map(|(id, s)| (*id, s.to_vec())).collect();
        assert_eq!(seen, expected);
        assert!(
            read(&encoded.body[..20], &mut group::Scratch::default(), |_| true, |_, _, _| {})
                .is_err()
        );
    }

    #[test]
    fn floats_and_histograms_of_the_same_series() {
        let histograms: Vec<HistogramSample> = (0..50u64)
            .map(|i| HistogramSample {
                ts: 1_000 + i as i64 * 15_000,
                histogram: Arc::new(testing::exponential(2, &[(1, 2)], &[i, i * i])),
            })
            .collect();
        let floats: Vec<Sample> =
            (0..20).map(|i| Sample { ts: 500 + i * 15_000, value: i as f64 }).collect();
        for with_floats in [true, false] {
            let of_floats = with_floats.then_some((SeriesId(3), &floats[..]));
            let of_histograms = [(SeriesId(3), &histograms[..]), (SeriesId(5), &histograms[..7])];
            let encoded =
                Encoder::default().encode_all(of_floats.into_iter(), of_histograms.into_iter());
            let n_floats = if with_floats { 20 } else { 0 };
            assert_eq!((encoded.n_samples, encoded.t_max), (57 + n_floats, 1_000 + 49 * 15_000));
            let (mut n_seen, mut seen) = (0, Vec::new());
            let read_of = |wanted: fn(SeriesId) -> bool, n: &mut usize, seen: &mut Vec<_>| {
                read_all(
                    &encoded.body,
                    &mut group::Scratch::default(),
                    wanted,
                    |_, times, _| *n += times.len(),
                    |id, sample| seen.push((id, sample)),
                )
            };
            read_of(|_| true, &mut n_seen, &mut seen).unwrap();
            let expected: Vec<_> = of_histograms
                .iter()
                .flat_map(|(id, samples)| samples.iter().map(|sample| (*id, sample.clone())))
                .collect();
            assert_eq!((n_seen, &seen), (n_floats, &expected));
            seen.clear();
            read_of(|id| id.0 == 5, &mut n_seen, &mut seen).unwrap();
            assert_eq!((n_seen, &seen[..]), (n_floats, &expected[50..]));
        }
    }
}
