//! From a `Histogram` message to a histogram that is stored, or why it is none.
//!
//! Remote write 1.0 and 2.0 have the same message, to which 2.0 added the start timestamp.

use std::sync::Arc;

use promql::model::{
    histogram::{EXPONENTIAL_SCHEMAS, Span},
    is_stale,
};
use proto::remote_write::{Message, v2};

use super::validate;
use crate::storage::histogram::{
    Counts, InvalidHistogram, Layout, LayoutParts, NativeHistogram, ResetHint,
    SCHEMA_REDUCIBLE_MAX, reduce,
};

/// Longest message that is decoded, in bytes: decoding takes some ten times as much memory, and the largest histogram that
/// is stored has a message of half of it.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Decodes one message: its time, and its histogram if that is valid. `Err`: not even the time is known. `created` is when
/// counting started if the message does not say, 0 where unknown.
pub(super) fn decode(
    message: &[u8],
    created: i64,
) -> Result<(i64, Result<NativeHistogram, InvalidHistogram>), InvalidHistogram> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(InvalidHistogram::MessageTooLong { max: MESSAGE_BYTES_MAX });
    }
    let mut message = v2::Histogram::decode(message).map_err(|_| InvalidHistogram::Message)?;
    if message.start_timestamp == 0 {
        message.start_timestamp = created;
    }
    Ok((message.timestamp, convert(message)))
}

