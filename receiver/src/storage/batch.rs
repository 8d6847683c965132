//! The batch: what one group commit acknowledges, as the bytes of one row.
//!
//! A batch is sorted by pack and series and starts with a directory, so that whoever looks for one series, in Rust or
//! in SQL, reads a few hundred bytes of it, and whoever turns batches into blocks goes through them pack by pack. The
//! byte diagram is in `receiver/docs/format/batch.md`.

use std::ops::Range;

use bytes::Bytes;

use super::codec::{
    CodecError,
    group::{self, GROUP_SERIES_MAX, GroupSeries},
    timestamps::{Dictionary, VECTOR_LEN_MAX, Vectors},
    values,
    varint::{self, Reader},
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
    /// The bytes of a batch. The rows are sorted by pack, series and time, no two of one series and time, at least one.
    pub fn encode(&mut self, rows: &[Row]) -> Vec<u8> {
        assert!(!rows.is_empty(), "an empty batch is not written");
        assert!(
            rows.is_sorted_by(|a, b| (a.pack, a.series, a.ts) < (b.pack, b.series, b.ts)),
            "rows are sorted and unique"
        );
        self.take_apart(rows);
        self.directory.clear();
        self.groups.clear();
        let mut n_groups = 0;
        let mut previous = PackId(0);
        let mut members = Vec::with_capacity(GROUP_SERIES_MAX);
        for group in self
            .columns
            .series
            .chunk_by(|a, b| a.pack == b.pack)
            .flat_map(|pack| pack.chunks(GROUP_SERIES_MAX))
        {
            members.clear();
            members.extend(group.iter().map(|column| GroupSeries {
                series: column.series.0,
                vector: column.vector,
                values: &self.columns.values[column.start..column.end],
            }));
            let start = self.groups.len();
            group::encode(&members, &mut self.values, &mut self.groups);
            varint::put(&mut self.directory, (group[0].pack.0 - previous.0) as u64);
            varint::put(&mut self.directory, (self.groups.len() - start) as u64);
            previous = group[0].pack;
            n_groups += 1;
        }
        let base =
            self.columns.timestamps.iter().copied().min().expect("there is at least one row");
        let mut out = Vec::with_capacity(self.groups.len() + self.directory.len() + 64);
        out.push(FORMAT);
        varint::put(&mut out, rows.len() as u64);
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

    /// Hands every series to `sink`, in order of pack and series.
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

    /// Hands those series of a pack that are `wanted` and that the batch holds to `sink`, in order of ids.
    pub fn read(
        &self,
        pack: PackId,
        scratch: &mut group::Scratch,
        mut wanted: impl FnMut(SeriesId) -> bool,
        mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        let start = self.directory.partition_point(|entry| entry.pack < pack);
        let n = self.directory[start..].iter().take_while(|entry| entry.pack == pack).count();
        for at in start..start + n {
            self.read_group(at, scratch, &mut wanted, &mut sink)?;
        }
        Ok(())
    }

    /// Hands the wanted series of the group at this place to `sink`, in order of ids.
    pub fn read_group(
        &self,
        at: usize,
        scratch: &mut group::Scratch,
        mut wanted: impl FnMut(SeriesId) -> bool,
        mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        let range = &self.directory[at].range;
        let mut reader = Reader::new(&self.bytes[range.start as usize..range.end as usize]);
        let wanted = |id| wanted(SeriesId(id));
        group::decode(&mut reader, &self.vectors, scratch, wanted, |id, ts, values| {
            sink(SeriesId(id), ts, values);
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
                let _ = batch.read_all(&mut group::Scratch::default(), |_, _, _, _| {});
            }
        }
    }
}
