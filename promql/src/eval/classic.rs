//! Quantiles and fractions of classic histograms: cumulative counts by upper bound (`le`).

/// A cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ClassicBucket {
    pub(super) upper: f64,
    pub(super) count: f64,
}

/// What had to be done to make counts rise with bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Forced {
    pub(super) lowest: f64,
    pub(super) highest: f64,
    pub(super) difference: f64,
}

/// Decreases smaller than this part of the count come from rounding and are repaired without a word.
const TOLERANCE: f64 = 1e-12;

/// Sorts by bound and joins equal bounds; nothing if the last bucket does not reach to infinity.
fn prepare(buckets: &mut Vec<ClassicBucket>) -> Option<()> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|later, kept| {
        let same = later.upper == kept.upper;
        if same {
            kept.count += later.count;
        }
        same
    });
    Some(())
}

/// Lifts counts that fall. Scrapes are not atomic and rates are rounded, so they do.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let difference = (bucket.count - before).abs();
        if difference == 0.0 || difference / bucket.count <= TOLERANCE {
            bucket.count = before;
            continue;
        }
        if bucket.count < before {
            let known = forced.get_or_insert(Forced {
                lowest: bucket.upper,
                highest: bucket.upper,
                difference: 0.0,
            });
            known.lowest = known.lowest.min(bucket.upper);
            known.highest = known.highest.max(bucket.upper);
            known.difference = known.difference.max(difference);
            bucket.count = before;
        }
        before = bucket.count;
    }
    forced
}

/// Estimates the `q`-quantile, taking observations as evenly spread within their bucket. The first bucket begins at
/// zero if it ends above; in the last, which has no end, the answer is where it begins.
pub(super) fn quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if prepare(buckets).is_none() {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 || observations.is_nan() {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    let at = buckets[..last].partition_point(|bucket| bucket.count < rank);
    if at == last {
        return (buckets[last - 1].upper, forced);
    }
    let ClassicBucket { upper, mut count } = buckets[at];
    if at == 0 && upper <= 0.0 {
        return (upper, forced);
    }
    let mut lower = 0.0;
    if at > 0 {
        lower = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (lower + (upper - lower) * (rank / count), forced)
}

/// Estimates which fraction of the observations lies between two values.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if prepare(buckets).is_none() {
        return f64::NAN;
    }
    make_monotonic(buckets);
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        let mut rank = 0.0;
        let mut begin = f64::NEG_INFINITY;
        for (at, bucket) in buckets.iter().enumerate() {
            if at == 0 && bucket.upper > 0.0 {
                begin = 0.0;
            }
            if begin >= value {
                return rank;
            }
            if bucket.upper > value {
                // What has no lower end counts as below, what has no upper end as above.
                let part = if begin == f64::NEG_INFINITY {
                    1.0
                } else if bucket.upper == f64::INFINITY {
                    0.0
                } else {
                    (value - begin) / (bucket.upper - begin)
                };
                return rank + (bucket.count - rank) * part;
            }
            rank = bucket.count;
            begin = bucket.upper;
        }
        total
    };
    (rank_of(upper) - rank_of(lower)) / total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<ClassicBucket> {
        pairs.iter().map(|(upper, count)| ClassicBucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn quantiles() {
        let infinity = f64::INFINITY;
        let of = |q, pairs: &[(f64, f64)]| quantile(q, &mut buckets(pairs)).0;
        assert_eq!(of(0.5, &[(1.0, 2.0), (3.0, 4.0), (infinity, 4.0)]), 1.0);
        assert_eq!(of(0.75, &[(1.0, 2.0), (3.0, 4.0), (infinity, 4.0)]), 2.0);
        assert_eq!(of(1.0, &[(1.0, 2.0), (infinity, 4.0)]), 1.0);
        assert_eq!(of(0.5, &[(-1.0, 4.0), (infinity, 4.0)]), -1.0);
        assert!(of(0.5, &[(1.0, 2.0)]).is_nan());
        assert!(of(0.5, &[(1.0, 0.0), (infinity, 0.0)]).is_nan());
    }

    #[test]
    fn falling_counts_are_lifted() {
        let (value, forced) = quantile(
            0.5,
            &mut buckets(&[(1.0, 4.0), (2.0, 3.0), (4.0, 8.0), (f64::INFINITY, 8.0)]),
        );
        assert_eq!(value, 1.0);
        assert_eq!(forced, Some(Forced { lowest: 2.0, highest: 2.0, difference: 1.0 }));
        let (_, silent) =
            quantile(0.5, &mut buckets(&[(1.0, 1.0), (2.0, 1.0 - 1e-15), (f64::INFINITY, 2.0)]));
        assert_eq!(silent, None);
    }

    #[test]
    fn fractions() {
        let pairs = [(1.0, 2.0), (3.0, 4.0), (f64::INFINITY, 4.0)];
        assert_eq!(fraction(0.0, 2.0, &mut buckets(&pairs)), 0.75);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &mut buckets(&pairs)), 1.0);
        assert_eq!(fraction(2.0, 1.0, &mut buckets(&pairs)), 0.0);
    }
}
