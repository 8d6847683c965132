//! Cutting off the observations above or below a value (`</` and `>/`).

use super::quantile::part_below;
use super::{Bucket, Buckets, Histogram};

/// Which observations a trim keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Below,
    Above,
}

/// What is left of a bucket: how many observations, and the value they are taken to have on average.
#[derive(Clone, Copy)]
struct Kept {
    count: f64,
    middle: f64,
}

impl Histogram {
    /// Keeps the observations on one side of a value. The bucket it falls into is divided by interpolation.
    ///
    /// The sum of what remains is estimated from the middles of the buckets; it stays as it was where nothing is
    /// removed.
    pub fn trim(&mut self, value: f64, keep: Keep) {
        let mut sum = 0.0;
        let mut count = 0.0;
        let mut removed = false;
        let mut take = |bucket: &Bucket, kept: Kept| {
            removed |= kept.count != bucket.count;
            count += kept.count;
            if kept.count != 0.0 {
                sum += kept.count * kept.middle;
            }
            kept.count
        };
        let custom = self.is_custom();
        let cut = |bucket: &Bucket| {
            if custom {
                cut_custom(bucket, value, keep)
            } else {
                cut_exponential(bucket, value, keep)
            }
        };
        let zero = self.zero_bucket_at_one_end();
        let zero_count =
            if zero.count == 0.0 { 0.0 } else { take(&zero, cut_linear(&zero, value, keep)) };
        let mut trimmed = |indexes: &Buckets, buckets: Vec<Bucket>| {
            let kept = indexes
                .iter()
                .zip(buckets)
                .map(|((index, _), bucket)| (index, take(&bucket, cut(&bucket))));
            Buckets::merged(kept.collect::<Vec<_>>().into_iter())
        };
        let positive = trimmed(&self.positive, self.positive_buckets().collect());
        let negative = trimmed(&self.negative, self.negative_buckets().collect());
        if !removed {
            return;
        }
        (self.zero_count, self.positive, self.negative) = (zero_count, positive, negative);
        (self.count, self.sum) = (count, sum);
        self.compact();
    }

    /// The zero bucket, which ends at zero on a side on which nothing lies beyond it.
    fn zero_bucket_at_one_end(&self) -> Bucket {
        let mut zero = self.zero_bucket();
        if self.negative.is_empty() && !self.positive.is_empty() {
            zero.lower = 0.0;
        } else if self.positive.is_empty() && !self.negative.is_empty() {
            zero.upper = 0.0;
        }
        zero
    }
}

/// Divides a bucket with two ends; `middle` says where observations between two values are on average.
fn divide(
    bucket: &Bucket,
    value: f64,
    keep: Keep,
    linear: bool,
    middle: impl Fn(f64, f64) -> f64,
) -> Kept {
    let Bucket { lower, upper, count } = *bucket;
    let (all, none) = match keep {
        Keep::Below => (value >= upper, value <= lower),
        Keep::Above => (value <= lower, value >= upper),
    };
    if all {
        return Kept { count, middle: middle(lower, upper) };
    }
    if none {
        return Kept { count: 0.0, middle: 0.0 };
    }
    let below = part_below(bucket, value, linear);
    match keep {
        Keep::Below => Kept { count: count * below, middle: middle(lower, value) },
        Keep::Above => Kept { count: count * (1.0 - below), middle: middle(value, upper) },
    }
}

fn cut_linear(bucket: &Bucket, value: f64, keep: Keep) -> Kept {
    divide(bucket, value, keep, true, f64::midpoint)
}

fn cut_exponential(bucket: &Bucket, value: f64, keep: Keep) -> Kept {
    divide(bucket, value, keep, false, |a, b| (a.abs() * b.abs()).sqrt().copysign(a + b))
}

/// Custom buckets may be open. What lies in an open bucket is unknown, so it goes away where it might be on the
/// wrong side, and is taken to be at the end that is known, or at the value where that is inside.
fn cut_custom(bucket: &Bucket, value: f64, keep: Keep) -> Kept {
    let Bucket { lower, upper, count } = *bucket;
    let none = Kept { count: 0.0, middle: 0.0 };
    match (lower == f64::NEG_INFINITY, upper == f64::INFINITY) {
        (true, true) => {
            let all = match keep {
                Keep::Below => value == f64::INFINITY,
                Keep::Above => value == f64::NEG_INFINITY,
            };
            if all { Kept { count, middle: 0.0 } } else { none }
        }
        (true, false) if upper > 0.0 => match keep {
            // Observations are taken to begin at zero, unless that is what is being cut off.
            Keep::Above if value < 0.0 && value != f64::NEG_INFINITY => none,
            _ => cut_linear(&Bucket { lower: 0.0, ..*bucket }, value, keep),
        },
        (true, false) => match keep {
            Keep::Below if value == f64::NEG_INFINITY => none,
            Keep::Below => Kept { count, middle: value.min(upper) },
            Keep::Above if value == f64::NEG_INFINITY => Kept { count, middle: upper },
            Keep::Above => none,
        },
        (false, true) => match keep {
            Keep::Below if value == f64::INFINITY => Kept { count, middle: lower },
            Keep::Below => none,
            Keep::Above if value == f64::INFINITY => none,
            Keep::Above => Kept { count, middle: value.max(lower) },
        },
        (false, false) => cut_linear(bucket, value, keep),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_and_through_buckets() {
        let whole = Histogram {
            count: 7.0,
            sum: 14.0,
            positive: Buckets::from_run(1, &[1.0, 2.0, 4.0]).unwrap(),
            ..Histogram::default()
        };
        let mut below = whole.clone();
        below.trim(4.0, Keep::Below);
        assert_eq!((below.count, below.positive.len()), (3.0, 2));
        let mut above = whole.clone();
        above.trim(4.0, Keep::Above);
        assert_eq!((above.count, above.positive.len()), (4.0, 1));
        let mut same = whole.clone();
        same.trim(0.5, Keep::Above);
        assert_eq!(same, whole);
        let mut half = whole;
        half.trim(8f64.sqrt(), Keep::Below);
        assert!((half.count - 2.0).abs() < 1e-12);
        half.trim(0.0, Keep::Below);
        assert_eq!((half.count, half.sum), (0.0, 0.0));
    }
}
