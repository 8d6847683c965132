//! Where buckets lie, and moving counts into coarser buckets.

use std::sync::Arc;

use super::{Bucket, Buckets, Histogram};

impl Histogram {
    /// Upper bound of the positive bucket at an index.
    pub(super) fn upper_bound(&self, index: i32) -> f64 {
        if self.is_custom() {
            // Index 0 ends at the first bound; the one behind the last bound has no end.
            let at = usize::try_from(index).unwrap_or(0);
            self.custom_bounds.get(at).copied().unwrap_or(f64::INFINITY)
        } else {
            exponential_bound(index, self.schema)
        }
    }

    /// Lower bound of the positive bucket at an index.
    pub(super) fn lower_bound(&self, index: i32) -> f64 {
        if self.is_custom() {
            let before = usize::try_from(index).ok().and_then(|at| at.checked_sub(1));
            match before {
                Some(at) => self.custom_bounds.get(at).copied().unwrap_or(f64::INFINITY),
                None => f64::NEG_INFINITY,
            }
        } else {
            exponential_bound(index.saturating_sub(1), self.schema)
        }
    }

    /// Moves the counts into the buckets of a coarser exponential schema.
    pub(super) fn reduce_schema(&mut self, schema: i32) {
        debug_assert!(schema <= self.schema && !self.is_custom());
        // Beyond 31 halvings everything is in one bucket on either side of 1.
        let steps = self.schema.abs_diff(schema).min(31);
        if steps > 0 {
            self.positive = self.positive.reduced(steps);
            self.negative = self.negative.reduced(steps);
            self.schema = schema;
        }
    }

    /// The same counts in buckets with fewer bounds, all of which this histogram has too.
    pub(super) fn with_bounds(&self, bounds: &Arc<[f64]>) -> Self {
        let counts = self.positive.iter().map(|(index, count)| {
            let upper = self.upper_bound(index);
            let target = bounds.partition_point(|bound| *bound < upper);
            (i32::try_from(target).unwrap_or(i32::MAX), count)
        });
        Self {
            positive: Buckets::merged(counts),
            custom_bounds: Arc::clone(bounds),
            ..self.clone()
        }
    }

    /// The threshold, at least `wanted`, up to which the zero bucket can be widened without cutting a populated bucket.
    pub(super) fn zero_threshold_for(&self, wanted: f64) -> f64 {
        let mut threshold = wanted;
        loop {
            let mut buckets = self.positive_buckets().chain(self.negative_buckets());
            match buckets.find(|bucket| nearest(bucket) < threshold && farthest(bucket) > threshold)
            {
                Some(cut) => threshold = farthest(&cut),
                None => return threshold,
            }
        }
    }

    /// Widens the zero bucket over every bucket that begins below the threshold.
    pub(super) fn widen_zero(&mut self, threshold: f64) {
        let (schema, mut moved) = (self.schema, 0.0);
        for buckets in [&mut self.positive, &mut self.negative] {
            buckets.counts.retain(|(index, count)| {
                let below = exponential_bound(index.saturating_sub(1), schema) < threshold;
                if below {
                    moved += *count;
                }
                !below
            });
        }
        self.zero_count += moved;
        self.zero_threshold = threshold;
    }
}

/// The bound of a bucket that is nearest to zero, as a distance.
fn nearest(bucket: &Bucket) -> f64 {
    bucket.lower.abs().min(bucket.upper.abs())
}

/// The bound of a bucket that is farthest from zero, as a distance.
fn farthest(bucket: &Bucket) -> f64 {
    bucket.lower.abs().max(bucket.upper.abs())
}

impl Buckets {
    /// Adds up counts of equal index; the indexes must not fall.
    pub(super) fn merged(counts: impl Iterator<Item = (i32, f64)>) -> Self {
        let mut merged: Vec<(i32, f64)> = Vec::new();
        for (index, count) in counts {
            match merged.last_mut() {
                Some((last, total)) if *last == index => *total += count,
                _ => merged.push((index, count)),
            }
        }
        Self { counts: merged }
    }

