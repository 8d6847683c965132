//! Whether a counter histogram has begun anew.

use super::arithmetic::common_bounds;
use super::{Buckets, CounterReset, Histogram};

impl Histogram {
    /// Whether the counter was reset between `previous` and this one: its hint says so, or something has shrunk.
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        match self.counter_reset {
            CounterReset::Reset => return true,
            CounterReset::NotReset => return false,
            CounterReset::Unknown | CounterReset::Gauge => {}
        }
        if self.count < previous.count || self.is_custom() != previous.is_custom() {
            return true;
        }
        if self.is_custom() {
            if self.custom_bounds == previous.custom_bounds {
                return has_shrunk(&self.positive, &previous.positive);
            }
            let common = common_bounds(&self.custom_bounds, &previous.custom_bounds);
            return has_shrunk(
                &self.with_bounds(&common).positive,
                &previous.with_bounds(&common).positive,
            );
        }
        // Resolution is only ever lost while a counter runs.
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        // Resolution is only ever lost by merging whole buckets.
        if previous.zero_threshold_for(self.zero_threshold) != self.zero_threshold {
            return true;
        }
        let mut aligned = previous.clone();
        aligned.widen_zero(self.zero_threshold);
        aligned.reduce_schema(self.schema);
        self.zero_count < aligned.zero_count
            || has_shrunk(&self.positive, &aligned.positive)
            || has_shrunk(&self.negative, &aligned.negative)
    }
}

fn has_shrunk(now: &Buckets, before: &Buckets) -> bool {
    before.iter().any(|(index, count)| now.get(index) < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_is_a_reset_and_hints_decide() {
        let counts = |counts: &[f64]| Histogram {
            count: counts.iter().sum(),
            positive: Buckets::from_run(0, counts).unwrap(),
            ..Histogram::default()
        };
        let before = counts(&[1.0, 2.0, 3.0]);
        assert!(!counts(&[1.0, 2.0, 3.0]).is_reset_after(&before));
        assert!(counts(&[0.0, 2.0, 9.0]).is_reset_after(&before));
        assert!(counts(&[1.0, 2.0]).is_reset_after(&before));
        let hinted = |counter_reset| Histogram { counter_reset, ..counts(&[1.0]) };
        assert!(!hinted(CounterReset::NotReset).is_reset_after(&before));
        assert!(
            Histogram { counter_reset: CounterReset::Reset, ..before.clone() }
                .is_reset_after(&before)
        );
        assert!(Histogram { schema: 1, ..before.clone() }.is_reset_after(&before));
    }
}
