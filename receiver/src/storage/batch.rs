//! The batch: what one group commit acknowledges, as the bytes of one row.
//!
//! A batch is sorted by pack and series and starts with a directory, so that whoever looks for one series, in Rust or
//! in SQL, reads a few hundred bytes of it, and whoever turns batches into blocks goes through them pack by pack. The
//! byte diagram is in `receiver/docs/format/batch.md`.

mod histograms;

use std::ops::Range;

use bytes::Bytes;

pub use self::histograms::HistogramRow;
use super::{
    codec::{
        CodecError,
        group::{self, GROUP_SERIES_MAX, GroupSeries},
        histograms as histogram_group,
        timestamps::{Dictionary, VECTOR_LEN_MAX, Vectors},
        values,
        varint::{self, Reader},
    },
    histogram::HistogramSample,
};
use crate::model::{PackId, SeriesId};

/// The first byte of a batch.
const FORMAT: u8 = 1;
/// More groups than any batch can hold within the limits of one commit.
const GROUPS_MAX: usize = 1 << 24;

/// One sample on its way into a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub pack: PackId,
    pub series: SeriesId,
    pub ts: i64,
    pub value: f64,
}

/// Builds batches; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Encoder {
    values: values::Encoder,
    histograms: histogram_group::Encoder,
    dictionary: Dictionary,
    columns: Columns,
    directory: Vec<u8>,
    groups: Vec<u8>,
}

/// The rows taken apart: each series' timestamps and values.
#[derive(Debug, Default)]
struct Columns {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    series: Vec<ColumnSeries>,
}

#[derive(Clone, Copy, Debug)]
struct ColumnSeries {
    pack: PackId,
    series: SeriesId,
    vector: u32,
    start: usize,
    end: usize,
}

impl Encoder {
    /// The bytes of a batch without histograms.
    pub fn encode(&mut self, rows: &[Row]) -> Vec<u8> {
        self.encode_all(rows, &[])
    }

    /// The bytes of a batch. The rows are sorted by pack, series and time, no two of one series and time; and so are the
    /// histograms; at least one of either.
    pub fn encode_all(&mut self, rows: &[Row], of_histograms: &[HistogramRow]) -> Vec<u8> {
        assert!(!rows.is_empty() || !of_histograms.is_empty(), "an empty batch is not written");
        assert!(
            rows.is_sorted_by(|a, b| (a.pack, a.series, a.ts) < (b.pack, b.series, b.ts)),
            "rows are sorted and unique"
        );
        assert!(
            of_histograms.is_sorted_by(|a, b| (a.pack, a.series) < (b.pack, b.series)),
            "histograms are sorted, each series once"
        );
        self.take_apart(rows);
        let chunks = histograms::cut(of_histograms, &mut self.histograms, &mut self.dictionary);
        self.directory.clear();
        self.groups.clear();
        let mut n_groups = 0;
        let mut previous = PackId(0);
        let mut members = Vec::with_capacity(GROUP_SERIES_MAX);
        let mut chunks = chunks.iter().peekable();
        let mut packs = self.columns.series.chunk_by(|a, b| a.pack == b.pack).peekable();
        loop {
            // The next pack, which may have floats, histograms, or both.
            let of_floats = packs.peek().map(|of_pack| of_pack[0].pack);
            let of_histograms = chunks.peek().map(|(pack, _)| *pack);
            let Some(pack) = of_floats.into_iter().chain(of_histograms).min() else { break };
            let mut floats = packs
                .next_if(|of_pack| of_pack[0].pack == pack)
                .unwrap_or_default()
                .chunks(GROUP_SERIES_MAX)
                .peekable();
            let mut chunks_of_pack = chunks.next_if(|(of, _)| *of == pack);
            loop {
                let group = floats.next().unwrap_or_default();
                let start = self.groups.len();
                if group.is_empty() {
                    // A group of no series, so that the histograms can follow.
                    varint::put(&mut self.groups, 0);
                } else {
                    members.clear();
                    members.extend(group.iter().map(|column| GroupSeries {
                        series: column.series.0,
                        vector: column.vector,
                        values: &self.columns.values[column.start..column.end],
                    }));
                    group::encode(&members, &mut self.values, &mut self.groups);
                }
                let is_last = floats.peek().is_none();
                if is_last && let Some((_, chunks)) = chunks_of_pack.take() {
                    self.histograms.encode(chunks, &mut self.groups);
                }
                varint::put(&mut self.directory, (pack.0 - previous.0) as u64);
                varint::put(&mut self.directory, (self.groups.len() - start) as u64);
                previous = pack;
                n_groups += 1;
                if is_last {
                    break;
                }
            }
        }
        let times_of_histograms = || of_histograms.iter().flat_map(|row| &row.samples);
        let base = self.columns.timestamps.iter().copied();
        let base = base.chain(times_of_histograms().map(|sample| sample.ts)).min();
        let base = base.expect("there is at least one row");
        let n_samples = rows.len() + times_of_histograms().count();
        let mut out = Vec::with_capacity(self.groups.len() + self.directory.len() + 64);
        out.push(FORMAT);
        varint::put(&mut out, n_samples as u64);
        varint::put_signed(&mut out, base);
        self.dictionary.encode(base, &mut out);
        varint::put(&mut out, n_groups);
        out.extend_from_slice(&self.directory);
        out.extend_from_slice(&self.groups);
        out
    }

