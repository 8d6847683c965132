//! Quantiles of a native histogram, and fractions of its observations.

use super::{Bucket, Histogram};

/// A quantile, and whether NaN observations have distorted it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    pub value: f64,
    /// The sum is NaN, so NaNs were observed. They count as larger than everything.
    pub has_nans: bool,
}

/// Estimates the `q`-quantile. Within a bucket the logarithm of observations is taken as evenly spread; in the zero
/// bucket and in custom buckets the observations themselves are.
///
/// NaN without observations or for a NaN `q`, and where the rank falls among NaN observations; infinities for `q`
/// outside 0 to 1.
pub fn quantile(q: f64, histogram: &Histogram) -> Quantile {
    let certain = |value| Quantile { value, has_nans: false };
    if q < 0.0 {
        return certain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return certain(f64::INFINITY);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return certain(f64::NAN);
    }
    // Searching from the nearer end loses less to rounding. NaNs are in no bucket, only in the count, so that
    // counting down from the count is impossible with them.
    let has_nans = histogram.sum.is_nan();
    let upwards = has_nans || q < 0.5;
    let rank = if upwards { q } else { 1.0 - q } * histogram.count;
    let found = if upwards {
        search(histogram.buckets(), rank)
    } else {
        search(histogram.buckets().rev(), rank)
    };
    let Some((bucket, counted)) = found else {
        return Quantile { value: f64::NAN, has_nans };
    };
    // Rounding may have made the buckets hold more than the count.
    let counted = counted.min(histogram.count);
    if counted < rank && has_nans {
        return Quantile { value: f64::NAN, has_nans };
    }
    let bucket = match at_zero(&bucket, histogram) {
        Interpolation::Between(narrowed) => narrowed,
        Interpolation::Exactly(value) => return Quantile { value, has_nans },
    };
    if counted < rank {
        return Quantile { value: bucket.upper, has_nans };
    }
    let into = if upwards { rank - (counted - bucket.count) } else { counted - rank };
    Quantile { value: interpolate(&bucket, into / bucket.count, histogram.is_custom()), has_nans }
}

/// The bucket in which the cumulative count reaches the rank (or else the last one), and that count.
fn search(buckets: impl Iterator<Item = Bucket>, rank: f64) -> Option<(Bucket, f64)> {
    let mut counted = 0.0;
    let mut last = None;
    for bucket in buckets {
        counted += bucket.count;
        last = Some((bucket, counted));
        if counted >= rank {
            break;
        }
    }
    last
}

enum Interpolation {
    Between(Bucket),
    /// There is nothing to interpolate with: the bucket is open.
    Exactly(f64),
}

/// Zero is a natural end: of the zero bucket if nothing lies beyond, and of the first custom bucket.
fn at_zero(bucket: &Bucket, histogram: &Histogram) -> Interpolation {
    let mut narrowed = *bucket;
    if histogram.is_custom() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return Interpolation::Exactly(bucket.upper);
            }
            narrowed.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return Interpolation::Exactly(bucket.lower);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        if histogram.negative.is_empty() && !histogram.positive.is_empty() {
            narrowed.lower = 0.0;
        } else if histogram.positive.is_empty() && !histogram.negative.is_empty() {
            narrowed.upper = 0.0;
        }
    }
    Interpolation::Between(narrowed)
}

/// The value at a fraction of a bucket's observations.
fn interpolate(bucket: &Bucket, fraction: f64, linear: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if linear || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// Which part of a bucket's observations lies below a value inside it; the inverse of [`interpolate`].
pub(super) fn part_below(bucket: &Bucket, value: f64, linear: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if linear || (lower <= 0.0 && upper >= 0.0) {
        return (value - lower) / (upper - lower);
    }
    let (log_lower, log_upper, log_value) =
        (lower.abs().log2(), upper.abs().log2(), value.abs().log2());
    if lower > 0.0 {
        (log_value - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_value - log_upper) / (log_lower - log_upper)
    }
}

/// Estimates which fraction of the observations lies between two values. NaN observations are in no fraction.
///
/// NaN without observations or with a NaN bound; 0 where `lower` is not below `upper`.
pub fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let total = if histogram.sum.is_nan() {
        histogram.buckets().map(|bucket| bucket.count).sum()
    } else {
        histogram.count
    };
    let rank_of = |value: f64| {
        let mut rank = 0.0;
        for bucket in histogram.buckets() {
            let bucket = match at_zero(&bucket, histogram) {
                Interpolation::Between(narrowed) => narrowed,
                Interpolation::Exactly(_) => bucket,
            };
            if bucket.lower >= value {
                return rank;
            }
            if bucket.upper > value {
                // Within an open bucket nothing is known: what has no lower end counts as below, what has no
                // upper end as above.
                let part = if bucket.lower == f64::NEG_INFINITY {
                    1.0
                } else if bucket.upper == f64::INFINITY {
                    0.0
                } else {
                    part_below(&bucket, value, histogram.is_custom())
                };
                return (rank + bucket.count * part).min(total);
            }
            rank += bucket.count;
        }
        total
    };
    (rank_of(upper) - rank_of(lower)) / histogram.count
}

#[cfg(test)]
mod tests {
    use super::super::{Buckets, CUSTOM_SCHEMA};
    use super::*;

    #[test]
    fn interpolates_by_logarithm_and_inverts() {
        let positive = Buckets::from_run(1, &[4.0, 4.0]).unwrap();
        let histogram = Histogram { count: 8.0, sum: 20.0, positive, ..Histogram::default() };
        // (1, 2] and (2, 4]: the median is where they meet, the first quarter half-way up in logarithm.
        assert_eq!(quantile(0.5, &histogram).value, 2.0);
        assert!((quantile(0.25, &histogram).value - 2f64.sqrt()).abs() < 1e-12);
        assert!((fraction(f64::NEG_INFINITY, 2f64.sqrt(), &histogram) - 0.25).abs() < 1e-12);
        assert_eq!(fraction(1.0, 4.0, &histogram), 1.0);
        assert_eq!(quantile(-1.0, &histogram).value, f64::NEG_INFINITY);
        assert_eq!(quantile(2.0, &histogram).value, f64::INFINITY);
        assert!(quantile(f64::NAN, &histogram).value.is_nan());
    }

    #[test]
    fn custom_buckets_are_linear_and_open_at_the_ends() {
        let histogram = Histogram {
            schema: CUSTOM_SCHEMA,
            count: 4.0,
            sum: 20.0,
            custom_bounds: [5.0, 10.0].into(),
            positive: Buckets::from_run(0, &[2.0, 1.0, 1.0]).unwrap(),
            ..Histogram::default()
        };
        assert_eq!(quantile(0.25, &histogram).value, 2.5);
        assert_eq!(quantile(1.0, &histogram).value, 10.0);
    }

    #[test]
    fn nans_lie_above_everything() {
        let positive = Buckets::from_run(1, &[4.0]).unwrap();
        let histogram = Histogram { count: 8.0, sum: f64::NAN, positive, ..Histogram::default() };
        assert!(quantile(0.9, &histogram).value.is_nan());
        let skewed = quantile(0.5, &histogram);
        assert!(skewed.has_nans && skewed.value == 2.0);
        assert_eq!(fraction(0.0, 4.0, &histogram), 0.5);
    }
}
