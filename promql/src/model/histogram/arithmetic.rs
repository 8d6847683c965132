//! Sums, differences and multiples of histograms.

use std::sync::Arc;

use super::{CounterReset, Histogram};

/// One histogram has exponential buckets, the other bounds of its own: nothing can be done with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms with exponential and with custom buckets cannot be combined")]
pub struct Incompatible;

/// What had to be smoothed over to combine two histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// One said "reset", the other "not reset".
    pub counter_resets_collide: bool,
    /// Custom bounds differed; only common ones were kept.
    pub bounds: bool,
}

impl Histogram {
    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) -> Result<Reconciled, Incompatible> {
        self.combine(other, |a, b| a + b)
    }

    /// Subtracts another histogram.
    pub fn sub(&mut self, other: &Self) -> Result<Reconciled, Incompatible> {
        self.combine(other, |a, b| a - b)
    }

    fn combine(
        &mut self,
        other: &Self,
        operation: impl Fn(f64, f64) -> f64,
    ) -> Result<Reconciled, Incompatible> {
        let (other, bounds) = self.align(other)?;
        let counter_resets_collide = self.join_counter_reset(other.counter_reset);
        self.zero_count = operation(self.zero_count, other.zero_count);
        self.count = operation(self.count, other.count);
        self.sum = operation(self.sum, other.sum);
        self.positive = self.positive.zip(&other.positive, &operation);
        self.negative = self.negative.zip(&other.negative, &operation);
        self.compact();
        Ok(Reconciled { counter_resets_collide, bounds })
    }

    /// Brings both to the finest layout they share: coarser schema, wider zero bucket, common bounds. Changes this
    /// histogram and returns the other one so changed, and whether bounds were lost.
    pub(super) fn align(&mut self, other: &Self) -> Result<(Self, bool), Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        if self.is_custom() {
            if self.custom_bounds == other.custom_bounds {
                return Ok((other.clone(), false));
            }
            let common = common_bounds(&self.custom_bounds, &other.custom_bounds);
            let aligned = other.with_bounds(&common);
            *self = self.with_bounds(&common);
            return Ok((aligned, true));
        }
        let mut aligned = other.clone();
        let schema = self.schema.min(other.schema);
        self.reduce_schema(schema);
        aligned.reduce_schema(schema);
        // Either may have to go beyond the other's threshold, so as not to cut one of its own buckets.
        while self.zero_threshold != aligned.zero_threshold {
            if self.zero_threshold.is_nan() || aligned.zero_threshold.is_nan() {
                // Nonsense from a broken writer: nothing can be aligned to it.
                aligned.zero_threshold = self.zero_threshold;
                break;
            }
            if self.zero_threshold > aligned.zero_threshold {
                aligned.widen_zero(aligned.zero_threshold_for(self.zero_threshold));
            } else {
                self.widen_zero(self.zero_threshold_for(aligned.zero_threshold));
            }
        }
        Ok((aligned, false))
    }

    /// A gauge makes everything a gauge, an unknown makes the rest unknown. Returns whether two opposites met.
    pub(super) fn join_counter_reset(&mut self, other: CounterReset) -> bool {
        use CounterReset::{Gauge, NotReset, Reset, Unknown};
        let (joined, collide) = match (self.counter_reset, other) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            (Reset, NotReset) | (NotReset, Reset) => (Unknown, true),
            (Reset, Reset) | (NotReset, NotReset) => unreachable!("equal hints are the first case"),
        };
        self.counter_reset = joined;
        collide
    }

    /// Multiplies everything. By a negative factor it is no counter any more.
    pub fn mul(&mut self, factor: f64) {
        self.scale(|value| value * factor);
        if factor < 0.0 {
            self.counter_reset = CounterReset::Gauge;
        }
        self.compact();
    }

    /// Divides everything. Division by zero leaves no buckets, only the signs of count and sum.
    pub fn div(&mut self, divisor: f64) {
        self.scale(|value| value / divisor);
        if divisor < 0.0 {
            self.counter_reset = CounterReset::Gauge;
        }
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        }
        self.compact();
    }

    fn scale(&mut self, scaled: impl Fn(f64) -> f64) {
        self.zero_count = scaled(self.zero_count);
        self.count = scaled(self.count);
        self.sum = scaled(self.sum);
        self.positive.scale(&scaled);
        self.negative.scale(&scaled);
    }

    pub(super) fn compact(&mut self) {
        self.positive.drop_empty();
        self.negative.drop_empty();
    }
}

/// The bounds both have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Arc<[f64]> {
    a.iter()
        .filter(|bound| b.binary_search_by(|other| other.total_cmp(bound)).is_ok())
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Buckets, CUSTOM_SCHEMA};
    use super::*;

    fn exponential(schema: i32, zero_threshold: f64, first: i32, counts: &[f64]) -> Histogram {
        let positive = Buckets::from_run(first, counts).unwrap();
        Histogram {
            schema,
            zero_threshold,
            count: counts.iter().sum(),
            positive,
            ..Histogram::default()
        }
    }

    #[test]
    fn coarser_schema_and_wider_zero_bucket_win() {
        let mut fine = exponential(1, 0.5, 1, &[1.0, 2.0, 4.0, 8.0]);
        let coarse = exponential(0, 1.5, 1, &[1.0, 1.0]);
        fine.add(&coarse).unwrap();
        assert_eq!((fine.schema, fine.zero_threshold, fine.count), (0, 2.0, 17.0));
        // (1, 2] of both has moved into the zero bucket, because 1.5 would cut it.
        assert_eq!(fine.zero_count, 4.0);
        assert_eq!(fine.positive.iter().collect::<Vec<_>>(), [(2, 13.0)]);
    }

    #[test]
    fn custom_bounds_are_reduced_to_the_common_ones() {
        let custom = |bounds: &[f64], counts: &[f64]| Histogram {
            schema: CUSTOM_SCHEMA,
            positive: Buckets::from_run(0, counts).unwrap(),
            custom_bounds: bounds.into(),
            ..Histogram::default()
        };
        let mut left = custom(&[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0]);
        let right = custom(&[1.0, 5.0, 7.0], &[1.0, 2.0, 3.0, 4.0]);
        let reconciled = left.add(&right).unwrap();
        assert!(reconciled.bounds);
        assert_eq!(&*left.custom_bounds, [1.0, 5.0]);
        assert_eq!(left.positive.iter().collect::<Vec<_>>(), [(0, 2.0), (1, 7.0), (2, 11.0)]);
        assert_eq!(left.add(&exponential(0, 0.0, 0, &[1.0])), Err(Incompatible));
    }

    #[test]
    fn hints_join() {
        let mut histogram =
            Histogram { counter_reset: CounterReset::Reset, ..Histogram::default() };
        assert!(histogram.join_counter_reset(CounterReset::NotReset));
        assert_eq!(histogram.counter_reset, CounterReset::Unknown);
        assert!(!histogram.join_counter_reset(CounterReset::Gauge));
        assert_eq!(histogram.counter_reset, CounterReset::Gauge);
    }
}