fn convert(message: v2::Histogram) -> Result<NativeHistogram, InvalidHistogram> {
    if is_stale(message.sum) {
        return Ok(NativeHistogram::stale());
    }
    let mut parts = LayoutParts {
        schema: message.schema,
        zero_threshold: message.zero_threshold,
        positive: spans(&message.positive_spans),
        negative: spans(&message.negative_spans),
        custom_bounds: message.custom_values,
    };
    let counts = match message.count {
        Some(v2::histogram::Count::CountFloat(count)) => {
            let zero_count = match message.zero_count {
                Some(v2::histogram::ZeroCount::ZeroCountFloat(zero_count)) => zero_count,
                _ => 0.0,
            };
            let sides = (message.positive_counts, message.negative_counts);
            let buckets = fit(&mut parts, sides, |a, b| a + b)?;
            Counts::Float { count, zero_count, buckets: buckets.into() }
        }
        // A histogram without a count is an integer one of nothing.
        count => {
            let count = match count {
                Some(v2::histogram::Count::CountInt(count)) => count,
                _ => 0,
            };
            let zero_count = match message.zero_count {
                Some(v2::histogram::ZeroCount::ZeroCountInt(zero_count)) => zero_count,
                _ => 0,
            };
            let sides = (absolute(&message.positive_deltas)?, absolute(&message.negative_deltas)?);
            let buckets = fit(&mut parts, sides, u64::saturating_add)?;
            Counts::Integer { count, zero_count, buckets: buckets.into() }
        }
    };
    let layout = Layout::new(parts)?;
    let (in_spans, n_counts) = (layout.n_buckets(), counts.n_buckets());
    let mut histogram = NativeHistogram::new(Arc::new(layout), counts, message.sum)
        .ok_or(InvalidHistogram::Mismatch { in_spans: in_spans as u64, counts: n_counts })?;
    histogram.reset_hint = match message.reset_hint {
        1 => ResetHint::Yes,
        2 => ResetHint::No,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    histogram.start_ts = validate::start(message.start_timestamp, message.timestamp);
    histogram.validate()?;
    Ok(histogram)
}

fn spans(spans: &[v2::BucketSpan]) -> Vec<Span> {
    spans.iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
}

/// Counts from differences between neighbouring buckets.
fn absolute(deltas: &[i64]) -> Result<Vec<u64>, InvalidHistogram> {
    let mut count: i64 = 0;
    deltas
        .iter()
        .map(|delta| {
            count = count.checked_add(*delta).ok_or(InvalidHistogram::BucketCount)?;
            u64::try_from(count).map_err(|_| InvalidHistogram::BucketCount)
        })
        .collect()
}

/// The counts of both sides in one; buckets finer than we know are merged on the way.
fn fit<T: Copy>(
    parts: &mut LayoutParts,
    (mut positive, mut negative): (Vec<T>, Vec<T>),
    add: impl Fn(T, T) -> T,
) -> Result<Vec<T>, InvalidHistogram> {
    for (spans, counts) in [(&parts.positive, &positive), (&parts.negative, &negative)] {
        let in_spans: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        if in_spans != counts.len() as u64 {
            return Err(InvalidHistogram::Mismatch { in_spans, counts: counts.len() });
        }
    }
    let finest = *EXPONENTIAL_SCHEMAS.end();
    if (finest + 1..=SCHEMA_REDUCIBLE_MAX).contains(&parts.schema) {
        let steps = parts.schema.abs_diff(finest);
        (parts.positive, positive) = reduce(&parts.positive, &positive, steps, &add)?;
        (parts.negative, negative) = reduce(&parts.negative, &negative, steps, &add)?;
        parts.schema = finest;
    }
    positive.append(&mut negative);
    Ok(positive)
}

#[cfg(test)]
mod tests {
    use proto::remote_write::{self, v1};

    use super::*;

    fn span(offset: i32, length: u32) -> v1::BucketSpan {
        v1::BucketSpan { offset, length }
    }

    fn latency() -> v1::Histogram {
        v1::Histogram {
            count: Some(v1::histogram::Count::CountInt(11)),
            zero_count: Some(v1::histogram::ZeroCount::ZeroCountInt(1)),
            sum: 7.5,
            schema: 3,
            zero_threshold: 0.001,
            positive_spans: vec![span(-1, 2), span(1, 1)],
            positive_deltas: vec![3, -3, 5],
            negative_spans: vec![span(0, 1)],
            negative_deltas: vec![2],
            reset_hint: 2,
            timestamp: 1000,
            ..Default::default()
        }
    }

    fn decoded(message: &v1::Histogram) -> Result<NativeHistogram, InvalidHistogram> {
        let (ts, histogram) = decode(&message.encode_to_vec(), 0).unwrap();
        assert_eq!(ts, message.timestamp);
        histogram
    }

    #[test]
    fn integers_stay_integers() {
        let histogram = decoded(&latency()).unwrap();
        let buckets = Box::new([3, 0, 5, 2]);
        assert_eq!(*histogram.counts(), Counts::Integer { count: 11, zero_count: 1, buckets });
        assert_eq!(histogram.layout().positive().len(), 2);
        assert_eq!((histogram.reset_hint, histogram.start_ts), (ResetHint::No, 0));
    }

    #[test]
    fn floats_stay_floats() {
        let message = v1::Histogram {
            count: Some(v1::histogram::Count::CountFloat(1.5)),
            zero_count: Some(v1::histogram::ZeroCount::ZeroCountFloat(0.5)),
            positive_spans: vec![span(0, 2)],
            positive_counts: vec![0.25, 0.75],
            // Of the other kind, and so without meaning.
            positive_deltas: vec![1],
            ..Default::default()
        };
        let buckets = Box::new([0.25, 0.75]);
        let expected = Counts::Float { count: 1.5, zero_count: 0.5, buckets };
        assert_eq!(*decoded(&message).unwrap().counts(), expected);
    }

    #[test]
    fn nothing_at_all_is_a_histogram() {
        let empty = decoded(&v1::Histogram::default()).unwrap();
        let expected = Counts::Integer { count: 0, zero_count: 0, buckets: Box::default() };
        assert_eq!(*empty.counts(), expected);
    }

    #[test]
    fn custom_bounds() {
        let message = v1::Histogram {
            count: Some(v1::histogram::Count::CountInt(3)),
            schema: -53,
            positive_spans: vec![span(0, 2)],
            positive_deltas: vec![1, 1],
            custom_values: vec![0.5],
            ..Default::default()
        };
        assert_eq!(decoded(&message).unwrap().layout().custom_bounds(), [0.5]);
        let wrong = v1::Histogram { custom_values: vec![], ..message };
        assert_eq!(decoded(&wrong), Err(InvalidHistogram::TooFewBounds));
    }

    #[test]
    fn all_staleness_markers_are_alike() {
        let sum = remote_write::stale_marker();
        for message in
            [v1::Histogram { sum, ..latency() }, v1::Histogram { sum, ..Default::default() }]
        {
            assert_eq!(decoded(&message), Ok(NativeHistogram::stale()));
        }
    }

    #[test]
    fn finer_schemas_are_reduced() {
        let message = v1::Histogram { schema: 9, ..latency() };
        let histogram = decoded(&message).unwrap();
        assert_eq!(histogram.layout().schema(), 8);
        // -1 and 0 are one bucket, 2 is another.
        let buckets = Box::new([3, 5, 2]);
        assert_eq!(*histogram.counts(), Counts::Integer { count: 11, zero_count: 1, buckets });
        let finest = v1::Histogram { schema: 52, ..latency() };
        assert_eq!(decoded(&finest).unwrap().layout().schema(), 8);
    }

    #[test]
    fn wrong_ones_are_named() {
        let check = |message: v1::Histogram, expected: InvalidHistogram| {
            assert_eq!(decoded(&message), Err(expected));
        };
        let mismatch = InvalidHistogram::Mismatch { in_spans: 3, counts: 2 };
        check(v1::Histogram { positive_deltas: vec![3, -3], ..latency() }, mismatch);
        // Six bytes that claim four billion buckets.
        let spans = vec![span(0, u32::MAX)];
        let bomb = InvalidHistogram::Mismatch { in_spans: u64::from(u32::MAX), counts: 3 };
        check(v1::Histogram { positive_spans: spans, ..latency() }, bomb);
        let negative = v1::Histogram { positive_deltas: vec![3, -4, 5], ..latency() };
        check(negative, InvalidHistogram::BucketCount);
        let huge = v1::Histogram { positive_deltas: vec![i64::MAX, 1, 0], ..latency() };
        check(huge, InvalidHistogram::BucketCount);
        for schema in [-5, 53, -54] {
            let expected = InvalidHistogram::Schema { schema };
            check(v1::Histogram { schema, ..latency() }, expected);
        }
        let count = v1::histogram::Count::CountInt(12);
        let expected = InvalidHistogram::CountMismatch { in_buckets: 11, count: 12 };
        check(v1::Histogram { count: Some(count), ..latency() }, expected);
        assert_eq!(decode(&[0xff], 0), Err(InvalidHistogram::Message));
        let too_long = InvalidHistogram::MessageTooLong { max: MESSAGE_BYTES_MAX };
        assert_eq!(decode(&vec![0; MESSAGE_BYTES_MAX + 1], 0), Err(too_long));
    }

    #[test]
    fn a_start_after_the_end_is_none() {
        for (start_timestamp, expected) in [(999, 999), (1000, 0), (2000, 0), (i64::MIN, 0), (0, 0)]
        {
            let message = v2::Histogram { timestamp: 1000, start_timestamp, ..Default::default() };
            assert_eq!(convert(message).unwrap().start_ts, expected);
        }
    }
}