    fn reduced(&self, steps: u32) -> Self {
        // Bucket i ends at base^i, so 2^steps buckets end where the one with the rounded-up index does.
        Self::merged(
            self.iter().map(|(index, count)| (((index.wrapping_sub(1)) >> steps) + 1, count)),
        )
    }

    pub(super) fn drop_empty(&mut self) {
        self.counts.retain(|(_, count)| *count != 0.0);
    }

    pub(super) fn scale(&mut self, scaled: impl Fn(f64) -> f64) {
        for (_, count) in &mut self.counts {
            *count = scaled(*count);
        }
    }

    pub(super) fn clear(&mut self) {
        self.counts.clear();
    }

    /// Combines two sets of buckets index by index; a bucket that one side lacks counts 0 there.
    pub(super) fn zip(&self, other: &Self, mut combine: impl FnMut(f64, f64) -> f64) -> Self {
        let (mut left, mut right) = (self.counts.iter().peekable(), other.counts.iter().peekable());
        let mut counts = Vec::with_capacity(self.len().max(other.len()));
        loop {
            let (index, a, b) = match (left.peek(), right.peek()) {
                (Some(&&(i, a)), Some(&&(j, b))) if i == j => (i, Some(a), Some(b)),
                (Some(&&(i, a)), Some(&&(j, _))) if i < j => (i, Some(a), None),
                (Some(&&(i, a)), None) => (i, Some(a), None),
                (_, Some(&&(j, b))) => (j, None, Some(b)),
                (None, None) => return Self { counts },
            };
            if a.is_some() {
                left.next();
            }
            if b.is_some() {
                right.next();
            }
            counts.push((index, combine(a.unwrap_or(0.0), b.unwrap_or(0.0))));
        }
    }
}

/// `2^(index · 2^-schema)`. The highest bucket below infinity ends at the largest float.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    let exponent = if schema <= 0 {
        f64::from(index) * f64::from(1u32 << schema.unsigned_abs().min(31))
    } else {
        f64::from(index) / f64::from(1u32 << schema.unsigned_abs().min(31))
    };
    if exponent == 1024.0 {
        return f64::MAX;
    }
    let whole = exponent.floor();
    if !(-1080.0..=1024.0).contains(&whole) {
        return if whole < 0.0 { 0.0 } else { f64::INFINITY };
    }
    // Scaling by a power of two is exact, so that only the fraction is rounded.
    (exponent - whole).exp2() * whole.exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert_eq!(exponential_bound(0, 3), 1.0);
        assert_eq!(exponential_bound(8, 3), 2.0);
        assert_eq!(exponential_bound(3, -1), 64.0);
        assert_eq!(exponential_bound(1024, 0), f64::MAX);
        assert_eq!(exponential_bound(1025, 0), f64::INFINITY);
        assert_eq!(exponential_bound(-5000, 0), 0.0);
        assert!((exponential_bound(1, 1) - 2f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn coarser_buckets_hold_the_same() {
        let buckets = Buckets::from_run(-3, &[1.0; 8]).unwrap();
        let coarse = buckets.reduced(1);
        // (-3), (-2 -1), (0), … : pairs end at even indexes.
        assert_eq!(coarse.iter().collect::<Vec<_>>(), [(-1, 2.0), (0, 2.0), (1, 2.0), (2, 2.0)]);
    }

    #[test]
    fn zero_bucket_swallows_what_begins_inside() {
        let mut histogram = Histogram {
            positive: Buckets::from_run(0, &[1.0, 2.0, 4.0]).unwrap(),
            ..Histogram::default()
        };
        // Bucket 1 is (1, 2]: a threshold of 1.5 would cut it.
        assert_eq!(histogram.zero_threshold_for(1.5), 2.0);
        histogram.widen_zero(2.0);
        assert_eq!((histogram.zero_count, histogram.positive.len()), (3.0, 1));
    }
}