    fn take_apart(&mut self, rows: &[Row]) {
        let columns = &mut self.columns;
        columns.timestamps.clear();
        columns.values.clear();
        columns.series.clear();
        self.dictionary.clear();
        columns.timestamps.extend(rows.iter().map(|row| row.ts));
        columns.values.extend(rows.iter().map(|row| row.value));
        let mut start = 0;
        for samples in rows.chunk_by(|a, b| a.series == b.series) {
            assert!(samples.len() <= VECTOR_LEN_MAX, "one commit is far smaller");
            let end = start + samples.len();
            let vector = self.dictionary.intern(&columns.timestamps[start..end]);
            columns.series.push(ColumnSeries {
                pack: samples[0].pack,
                series: samples[0].series,
                vector,
                start,
                end,
            });
            start = end;
        }
    }
}

/// A batch as read: its directory, and the bytes the directory points into.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    n_samples: u64,
    vectors: Vectors,
    directory: Vec<GroupEntry>,
}

/// Where one group lies.
#[derive(Clone, Debug)]
struct GroupEntry {
    pack: PackId,
    range: Range<u32>,
}

impl Batch {
    /// Reads the directory; the groups stay as they are until somebody asks for them.
    pub fn open(bytes: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(&bytes);
        let format = reader.byte()?;
        if format != FORMAT {
            return Err(CodecError::UnknownFormat { format });
        }
        let n_samples = reader.varint()?;
        let base = reader.signed()?;
        let vectors = Vectors::decode(&mut reader, base)?;
        let n_groups = reader.bounded("the number of groups", GROUPS_MAX.min(bytes.len()))?;
        let mut directory = Vec::with_capacity(n_groups);
        let mut pack: i32 = 0;
        let mut offset = 0;
        for _ in 0..n_groups {
            pack = pack.wrapping_add(reader.varint()? as i32);
            let length = reader.bounded("the length of a group", bytes.len())?;
            directory.push((PackId(pack), offset..offset + length));
            offset += length;
        }
        let start = reader.position();
        if start + offset != bytes.len() || u32::try_from(bytes.len()).is_err() {
            return Err(CodecError::Truncated { at: bytes.len() });
        }
        let place = |(pack, range): (PackId, Range<usize>)| GroupEntry {
            pack,
            range: (range.start + start) as u32..(range.end + start) as u32,
        };
        let directory = directory.into_iter().map(place).collect();
        Ok(Self { n_samples, vectors, directory, bytes })
    }

