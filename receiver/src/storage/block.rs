//! The block: the samples of one pack of series over a span of time, as the bytes of one row.
//!
//! The byte diagram is in `receiver/docs/format/block.md`. A block is a batch without a directory: one group, found by
//! the row's pack.

use super::codec::{
    CodecError,
    group::{self, GroupSeries},
    timestamps::{Dictionary, Vectors},
    values,
    varint::{self, Reader},
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
    /// The bytes of a block. Series ascend, at most [`PACK_SERIES_MAX`]; the samples of each ascend in time, at least one.
    pub fn encode<'a>(
        &mut self,
        series: impl Iterator<Item = (SeriesId, &'a [Sample])>,
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
        group::encode(&members, &mut self.values, &mut body);
        Encoded { t_min, t_max, n_samples: self.columns.len(), body }
    }
}

/// Hands each wanted series' timestamps and values to `sink`, in order of ids.
pub fn read(
    body: &[u8],
    scratch: &mut group::Scratch,
    wanted: impl FnMut(SeriesId) -> bool,
    mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
) -> Result<(), CodecError> {
    let mut wanted = wanted;
    let mut reader = Reader::new(body);
    let format = reader.byte()?;
    if format != FORMAT {
        return Err(CodecError::UnknownFormat { format });
    }
    let base = reader.signed()?;
    let vectors = Vectors::decode(&mut reader, base)?;
    group::decode(
        &mut reader,
        &vectors,
        scratch,
        |id| wanted(SeriesId(id)),
        |id, times, values| sink(SeriesId(id), times, values),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
