//! Cutting off the observations above or below a value (`</` and `>/`).

use super::quantile::part_below;
use super::{Bucket, Buckets, Histogram};

/// Which observations a trim keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Below,
    Above,
}

/// What is left of a bucket, and the value at which the removed observations are taken out of the sum.
struct Cut {
    kept: f64,
    removed_at: f64,
}

impl Histogram {
    /// Keeps the observations on one side of a value. The bucket it falls into is divided by interpolation; an open
    /// bucket that is cut is removed, because nothing is known about the spread inside.
    pub fn trim(&mut self, value: f64, keep: Keep) {
        let linear = self.is_custom();
        let mut kept_total = 0.0;
        let mut removed_sum = 0.0;
        let (mut has_positive, mut has_negative) = (false, false);
        let mut trimmed = |indexes: &Buckets, buckets: Vec<Bucket>| {
            let mut counts = Vec::with_capacity(buckets.len());
            for ((index, _), bucket) in indexes.iter().zip(buckets) {
                has_positive |= bucket.upper > 0.0;
                has_negative |= bucket.lower < 0.0;
                let cut = cut(&bucket, value, keep, linear);
                removed_sum += (bucket.count - cut.kept) * cut.removed_at;
                kept_total += cut.kept;
                counts.push((index, cut.kept));
            }
            Buckets::merged(counts.into_iter())
        };
        self.positive = trimmed(&self.positive, self.positive_buckets().collect());
        self.negative = trimmed(&self.negative, self.negative_buckets().collect());
        if self.zero_count > 0.0 {
            let zero = self.zero_bucket();
            let below = zero.count * clamped_part_below(&zero, value, true);
            self.zero_count = if keep == Keep::Below { below } else { zero.count - below };
            kept_total += self.zero_count;
        }
        self.count = kept_total;
        self.sum = if kept_total == 0.0 { 0.0 } else { self.sum - removed_sum };
        // The estimate must not contradict what is known about the signs.
        if (!has_negative && self.sum < 0.0) || (!has_positive && self.sum > 0.0) {
            self.sum = 0.0;
        }
        self.compact();
    }
}

fn clamped_part_below(bucket: &Bucket, value: f64, linear: bool) -> f64 {
    if value <= bucket.lower {
        0.0
    } else if value >= bucket.upper {
        1.0
    } else {
        part_below(bucket, value, linear)
    }
}

fn cut(bucket: &Bucket, value: f64, keep: Keep, linear: bool) -> Cut {
    let Bucket { lower, upper, count } = *bucket;
    let all = match keep {
        Keep::Below => upper <= value,
        Keep::Above => lower >= value,
    };
    if all {
        return Cut { kept: count, removed_at: 0.0 };
    }
    if lower == f64::NEG_INFINITY {
        // Only custom buckets are open; the first begins at zero if it ends above.
        if value >= 0.0 && upper > value && upper != f64::INFINITY {
            let below = count * value / upper;
            return match keep {
                Keep::Below => Cut { kept: below, removed_at: f64::midpoint(value, upper) },
                Keep::Above => Cut { kept: count - below, removed_at: value / 2.0 },
            };
        }
        return Cut { kept: 0.0, removed_at: upper };
    }
    if upper == f64::INFINITY {
        return Cut { kept: 0.0, removed_at: lower };
    }
    let below = count * clamped_part_below(bucket, value, linear);
    let kept = if keep == Keep::Below { below } else { count - below };
    let removed_at = if linear {
        f64::midpoint(lower, upper)
    } else {
        // The geometric middle of what is removed, or of the whole bucket if all of it is.
        let inside = value > lower && value < upper;
        let (a, b) = match keep {
            _ if !inside => (lower, upper),
            Keep::Below => (lower, value),
            Keep::Above => (value, upper),
        };
        (a.abs() * b.abs()).sqrt().copysign(upper.min(lower))
    };
    Cut { kept, removed_at }
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
        let mut half = whole;
        half.trim(8f64.sqrt(), Keep::Below);
        assert!((half.count - 2.0).abs() < 1e-12);
        half.trim(0.0, Keep::Below);
        assert_eq!((half.count, half.sum), (0.0, 0.0));
    }
}
