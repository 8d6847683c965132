//! How histograms are written in messages and `count_values`.

use std::fmt;

use super::{Bucket, Histogram};
use crate::model::number::General;

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", General(self.count), General(self.sum))?;
        for bucket in self.negative_buckets().rev() {
            write_bucket(f, &bucket, '[', ')')?;
        }
        if self.zero_count != 0.0 {
            write_bucket(f, &self.zero_bucket(), '[', ']')?;
        }
        for bucket in self.positive_buckets() {
            // The first custom bucket has no lower bound that could be outside.
            let open = if bucket.lower == f64::NEG_INFINITY { '[' } else { '(' };
            write_bucket(f, &bucket, open, ']')?;
        }
        f.write_str("}")
    }
}

fn write_bucket(
    f: &mut fmt::Formatter<'_>,
    bucket: &Bucket,
    open: char,
    close: char,
) -> fmt::Result {
    let Bucket { lower, upper, count } = *bucket;
    write!(f, ", {open}{},{}{close}:{}", General(lower), General(upper), General(count))
}

#[cfg(test)]
mod tests {
    use super::super::Buckets;
    use super::*;

    #[test]
    fn lists_populated_buckets_from_low_to_high() {
        let histogram = Histogram {
            count: 6.0,
            sum: 1.5,
            zero_threshold: 0.25,
            zero_count: 1.0,
            positive: Buckets::from_run(0, &[2.0]).unwrap(),
            negative: Buckets::from_run(1, &[3.0]).unwrap(),
            ..Histogram::default()
        };
        assert_eq!(
            histogram.to_string(),
            "{count:6, sum:1.5, [-2,-1):3, [-0.25,0.25]:1, (0.5,1]:2}"
        );
    }
}
