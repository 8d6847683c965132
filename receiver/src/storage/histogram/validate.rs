//! What Prometheus takes, and why it refuses the rest:
//! <https://pkg.go.dev/github.com/prometheus/prometheus/model/histogram#Histogram.Validate>.

use promql::model::histogram::{CUSTOM_SCHEMA, EXPONENTIAL_SCHEMAS, Span};

use super::{Counts, Layout, LayoutError, NativeHistogram};

/// Why a histogram is refused, for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHistogram {
    #[error("the message cannot be decoded")]
    Message,
    #[error("the message is longer than {max} bytes")]
    MessageTooLong { max: usize },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("spans hold {in_spans} buckets, but there are {counts} counts")]
    Mismatch { in_spans: u64, counts: usize },
    #[error("schema {schema} is none")]
    Schema { schema: i32 },
    #[error("a bucket's count is negative, or too large")]
    BucketCount,
    #[error("the count or the zero count is negative")]
    NegativeCount,
    #[error("the count is beyond 2^63")]
    CountTooLarge,
    #[error("the buckets hold {in_buckets} observations, but the count is {count}")]
    CountMismatch { in_buckets: u64, count: u64 },
    #[error("the buckets hold {in_buckets} observations, more than the count of {count}")]
    CountTooSmall { in_buckets: u64, count: u64 },
    #[error("custom bounds are given with an exponential schema")]
    UnexpectedBounds,
    #[error("custom bounds do not rise, or one is NaN or infinite")]
    Bounds,
    #[error("there are more custom buckets than bounds for them")]
    TooFewBounds,
    #[error("a histogram with custom bounds has a zero bucket or negative buckets")]
    CustomOnlyPositive,
}

impl NativeHistogram {
    /// Whether the histogram is one that Prometheus takes. A staleness marker needs no more than its sum.
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        if self.is_stale() {
            return Ok(());
        }
        if self.layout.schema == CUSTOM_SCHEMA {
            self.validate_custom()?;
        } else if EXPONENTIAL_SCHEMAS.contains(&self.layout.schema) {
            if !self.layout.custom_bounds.is_empty() {
                return Err(InvalidHistogram::UnexpectedBounds);
            }
        } else {
            return Err(InvalidHistogram::Schema { schema: self.layout.schema });
        }
        match &self.counts {
            Counts::Integer { count, zero_count, buckets } => {
                validate_integers(*count, *zero_count, buckets, self.sum)
            }
            Counts::Float { count, zero_count, buckets } => {
                // Sums of floats depend on their order, so they are not compared with the count.
                if buckets.iter().any(|count| *count < 0.0) {
                    return Err(InvalidHistogram::BucketCount);
                }
                if *count < 0.0 || *zero_count < 0.0 {
                    return Err(InvalidHistogram::NegativeCount);
                }
                Ok(())
            }
        }
    }

    fn validate_custom(&self) -> Result<(), InvalidHistogram> {
        let Layout { zero_threshold, positive, negative, custom_bounds, .. } = &*self.layout;
        let rising = custom_bounds.is_sorted_by(|a, b| a < b);
        // A NaN that stands alone is in order with nobody.
        let usable = |bound: &f64| !bound.is_nan() && *bound != f64::INFINITY;
        if !rising || !custom_bounds.iter().all(usable) {
            return Err(InvalidHistogram::Bounds);
        }
        let no_zero = match &self.counts {
            Counts::Integer { zero_count, .. } => *zero_count == 0,
            Counts::Float { zero_count, .. } => *zero_count == 0.0,
        };
        let starts_in_range = positive.first().is_none_or(|span| span.offset >= 0);
        if !no_zero || *zero_threshold != 0.0 || !negative.is_empty() || !starts_in_range {
            return Err(InvalidHistogram::CustomOnlyPositive);
        }
        // One more than bounds: the last bucket ends at infinity.
        if extent(positive) > custom_bounds.len() as i64 + 1 {
            return Err(InvalidHistogram::TooFewBounds);
        }
        Ok(())
    }
}

/// The index behind the last bucket.
fn extent(spans: &[Span]) -> i64 {
    spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum()
}

