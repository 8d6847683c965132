//! A group: up to 64 adjacent series of one pack, the unit of batches and blocks alike.
//!
//! Columns, because neighbours of one kind compress: first the series' ids, then which timestamp vector each has, then
//! their value chunks. The byte diagram is in `receiver/docs/format/group.md`.

use super::{
    CodecError,
    timestamps::Vectors,
    values,
    varint::{self, Reader},
};

/// How many series a group holds at most: enough to share everything that can be shared, and few enough that reading
/// one series touches little else.
pub const GROUP_SERIES_MAX: usize = 64;

/// One series of a group that is being written.
#[derive(Clone, Copy, Debug)]
pub struct GroupSeries<'a> {
    pub series: i64,
    /// The number of its timestamps in the dictionary that the batch or block shares.
    pub vector: u32,
    /// One value for each timestamp of the vector.
    pub values: &'a [f64],
}

/// Appends a group. The series are ascending by id, at least one and at most [`GROUP_SERIES_MAX`].
pub fn encode(group: &[GroupSeries<'_>], encoder: &mut values::Encoder, out: &mut Vec<u8>) {
    assert!(!group.is_empty() && group.len() <= GROUP_SERIES_MAX, "the caller cuts groups");
    assert!(group.is_sorted_by(|a, b| a.series < b.series), "series ascend within a group");
    varint::put(out, group.len() as u64);
    let mut previous = 0;
    for member in group {
        varint::put(out, (member.series - previous) as u64);
        previous = member.series;
    }
    for member in group {
        varint::put(out, u64::from(member.vector));
    }
    for member in group {
        encoder.encode(member.values, out);
    }
}

/// Memory for reading, used again for group after group.
#[derive(Debug, Default)]
pub struct Scratch {
    series: Vec<i64>,
    vectors: Vec<usize>,
    values: Vec<f64>,
}

/// Where samples go that are read.
pub trait Sink {
    /// Where to append the values of a series, one for each timestamp; `None`: it is not wanted.
    fn place(&mut self, series: i64, timestamps: &[i64]) -> Option<&mut Vec<f64>>;

    /// They are there.
    fn placed(&mut self, series: i64, timestamps: &[i64]);
}

/// Reads one group and hands each wanted series' timestamps and values to `sink`, in order of ids.
pub fn decode(
    reader: &mut Reader<'_>,
    vectors: &Vectors,
    scratch: &mut Scratch,
    wanted: impl FnMut(i64) -> bool,
    sink: impl FnMut(i64, &[i64], &[f64]),
) -> Result<(), CodecError> {
    let mut handing = Handing { wanted, sink, values: std::mem::take(&mut scratch.values) };
    let outcome = decode_into(reader, vectors, scratch, &mut handing);
    scratch.values = handing.values;
    outcome
}

/// Hands on what was read.
struct Handing<W, S> {
    wanted: W,
    sink: S,
    values: Vec<f64>,
}

impl<W: FnMut(i64) -> bool, S: FnMut(i64, &[i64], &[f64])> Sink for Handing<W, S> {
    fn place(&mut self, series: i64, _: &[i64]) -> Option<&mut Vec<f64>> {
        self.values.clear();
        (self.wanted)(series).then_some(&mut self.values)
    }

    fn placed(&mut self, series: i64, timestamps: &[i64]) {
        (self.sink)(series, timestamps, &self.values);
    }
}

/// Reads one group, each wanted series' values to where `sink` wants them, in order of ids.
pub fn decode_into(
    reader: &mut Reader<'_>,
    vectors: &Vectors,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) -> Result<(), CodecError> {
    let n_series = reader.bounded("the number of series in a group", GROUP_SERIES_MAX)?;
    scratch.series.clear();
    scratch.vectors.clear();
    let mut id: i64 = 0;
    for _ in 0..n_series {
        id = id.wrapping_add(reader.varint()? as i64);
        scratch.series.push(id);
    }
    for _ in 0..n_series {
        scratch.vectors.push(
            reader.bounded("the number of a timestamp vector", vectors.len().saturating_sub(1))?,
        );
    }
    for (id, vector) in scratch.series.iter().zip(&scratch.vectors) {
        let at = reader.position();
        let timestamps = vectors.get(*vector).ok_or(CodecError::Malformed {
            what: "a series has a timestamp vector that is not there",
            at,
        })?;
        match sink.place(*id, timestamps) {
            Some(values) => {
                values::decode(reader, timestamps.len(), values)?;
                sink.placed(*id, timestamps);
            }
            None => values::skip(reader, timestamps.len())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::codec::timestamps::Dictionary;

    #[test]
    fn round_trip_of_some_and_all_series() {
        let mut dictionary = Dictionary::default();
        let scrapes = dictionary.intern(&[1_000, 2_000, 3_000]);
        let late = dictionary.intern(&[1_500]);
        let group = [
            GroupSeries { series: 7, vector: scrapes, values: &[1.0, 2.0, 3.0] },
            GroupSeries { series: 9, vector: late, values: &[f64::NAN] },
            GroupSeries { series: 1_000_000, vector: scrapes, values: &[0.5, 0.5, 0.5] },
        ];
        let mut bytes = Vec::new();
        dictionary.encode(1_000, &mut bytes);
        encode(&group, &mut values::Encoder::default(), &mut bytes);

        for wanted in [vec![7, 9, 1_000_000], vec![9], vec![1_000_000], vec![]] {
            let mut reader = Reader::new(&bytes);
            let vectors = Vectors::decode(&mut reader, 1_000).unwrap();
            let mut seen = Vec::new();
            decode(
                &mut reader,
                &vectors,
                &mut Scratch::default(),
                |id| wanted.contains(&id),
                |id, ts, values| {
                    seen.push(id);
                    let member = group.iter().find(|member| member.series == id).unwrap();
                    assert_eq!(ts, dictionary.vector(member.vector));
                    assert!(
                        values.iter().zip(member.values).all(|(a, b)| a.to_bits() == b.to_bits())
                    );
                },
            )
            .unwrap();
            assert_eq!(seen, wanted);
            assert!(reader.is_at_end());
        }
    }
}