    pub fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// The size of the batch as stored, before Postgres compresses it.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The pack of each group, in order.
    pub fn packs(&self) -> impl ExactSizeIterator<Item = PackId> + '_ {
        self.directory.iter().map(|entry| entry.pack)
    }

    /// Hands every series' floats to `sink`, in order of pack and series.
    pub fn read_all(
        &self,
        scratch: &mut group::Scratch,
        mut sink: impl FnMut(PackId, SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        for (at, entry) in self.directory.iter().enumerate() {
            let sink = |series, ts: &[i64], values: &[f64]| sink(entry.pack, series, ts, values);
            self.read_group(at, scratch, |_| true, sink)?;
        }
        Ok(())
    }

    /// Hands every series' floats to `floats` and its histograms to `of_histograms`, in order of packs, groups and series.
    pub fn read_everything(
        &self,
        scratch: &mut group::Scratch,
        mut floats: impl FnMut(PackId, SeriesId, &[i64], &[f64]),
        mut of_histograms: impl FnMut(PackId, SeriesId, HistogramSample),
    ) -> Result<(), CodecError> {
        for (at, entry) in self.directory.iter().enumerate() {
            self.read_group_with_histograms(
                at,
                scratch,
                |_| true,
                |series, ts, values| floats(entry.pack, series, ts, values),
                |series, sample| of_histograms(entry.pack, series, sample),
            )?;
        }
        Ok(())
    }

    /// Hands the floats of those series of a pack that are `wanted` and that the batch holds to `sink`, in order of ids.
    pub fn read(
        &self,
        pack: PackId,
        scratch: &mut group::Scratch,
        mut wanted: impl FnMut(SeriesId) -> bool,
        mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        for at in self.groups_of(pack) {
            self.read_group(at, scratch, &mut wanted, &mut sink)?;
        }
        Ok(())
    }

    /// The same with their histograms.
    pub fn read_with_histograms(
        &self,
        pack: PackId,
        scratch: &mut group::Scratch,
        mut wanted: impl FnMut(SeriesId) -> bool,
        mut floats: impl FnMut(SeriesId, &[i64], &[f64]),
        mut of_histograms: impl FnMut(SeriesId, HistogramSample),
    ) -> Result<(), CodecError> {
        for at in self.groups_of(pack) {
            self.read_group_with_histograms(
                at,
                scratch,
                &mut wanted,
                &mut floats,
                &mut of_histograms,
            )?;
        }
        Ok(())
    }

    fn groups_of(&self, pack: PackId) -> Range<usize> {
        let start = self.directory.partition_point(|entry| entry.pack < pack);
        let n = self.directory[start..].iter().take_while(|entry| entry.pack == pack).count();
        start..start + n
    }

    /// Hands the floats of the wanted series of the group at this place to `sink`, in order of ids.
    pub fn read_group(
        &self,
        at: usize,
        scratch: &mut group::Scratch,
        mut wanted: impl FnMut(SeriesId) -> bool,
        mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        let mut reader = self.reader_of(at);
        let wanted = |id| wanted(SeriesId(id));
        group::decode(&mut reader, &self.vectors, scratch, wanted, |id, ts, values| {
            sink(SeriesId(id), ts, values);
        })
    }

    /// The same with their histograms, after the floats of all.
    pub fn read_group_with_histograms(
        &self,
        at: usize,
        scratch: &mut group::Scratch,
        mut wanted: impl FnMut(SeriesId) -> bool,
        mut floats: impl FnMut(SeriesId, &[i64], &[f64]),
        mut of_histograms: impl FnMut(SeriesId, HistogramSample),
    ) -> Result<(), CodecError> {
        let mut reader = self.reader_of(at);
        let mut wanted = |id| wanted(SeriesId(id));
        let floats = |id, ts: &[i64], values: &[f64]| floats(SeriesId(id), ts, values);
        group::decode(&mut reader, &self.vectors, scratch, &mut wanted, floats)?;
        if reader.is_at_end() {
            return Ok(());
        }
        let of_histograms = |id, sample| of_histograms(SeriesId(id), sample);
        let scratch = &mut histogram_group::Scratch::default();
        histogram_group::decode(&mut reader, &self.vectors, scratch, wanted, of_histograms)
    }

    fn reader_of(&self, at: usize) -> Reader<'_> {
        let range = &self.directory[at].range;
        Reader::new(&self.bytes[range.start as usize..range.end as usize])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::storage::histogram::{NativeHistogram, testing};

    fn row(pack: i32, series: i64, ts: i64, value: f64) -> Row {
        Row { pack: PackId(pack), series: SeriesId(series), ts, value }
    }

    fn all(batch: &Batch) -> Vec<(i32, i64, i64, u64)> {
        let mut seen = Vec::new();
        batch
            .read_all(&mut group::Scratch::default(), |pack, series, ts, values| {
                seen.extend(
                    ts.iter()
                        .zip(values)
                        .map(|(ts, value)| (pack.0, series.0, *ts, value.to_bits())),
                );
            })
            .unwrap();
        seen
    }

    #[test]
    fn one_series_is_found_among_many_groups() {
        // The second pack has more series than a group: its groups follow each other.
        let rows: Vec<Row> = (0..3)
            .flat_map(|pack| {
                let n = if pack == 1 { 200 } else { 60 };
                (0..n).map(move |s| row(pack, i64::from(pack) * 1000 + s * 2, 5, s as f64))
            })
            .collect();
        let batch = Batch::open(Encoder::default().encode(&rows).into()).unwrap();
        assert_eq!(batch.n_samples(), 320);
        assert_eq!(batch.packs().map(|pack| pack.0).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 2]);
        for wanted in
            [vec![1000], vec![1398], vec![1100, 1128, 1130], vec![999], vec![1001], vec![5000]]
        {
            let wanted: Vec<SeriesId> = wanted.into_iter().map(SeriesId).collect();
            let mut seen = Vec::new();
            batch
                .read(
                    PackId(1),
                    &mut group::Scratch::default(),
                    |id| wanted.contains(&id),
                    |series, ts, values| {
                        let value = (series.0 - 1000) as f64 / 2.0;
                        assert_eq!((ts, values), (&[5i64][..], &[value][..]));
                        seen.push(series);
                    },
                )
                .unwrap();
            let expected: Vec<SeriesId> = wanted
                .into_iter()
                .filter(|id| (1000..1400).contains(&id.0) && id.0 % 2 == 0)
                .collect();
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn damaged_batches_are_errors() {
        let bytes = Encoder::default().encode(&[
            row(1, 1, 1, 1.5),
            row(1, 2, 1, f64::NAN),
            row(2, 3, 7, 3.0),
        ]);
        for cut in 0..bytes.len() {
            assert!(Batch::open(Bytes::copy_from_slice(&bytes[..cut])).is_err(), "cut at {cut}");
        }
        assert_eq!(
            Batch::open(Bytes::from_static(&[9])).unwrap_err(),
            CodecError::UnknownFormat { format: 9 }
        );
    }

    fn histogram_row(pack: i32, series: i64, histograms: Vec<NativeHistogram>) -> HistogramRow {
        let samples = histograms
            .into_iter()
            .zip(1000i64..)
            .map(|(histogram, ts)| HistogramSample { ts, histogram: Arc::new(histogram) })
            .collect();
        HistogramRow { pack: PackId(pack), series: SeriesId(series), samples }
    }

    #[test]
    fn histograms_follow_the_floats_of_their_pack() {
        // Pack 2 has more float series than a group, pack 3 no histograms, the others no floats.
        let rows: Vec<Row> = (0..150)
            .map(|i| row(2, i, 1000, i as f64))
            .chain([row(3, 500, 1000, 1.5), row(3, 500, 1001, 2.5)])
            .collect();
        let one = || testing::exponential(3, &[(0, 2)], &[1, 2]);
        let histograms: Vec<HistogramRow> = [(1, 900), (2, 7), (2, 149), (2, 800), (9, 901)]
            .map(|(pack, series)| histogram_row(pack, series, vec![one(), one()]))
            .to_vec();
        let mut encoder = Encoder::default();
        let without = Batch::open(encoder.encode(&rows).into()).unwrap();
        let bytes = encoder.encode_all(&rows, &histograms);
        let batch = Batch::open(bytes.clone().into()).unwrap();
        assert_eq!(batch.n_samples(), 162);
        assert_eq!(batch.packs().map(|pack| pack.0).collect::<Vec<_>>(), [1, 2, 2, 2, 3, 9]);
        assert_eq!(all(&batch), all(&without));
        let scratch = &mut group::Scratch::default();
        let mut seen = Vec::new();
        let keep = |pack, series, sample| seen.push((pack, series, sample));
        batch.read_everything(scratch, |_, _, _, _| {}, keep).unwrap();
        let sent = histograms.iter().flat_map(|row| {
            row.samples.iter().map(|sample| (row.pack, row.series, sample.clone()))
        });
        assert_eq!(seen, sent.collect::<Vec<_>>());
        let (mut n_floats, mut seen) = (0, Vec::new());
        batch
            .read_with_histograms(
                PackId(2),
                scratch,
                |series| series.0 >= 100,
                |_, _, _| n_floats += 1,
                |series, sample| seen.push((series.0, sample.ts)),
            )
            .unwrap();
        assert_eq!(
            (n_floats, seen),
            (50, vec![(149, 1000), (149, 1001), (800, 1000), (800, 1001)])
        );
        for cut in 0..bytes.len() {
            assert!(Batch::open(Bytes::copy_from_slice(&bytes[..cut])).is_err(), "cut at {cut}");
        }
        // Histograms alone.
        let alone = Batch::open(encoder.encode_all(&[], &histograms).into()).unwrap();
        assert_eq!((alone.n_samples(), all(&alone).len()), (10, 0));
    }

    proptest! {
        #[test]
        fn every_sample_comes_back(samples in prop::collection::btree_map((0i32..5, 0i64..300, any::<i32>()), any::<u64>(), 1..500)) {
            // A series belongs to one pack.
            let rows: Vec<Row> = samples.iter()
                .map(|((m, s, ts), bits)| row(*m, i64::from(*m) * 1000 + s, i64::from(*ts), f64::from_bits(*bits))).collect();
            let batch = Batch::open(Encoder::default().encode(&rows).into()).unwrap();
            let expected: Vec<_> = rows.iter().map(|r| (r.pack.0, r.series.0, r.ts, r.value.to_bits())).collect();
            prop_assert_eq!(all(&batch), expected);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = FORMAT; }
            if let Ok(batch) = Batch::open(bytes.into()) {
                let scratch = &mut group::Scratch::default();
                let _ = batch.read_everything(scratch, |_, _, _, _| {}, |_, _, _| {});
            }
        }
    }
}
