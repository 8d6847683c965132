//! The batch: what one group commit acknowledges, as the bytes of one row.
//!
//! A batch is sorted by metric and series and starts with a directory, so that whoever looks for one series, in Rust or
//! in SQL, reads a few hundred bytes of it. The byte diagram is in `receiver/docs/format/batch.md`.

use std::{
    collections::HashMap,
    ops::{Range, RangeInclusive},
};

use bytes::Bytes;

use super::codec::{
    CodecError,
    group::{self, GROUP_SERIES_MAX, GroupSeries},
    timestamps::{Dictionary, VECTOR_LEN_MAX, Vectors},
    values,
    varint::{self, Reader},
};
use crate::model::{MetricId, SeriesId};

/// The first byte of a batch.
const FORMAT: u8 = 1;
/// More groups than any batch can hold within the limits of one commit.
const GROUPS_MAX: usize = 1 << 24;

/// One sample on its way into a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub metric: MetricId,
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
    metric: MetricId,
    series: SeriesId,
    vector: u32,
    start: usize,
    end: usize,
}

impl Encoder {
    /// The bytes of a batch. The rows are sorted by metric, series and time, no two of one series and time, at least one.
    pub fn encode(&mut self, rows: &[Row]) -> Vec<u8> {
        assert!(!rows.is_empty(), "an empty batch is not written");
        assert!(
            rows.is_sorted_by(|a, b| (a.metric, a.series, a.ts) < (b.metric, b.series, b.ts)),
            "rows are sorted and unique"
        );
        self.take_apart(rows);
        self.directory.clear();
        self.groups.clear();
        let mut n_groups = 0;
        let mut previous = MetricId(0);
        let mut members = Vec::with_capacity(GROUP_SERIES_MAX);
        for group in self
            .columns
            .series
            .chunk_by(|a, b| a.metric == b.metric)
            .flat_map(|m| m.chunks(GROUP_SERIES_MAX))
        {
            members.clear();
            members.extend(group.iter().map(|column| GroupSeries {
                series: column.series.0,
                vector: column.vector,
                values: &self.columns.values[column.start..column.end],
            }));
            let start = self.groups.len();
            group::encode(&members, &mut self.values, &mut self.groups);
            varint::put(&mut self.directory, (group[0].metric.0 - previous.0) as u64);
            varint::put(&mut self.directory, group[0].series.0 as u64);
            varint::put(&mut self.directory, (self.groups.len() - start) as u64);
            previous = group[0].metric;
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
                metric: samples[0].metric,
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
    metric: MetricId,
    first: SeriesId,
    range: Range<usize>,
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
        let mut metric: i32 = 0;
        let mut offset = 0;
        for _ in 0..n_groups {
            metric = metric.wrapping_add(reader.varint()? as i32);
            let first = SeriesId(reader.varint()? as i64);
            let length = reader.bounded("the length of a group", bytes.len())?;
            directory.push(GroupEntry {
                metric: MetricId(metric),
                first,
                range: offset..offset + length,
            });
            offset += length;
        }
        let start = reader.position();
        if start + offset != bytes.len() {
            return Err(CodecError::Truncated { at: bytes.len() });
        }
        for entry in &mut directory {
            entry.range = entry.range.start + start..entry.range.end + start;
        }
        Ok(Self { n_samples, vectors, directory, bytes })
    }

    pub fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// The size of the batch as stored, before Postgres compresses it.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Hands every series to `sink`, in order of metric and series.
    pub fn read_all(
        &self,
        scratch: &mut group::Scratch,
        mut sink: impl FnMut(MetricId, SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        for entry in &self.directory {
            self.read_group(
                entry,
                scratch,
                |_| true,
                |series, ts, values| sink(entry.metric, series, ts, values),
            )?;
        }
        Ok(())
    }

    /// Hands every series of a range of metrics to `sink`, in order of metric and series.
    pub fn read_metrics(
        &self,
        metrics: &RangeInclusive<MetricId>,
        scratch: &mut group::Scratch,
        mut sink: impl FnMut(MetricId, SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        let start = self.directory.partition_point(|entry| entry.metric < *metrics.start());
        for entry in
            self.directory[start..].iter().take_while(|entry| entry.metric <= *metrics.end())
        {
            self.read_group(
                entry,
                scratch,
                |_| true,
                |series, ts, values| sink(entry.metric, series, ts, values),
            )?;
        }
        Ok(())
    }

    /// Adds how many groups each metric has.
    pub fn add_group_counts(&self, counts: &mut HashMap<MetricId, u64>) {
        for entry in &self.directory {
            *counts.entry(entry.metric).or_default() += 1;
        }
    }

    /// Hands those of `wanted`, sorted ids of one metric, that the batch holds to `sink`, in order of ids.
    pub fn read(
        &self,
        metric: MetricId,
        wanted: &[SeriesId],
        scratch: &mut group::Scratch,
        mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(()) };
        let start = self.directory.partition_point(|entry| entry.metric < metric);
        let mut entries =
            self.directory[start..].iter().take_while(|entry| entry.metric == metric).peekable();
        while let Some(entry) = entries.next() {
            // A group ends before the next one of the metric begins.
            let before_first = entries.peek().is_some_and(|next| next.first <= *first);
            if before_first {
                continue;
            }
            if entry.first > *last {
                break;
            }
            self.read_group(
                entry,
                scratch,
                |id| wanted.binary_search(&SeriesId(id)).is_ok(),
                &mut sink,
            )?;
        }
        Ok(())
    }

    fn read_group(
        &self,
        entry: &GroupEntry,
        scratch: &mut group::Scratch,
        wanted: impl FnMut(i64) -> bool,
        mut sink: impl FnMut(SeriesId, &[i64], &[f64]),
    ) -> Result<(), CodecError> {
        let mut reader = Reader::new(&self.bytes[entry.range.clone()]);
        group::decode(&mut reader, &self.vectors, scratch, wanted, |id, ts, values| {
            sink(SeriesId(id), ts, values);
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(metric: i32, series: i64, ts: i64, value: f64) -> Row {
        Row { metric: MetricId(metric), series: SeriesId(series), ts, value }
    }

    fn all(batch: &Batch) -> Vec<(i32, i64, i64, u64)> {
        let mut seen = Vec::new();
        batch
            .read_all(&mut group::Scratch::default(), |metric, series, ts, values| {
                seen.extend(
                    ts.iter()
                        .zip(values)
                        .map(|(ts, value)| (metric.0, series.0, *ts, value.to_bits())),
                );
            })
            .unwrap();
        seen
    }

    #[test]
    fn one_series_is_found_among_many_groups() {
        let rows: Vec<Row> = (0..3)
            .flat_map(|metric| {
                (0..200).map(move |s| row(metric, i64::from(metric) * 1000 + s * 2, 5, s as f64))
            })
            .collect();
        let batch = Batch::open(Encoder::default().encode(&rows).into()).unwrap();
        assert_eq!(batch.n_samples(), 600);
        for wanted in
            [vec![1000], vec![1398], vec![1100, 1128, 1130], vec![999], vec![1001], vec![5000]]
        {
            let wanted: Vec<SeriesId> = wanted.into_iter().map(SeriesId).collect();
            let mut seen = Vec::new();
            batch
                .read(MetricId(1), &wanted, &mut group::Scratch::default(), |series, ts, values| {
                    assert_eq!((ts, values), (&[5i64][..], &[(series.0 - 1000) as f64 / 2.0][..]));
                    seen.push(series);
                })
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
            // A series belongs to one metric.
            let rows: Vec<Row> = samples.iter()
                .map(|((m, s, ts), bits)| row(*m, i64::from(*m) * 1000 + s, i64::from(*ts), f64::from_bits(*bits))).collect();
            let batch = Batch::open(Encoder::default().encode(&rows).into()).unwrap();
            let expected: Vec<_> = rows.iter().map(|r| (r.metric.0, r.series.0, r.ts, r.value.to_bits())).collect();
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