fn validate_integers(
    count: u64,
    zero_count: u64,
    buckets: &[u64],
    sum: f64,
) -> Result<(), InvalidHistogram> {
    // No process counts that far, and SQL's integers are signed.
    if count > i64::MAX as u64 {
        return Err(InvalidHistogram::CountTooLarge);
    }
    let in_buckets = buckets
        .iter()
        .try_fold(zero_count, |total, count| total.checked_add(*count))
        .ok_or(InvalidHistogram::BucketCount)?;
    // An observed NaN is in no bucket, and makes the sum one.
    if sum.is_nan() && in_buckets > count {
        return Err(InvalidHistogram::CountTooSmall { in_buckets, count });
    }
    if !sum.is_nan() && in_buckets != count {
        return Err(InvalidHistogram::CountMismatch { in_buckets, count });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::LayoutParts, *};

    fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
        spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    fn check(parts: LayoutParts, counts: Counts, sum: f64, expected: Result<(), InvalidHistogram>) {
        let layout = Arc::new(Layout::new(parts).unwrap());
        let histogram = NativeHistogram::new(layout, counts, sum).unwrap();
        assert_eq!(histogram.validate(), expected, "{histogram:?}");
    }

    fn integer(count: u64, zero_count: u64, buckets: &[u64]) -> Counts {
        Counts::Integer { count, zero_count, buckets: buckets.into() }
    }

    fn float(count: f64, zero_count: f64, buckets: &[f64]) -> Counts {
        Counts::Float { count, zero_count, buckets: buckets.into() }
    }

    #[test]
    fn exponential() {
        let two = || LayoutParts {
            schema: 2,
            positive: spans(&[(0, 1)]),
            negative: spans(&[(5, 1)]),
            ..LayoutParts::default()
        };
        check(two(), integer(6, 1, &[2, 3]), 1.0, Ok(()));
        check(
            two(),
            integer(7, 1, &[2, 3]),
            1.0,
            Err(InvalidHistogram::CountMismatch { in_buckets: 6, count: 7 }),
        );
        check(two(), integer(7, 1, &[2, 3]), f64::NAN, Ok(()));
        check(
            two(),
            integer(5, 1, &[2, 3]),
            f64::NAN,
            Err(InvalidHistogram::CountTooSmall { in_buckets: 6, count: 5 }),
        );
        check(two(), integer(1 << 63, 0, &[0, 0]), f64::NAN, Err(InvalidHistogram::CountTooLarge));
        check(two(), integer(0, u64::MAX, &[1, 0]), 0.0, Err(InvalidHistogram::BucketCount));
        check(two(), float(1.5, 0.0, &[0.5, 0.25]), 0.0, Ok(()));
        check(two(), float(1.5, 0.0, &[-0.5, 0.25]), 0.0, Err(InvalidHistogram::BucketCount));
        check(two(), float(-1.5, 0.0, &[0.0, 0.0]), 0.0, Err(InvalidHistogram::NegativeCount));
        check(LayoutParts::default(), integer(0, 0, &[]), 0.0, Ok(()));
        for schema in [-5, 9, -52, i32::MIN] {
            let parts = LayoutParts { schema, ..LayoutParts::default() };
            let expected = Err(InvalidHistogram::Schema { schema });
            check(parts.clone(), integer(0, 0, &[]), 0.0, expected);
            // A marker says nothing of buckets.
            check(parts, integer(9, 0, &[]), promql::model::stale_marker(), Ok(()));
        }
        let bounds = LayoutParts { custom_bounds: vec![1.0], ..LayoutParts::default() };
        check(bounds, integer(0, 0, &[]), 0.0, Err(InvalidHistogram::UnexpectedBounds));
    }

    #[test]
    fn custom() {
        let with = |bounds: &[f64], positive: &[(i32, u32)]| LayoutParts {
            schema: CUSTOM_SCHEMA,
            positive: spans(positive),
            custom_bounds: bounds.to_vec(),
            ..LayoutParts::default()
        };
        check(with(&[1.0, 2.0], &[(0, 3)]), integer(6, 0, &[1, 2, 3]), 1.0, Ok(()));
        check(with(&[1.0, 2.0], &[(2, 1)]), integer(1, 0, &[1]), 1.0, Ok(()));
        check(with(&[f64::NEG_INFINITY, 2.0], &[]), integer(0, 0, &[]), 0.0, Ok(()));
        for bounds in [&[1.0, 1.0][..], &[2.0, 1.0], &[f64::NAN], &[1.0, f64::INFINITY]] {
            check(with(bounds, &[]), integer(0, 0, &[]), 0.0, Err(InvalidHistogram::Bounds));
        }
        let few = with(&[1.0], &[(1, 2)]);
        check(few, integer(2, 0, &[1, 1]), 1.0, Err(InvalidHistogram::TooFewBounds));
        let before = with(&[1.0], &[(-1, 1)]);
        check(before, integer(1, 0, &[1]), 1.0, Err(InvalidHistogram::CustomOnlyPositive));
        check(
            with(&[1.0], &[]),
            float(1.0, 1.0, &[]),
            1.0,
            Err(InvalidHistogram::CustomOnlyPositive),
        );
        let negative = LayoutParts { negative: spans(&[(0, 1)]), ..with(&[1.0], &[]) };
        check(negative, integer(1, 0, &[1]), 1.0, Err(InvalidHistogram::CustomOnlyPositive));
    }
}
