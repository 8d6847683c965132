//! Samples as remote read's messages: series with all their samples, or with chunks.

use promql::model::{
    Histogram, Labels,
    histogram::{Buckets, CounterReset},
    is_stale,
};
use proto::{
    remote_read::{
        Chunk, ChunkedReadResponse, ChunkedSeries, QueryResult, ReadResponse,
        chunk::{self, SAMPLES_MAX},
    },
    remote_write::{
        Message,
        v1::{self, BucketSpan, TimeSeries, histogram},
    },
};

use super::select::Selection;
use crate::storage::{BoundedReader, ReadError, SeriesColumns};

/// A frame is sent when its chunks have so many bytes, as Prometheus does.
const FRAME_BYTES: usize = 1 << 20;

fn labels_of(labels: &Labels) -> Vec<v1::Label> {
    labels
        .iter()
        .map(|label| v1::Label { name: label.name.to_string(), value: label.value.to_string() })
        .collect()
}

/// Appends the result of one query to a `ReadResponse`, which may have so many bytes.
pub(super) fn query_result(
    reader: &BoundedReader,
    selection: &Selection,
    bytes_max: usize,
    message: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let mut result = QueryResult::default();
    let mut n_bytes = message.len();
    selection.each(reader, |labels, found| {
        let series = TimeSeries {
            labels: labels_of(labels),
            samples: found
                .samples()
                .map(|sample| v1::Sample { value: sample.value, timestamp: sample.ts })
                .collect(),
            histograms: found
                .histograms
                .iter()
                .map(|sample| histogram_message(sample.ts, &sample.histogram.to_float()))
                .collect(),
            ..TimeSeries::default()
        };
        n_bytes += series.encoded_len();
        if n_bytes > bytes_max {
            return Err(ReadError::TooManySamples);
        }
        result.timeseries.push(series);
        Ok(())
    })?;
    // Messages one behind the other are one message: its lists are joined.
    message.extend(ReadResponse { results: vec![result] }.encode_to_vec());
    Ok(())
}

/// Hands out the frames of one query.
pub(super) fn chunks(
    reader: &BoundedReader,
    selection: &Selection,
    query_index: i64,
    frame: &mut impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    selection.each(reader, |labels, found| {
        let labels = labels_of(labels);
        let mut series = ChunkedSeries { labels: labels.clone(), chunks: Vec::new() };
        let mut n_bytes = 0;
        let mut send = |series: ChunkedSeries| {
            let message = ChunkedReadResponse { chunked_series: vec![series], query_index };
            frame(&message.encode_to_vec())
        };
        for chunk in Chunks::of(found) {
            n_bytes += chunk.data.len();
            series.chunks.push(chunk);
            if n_bytes > FRAME_BYTES {
                let next = ChunkedSeries { labels: labels.clone(), chunks: Vec::new() };
                send(std::mem::replace(&mut series, next))?;
                n_bytes = 0;
            }
        }
        if series.chunks.is_empty() { Ok(()) } else { send(series) }
    })
}

/// The chunks of a series, in order of time, none of which overlap.
struct Chunks<'a> {
    found: &'a SeriesColumns,
    next_float: usize,
    next_histogram: usize,
}

impl<'a> Chunks<'a> {
    fn of(found: &'a SeriesColumns) -> Self {
        Self { found, next_float: 0, next_histogram: 0 }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let SeriesColumns { timestamps, values, histograms, .. } = self.found;
        let timestamps = &timestamps[self.next_float..];
        let histogram = histograms.get(self.next_histogram);
        let until = histogram.map_or(i64::MAX, |histogram| histogram.ts);
        // Floats before the next histogram; they never share a time.
        let n = timestamps.iter().take(SAMPLES_MAX).take_while(|ts| **ts <= until).count();
        if n > 0 {
            let values = &values[self.next_float..][..n];
            self.next_float += n;
            return Some(chunk::floats(&timestamps[..n], values));
        }
        let histogram = histogram?;
        self.next_histogram += 1;
        Some(histogram_chunk(histogram.ts, &histogram.histogram.to_float()))
    }
}

fn histogram_chunk(ts: i64, histogram: &Histogram) -> Chunk {
    if is_stale(histogram.sum) {
        // The marker is all that there is to say.
        return chunk::histogram(&chunk::Histogram {
            ts,
            sum: histogram.sum,
            ..chunk::Histogram::default()
        });
    }
    let (positive_spans, positive) = spans(&histogram.positive);
    let (negative_spans, negative) = spans(&histogram.negative);
    chunk::histogram(&chunk::Histogram {
        ts,
        is_gauge: histogram.counter_reset == CounterReset::Gauge,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count,
        count: histogram.count,
        sum: histogram.sum,
        positive_spans,
        positive,
        negative_spans,
        negative,
        custom_bounds: &histogram.custom_bounds,
    })
}

fn spans(buckets: &Buckets) -> (Vec<(i32, u32)>, Vec<f64>) {
    let (spans, counts) = buckets.spans();
    (spans.iter().map(|span| (span.offset, span.length)).collect(), counts)
}

fn histogram_message(ts: i64, histogram: &Histogram) -> v1::Histogram {
    let spans = |buckets: &Buckets| {
        let (spans, counts) = buckets.spans();
        let spans = spans.iter().map(|s| BucketSpan { offset: s.offset, length: s.length });
        (spans.collect(), counts)
    };
    let (positive_spans, positive_counts) = spans(&histogram.positive);
    let (negative_spans, negative_counts) = spans(&histogram.negative);
    let reset_hint = match histogram.counter_reset {
        CounterReset::Unknown => histogram::ResetHint::Unknown,
        CounterReset::Reset => histogram::ResetHint::Yes,
        CounterReset::NotReset => histogram::ResetHint::No,
        CounterReset::Gauge => histogram::ResetHint::Gauge,
    };
    v1::Histogram {
        count: Some(histogram::Count::CountFloat(histogram.count)),
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: Some(histogram::ZeroCount::ZeroCountFloat(histogram.zero_count)),
        negative_spans,
        negative_counts,
        positive_spans,
        positive_counts,
        reset_hint: reset_hint.into(),
        timestamp: ts,
        custom_values: histogram.custom_bounds.to_vec(),
        ..v1::Histogram::default()
    }
}
