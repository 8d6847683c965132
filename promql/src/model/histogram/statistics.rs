//! The variance of a histogram's observations.

use super::Histogram;
use crate::model::number::KahanSum;

/// Estimates the population variance, taking each observation at the middle of its bucket: the geometric one, or
/// the arithmetic one of custom buckets, or zero.
pub fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut total = KahanSum::default();
    for bucket in histogram.buckets() {
        let middle = if histogram.is_custom() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let distance = middle - mean;
        total.add(bucket.count * distance * distance);
    }
    total.value() / histogram.count
}

#[cfg(test)]
mod tests {
    use super::super::Buckets;
    use super::*;

    #[test]
    fn of_observations_at_the_bucket_middle() {
        let positive = Buckets::from_run(1, &[3.0]).unwrap();
        let histogram =
            Histogram { count: 3.0, sum: 3.0 * 2f64.sqrt(), positive, ..Histogram::default() };
        assert!(variance(&histogram).abs() < 1e-12);
    }
}
