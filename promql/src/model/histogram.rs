//! Native histograms: counts of observations in buckets, exponential or with bounds of their own.
//!
//! Bucket counts are kept sparsely, by rising index and without empty buckets, so that two histograms are equal
//! exactly when they say the same. Storage and wire use spans; [`Buckets::from_spans`] and [`Buckets::spans`] are the
//! edges. The format: <https://prometheus.io/docs/specs/native_histograms/>.

mod arithmetic;
mod display;
mod layout;
mod quantile;
mod reset;
mod statistics;
mod sum;
mod trim;
pub use trim::Keep;

use std::sync::Arc;

pub use arithmetic::{Incompatible, Reconciled};
pub use quantile::{Quantile, fraction, quantile};
pub use statistics::variance;
pub use sum::{HistogramMean, HistogramSum};

use super::sample::is_stale;

/// The schema of histograms with bounds of their own.
pub const CUSTOM_SCHEMA: i32 = -53;

/// Exponential schemas: bucket bounds grow by `2^(2^-schema)`.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterReset {
    #[default]
    Unknown,
    Reset,
    NotReset,
    /// Not a counter at all.
    Gauge,
}

/// A histogram whose counts are floats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub counter_reset: CounterReset,
    /// -4 to 8, or [`CUSTOM_SCHEMA`].
    pub schema: i32,
    /// Observations up to this distance from zero are in the zero bucket.
    pub zero_threshold: f64,
    pub zero_count: f64,
    /// All observations, NaN among them.
    pub count: f64,
    /// Sum of all observations; the stale marker here makes the whole histogram one.
    pub sum: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Upper bounds of custom buckets, rising, without `+Inf`; empty for exponential ones.
    pub custom_bounds: Arc<[f64]>,
}

/// A run of buckets without gaps, as storage and wire describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Gap to the end of the span before; the first counts from index 0.
    pub offset: i32,
    pub length: u32,
}

/// Bucket counts by rising index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    counts: Vec<(i32, f64)>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpanError {
    #[error("spans hold {in_spans} buckets, but there are {counts} counts")]
    Length { in_spans: u64, counts: usize },
    #[error("bucket index does not fit 32 bits")]
    Index,
    #[error("span {position} overlaps the one before it")]
    Overlap { position: usize },
}

impl Buckets {
    /// From a run of counts that begins at an index.
    pub fn from_run(first: i32, counts: &[f64]) -> Result<Self, SpanError> {
        let length = u32::try_from(counts.len()).map_err(|_| SpanError::Index)?;
        Self::from_spans(&[Span { offset: first, length }], counts)
    }

    /// From spans and absolute counts.
    pub fn from_spans(spans: &[Span], counts: &[f64]) -> Result<Self, SpanError> {
        let in_spans: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        if in_spans != counts.len() as u64 {
            return Err(SpanError::Length { in_spans, counts: counts.len() });
        }
        let mut buckets = Vec::with_capacity(counts.len());
        let mut index: i64 = 0;
        let mut rest = counts.iter();
        for (position, span) in spans.iter().enumerate() {
            if position > 0 && span.offset < 0 {
                return Err(SpanError::Overlap { position });
            }
            index += i64::from(span.offset);
            for count in rest.by_ref().take(span.length as usize) {
                buckets.push((i32::try_from(index).map_err(|_| SpanError::Index)?, *count));
                index += 1;
            }
        }
        Ok(Self::compacted(buckets))
    }

    fn compacted(mut counts: Vec<(i32, f64)>) -> Self {
        counts.retain(|(_, count)| *count != 0.0);
        Self { counts }
    }

    /// As spans and absolute counts.
    pub fn spans(&self) -> (Vec<Span>, Vec<f64>) {
        let mut spans: Vec<Span> = Vec::new();
        let mut next: i32 = 0;
        for (index, _) in &self.counts {
            match spans.last_mut() {
                Some(span) if *index == next => span.length += 1,
                _ => spans.push(Span { offset: index.wrapping_sub(next), length: 1 }),
            }
            next = index.wrapping_add(1);
        }
        (spans, self.counts.iter().map(|(_, count)| *count).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.counts.len()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, f64)> + '_ {
        self.counts.iter().copied()
    }

    fn get(&self, index: i32) -> f64 {
        match self.counts.binary_search_by_key(&index, |(at, _)| *at) {
            Ok(at) => self.counts[at].1,
            Err(_) => 0.0,
        }
    }
}

/// One bucket with its bounds. Positive ones exclude the lower and include the upper, negative ones the other way
/// round, the zero bucket includes both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

impl Histogram {
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Whether both say the same of observations; hints about resets are not part of that.
    pub fn observes_same(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && self.count == other.count
            && self.sum == other.sum
            && self.positive == other.positive
            && self.negative == other.negative
            && self.custom_bounds == other.custom_bounds
    }

    /// Memory it takes, roughly, for budgets.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + (self.positive.len() + self.negative.len()) * 16
            + self.custom_bounds.len() * 8
    }

    /// Populated positive buckets from zero upwards (all of them in a custom histogram).
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive.iter().map(|(index, count)| Bucket {
            lower: self.lower_bound(index),
            upper: self.upper_bound(index),
            count,
        })
    }

    /// Populated negative buckets from zero downwards.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative.iter().map(|(index, count)| Bucket {
            lower: -self.upper_bound(index),
            upper: -self.lower_bound(index),
            count,
        })
    }

    pub fn zero_bucket(&self) -> Bucket {
        Bucket { lower: -self.zero_threshold, upper: self.zero_threshold, count: self.zero_count }
    }

    /// All populated buckets, from the lowest to the highest.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let zero = (self.zero_count != 0.0).then(|| self.zero_bucket());
        self.negative_buckets().rev().chain(zero).chain(self.positive_buckets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_there_and_back() {
        let spans = [Span { offset: -2, length: 2 }, Span { offset: 1, length: 3 }];
        let buckets = Buckets::from_spans(&spans, &[1.0, 2.0, 3.0, 0.0, 4.0]).unwrap();
        assert_eq!(buckets.iter().collect::<Vec<_>>(), [(-2, 1.0), (-1, 2.0), (1, 3.0), (3, 4.0)]);
        let (compact, counts) = buckets.spans();
        assert_eq!(Buckets::from_spans(&compact, &counts), Ok(buckets));
        assert!(Buckets::from_spans(&spans, &[1.0]).is_err());
        let overlapping = [Span { offset: 0, length: 1 }, Span { offset: -1, length: 1 }];
        assert_eq!(
            Buckets::from_spans(&overlapping, &[1.0, 1.0]),
            Err(SpanError::Overlap { position: 1 })
        );
    }
}
