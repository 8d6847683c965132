//! Groups of series of native histograms; they follow the groups of floats in batches and blocks that have any.
//!
//! As in a group of floats, first the ids, then which timestamp vector each series has, then how long its chunk is, then
//! the chunks. The byte diagram is in `receiver/docs/format/histograms.md`.

mod chunk;
mod columns;
mod layout;

use std::sync::Arc;

use super::{
    CodecError,
    timestamps::{Dictionary, Vectors},
    varint::{self, Reader},
};
use crate::storage::histogram::HistogramSample;
#[cfg(any(test, feature = "testing"))]
use crate::storage::histogram::NativeHistogram;

/// Histograms of one chunk at most, and their counts and bounds at most: bounds what damaged bytes can allocate. A series with more
/// has several chunks.
const CHUNK_LEN_MAX: usize = 1024;
const CHUNK_CELLS_MAX: usize = 1 << 20;
/// Counts that every histogram has beside its buckets: sum, count, zero count, reset hint, start.
const FIXED_COLUMNS: usize = 5;

/// One chunk of a group that is being written.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub series: i64,
    /// The number of its timestamps in the dictionary that the batch or block shares.
    pub vector: u32,
    /// One histogram for each timestamp of the vector.
    pub samples: &'a [HistogramSample],
}

/// Reusable memory of the encoder.
#[derive(Debug, Default)]
pub struct Encoder {
    columns: columns::Encoder,
    times: Vec<i64>,
    chunks: Vec<u8>,
}

impl Encoder {
    /// Cuts a series' histograms, which ascend in time, into chunks and enters their timestamps into the dictionary.
    pub fn cut<'a>(
        &mut self,
        series: i64,
        samples: &'a [HistogramSample],
        dictionary: &mut Dictionary,
        out: &mut Vec<Member<'a>>,
    ) {
        let mut rest = samples;
        while !rest.is_empty() {
            let mut cells = 0;
            let fitting = rest
                .iter()
                .take(CHUNK_LEN_MAX)
                .take_while(|sample| {
                    let histogram = &sample.histogram;
                    cells += histogram.counts().n_buckets() + FIXED_COLUMNS;
                    cells += histogram.layout().custom_bounds().len();
                    cells <= CHUNK_CELLS_MAX
                })
                .count();
            assert!(fitting > 0, "no histogram alone has as many counts as a chunk may have");
            let (chunk, behind) = rest.split_at(fitting);
            self.times.clear();
            self.times.extend(chunk.iter().map(|sample| sample.ts));
            out.push(Member { series, vector: dictionary.intern(&self.times), samples: chunk });
            rest = behind;
        }
    }

    /// Appends a group. Members ascend by series, and those of one series by time.
    pub fn encode(&mut self, members: &[Member<'_>], out: &mut Vec<u8>) {
        assert!(!members.is_empty(), "an empty group is not written");
        assert!(members.is_sorted_by_key(|member| member.series), "series ascend within a group");
        varint::put(out, members.len() as u64);
        let mut previous = 0;
        for member in members {
            varint::put(out, (member.series - previous) as u64);
            previous = member.series;
        }
        for member in members {
            varint::put(out, u64::from(member.vector));
        }
        self.chunks.clear();
        for member in members {
            let start = self.chunks.len();
            chunk::encode(member.samples, &mut self.columns, &mut self.chunks);
            varint::put(out, (self.chunks.len() - start) as u64);
        }
        out.extend_from_slice(&self.chunks);
    }
}

/// Memory for reading, used again for group after group.
#[derive(Debug, Default)]
pub struct Scratch {
    members: Vec<(i64, usize, usize)>,
    chunk: chunk::Scratch,
}

/// Reads one group and hands each wanted series' histograms to `sink`, in order of ids and time.
pub fn decode(
    reader: &mut Reader<'_>,
    vectors: &Vectors,
    scratch: &mut Scratch,
    mut wanted: impl FnMut(i64) -> bool,
    mut sink: impl FnMut(i64, HistogramSample),
) -> Result<(), CodecError> {
    let n_members = reader.bounded("the number of chunks in a group", reader.len_left() / 3)?;
    let Scratch { members, chunk } = scratch;
    members.clear();
    let mut series: i64 = 0;
    for _ in 0..n_members {
        series = series.wrapping_add(reader.varint()? as i64);
        members.push((series, 0, 0));
    }
    for (_, vector, _) in members.iter_mut() {
        *vector =
            reader.bounded("the number of a timestamp vector", vectors.len().saturating_sub(1))?;
    }
    for (_, _, length) in members.iter_mut() {
        *length = reader.bounded("the length of a chunk of histograms", reader.len_left())?;
    }
    for (series, vector, length) in members.iter() {
        let at = reader.position();
        let bytes = reader.take(*length)?;
        if !wanted(*series) {
            continue;
        }
        let timestamps = vectors.get(*vector).ok_or(CodecError::Malformed {
            what: "a chunk has a timestamp vector that is not there",
            at,
        })?;
        let mut inner = Reader::new(bytes);
        let histograms = chunk::decode(&mut inner, timestamps.len(), chunk)?;
        if !inner.is_at_end() {
            return Err(CodecError::Malformed { what: "a chunk of histograms is too long", at });
        }
        for (ts, histogram) in timestamps.iter().zip(histograms) {
            sink(*series, HistogramSample { ts: *ts, histogram: Arc::new(histogram) });
        }
    }
    Ok(())
}

/// Encodes one chunk, and gives its bytes. For goldens and fuzzing; at most [`CHUNK_LEN_MAX`] histograms.
#[cfg(any(test, feature = "testing"))]
pub fn encode_chunk(samples: &[HistogramSample]) -> Vec<u8> {
    let mut out = Vec::new();
    chunk::encode(samples, &mut columns::Encoder::default(), &mut out);
    out
}

/// Decodes one chunk of `n` histograms.
#[cfg(any(test, feature = "testing"))]
pub fn decode_chunk(bytes: &[u8], n: usize) -> Result<Vec<NativeHistogram>, CodecError> {
    chunk::decode(&mut Reader::new(bytes), n, &mut chunk::Scratch::default())
}

#[cfg(test)]
mod tests;
