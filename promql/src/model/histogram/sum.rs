//! Sums and means of many histograms that do not lose what single additions round away.

use super::{CounterReset, Histogram, Incompatible, Reconciled};
use crate::model::number::KahanSum;

/// A running, compensated sum.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    total: Histogram,
    /// What was rounded away, in the same layout.
    lost: Histogram,
    seen: HintsSeen,
}

/// A sum hides which hints went into it; opposites among them are worth a warning.
#[derive(Clone, Copy, Debug, Default)]
struct HintsSeen {
    reset: bool,
    not_reset: bool,
}

impl HintsSeen {
    fn note(&mut self, hint: CounterReset) {
        self.reset |= hint == CounterReset::Reset;
        self.not_reset |= hint == CounterReset::NotReset;
    }
}

impl HistogramSum {
    pub fn new(first: &Histogram) -> Self {
        let mut seen = HintsSeen::default();
        seen.note(first.counter_reset);
        let lost = Histogram {
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            custom_bounds: first.custom_bounds.clone(),
            ..Histogram::default()
        };
        Self { total: first.clone(), lost, seen }
    }

    /// Adds one; returns whether custom bounds had to be reconciled.
    pub fn add(&mut self, histogram: &Histogram) -> Result<Reconciled, Incompatible> {
        self.seen.note(histogram.counter_reset);
        let (histogram, bounds) = self.total.align(histogram)?;
        // The total may have become coarser, and what it has lost with it.
        let mut lost = self.total.clone();
        std::mem::swap(&mut self.lost, &mut lost);
        if self.total.is_custom() {
            lost = lost.with_bounds(&self.total.custom_bounds);
        } else {
            lost.reduce_schema(self.total.schema);
            if lost.zero_threshold != self.total.zero_threshold {
                lost.widen_zero(self.total.zero_threshold);
            }
        }
        let counter_resets_collide = self.total.join_counter_reset(histogram.counter_reset);
        for (total, lost, value) in [
            (&mut self.total.zero_count, &mut lost.zero_count, histogram.zero_count),
            (&mut self.total.count, &mut lost.count, histogram.count),
            (&mut self.total.sum, &mut lost.sum, histogram.sum),
        ] {
            let mut sum = KahanSum { sum: *total, compensation: *lost };
            sum.add(value);
            (*total, *lost) = (sum.sum, sum.compensation);
        }
        for (total, lost, added) in [
            (&mut self.total.positive, &mut lost.positive, &histogram.positive),
            (&mut self.total.negative, &mut lost.negative, &histogram.negative),
        ] {
            let compensation = |total: f64, value: f64| {
                let mut sum = KahanSum::new(total);
                sum.add(value);
                sum.compensation
            };
            *lost = lost.zip(&total.zip(added, compensation), |known, new| known + new);
            *total = total.zip(added, |total, value| total + value);
        }
        self.lost = lost;
        Ok(Reconciled { counter_resets_collide, bounds })
    }

    /// Whether some part has left the range of floats.
    pub fn has_overflown(&self) -> bool {
        let total = &self.total;
        let infinite = |value: f64| value.is_infinite();
        infinite(total.zero_count)
            || infinite(total.count)
            || infinite(total.sum)
            || total.positive.iter().any(|(_, count)| infinite(count))
            || total.negative.iter().any(|(_, count)| infinite(count))
    }

    /// Whether both "reset" and "not reset" were among the summands.
    pub fn counter_resets_collide(&self) -> bool {
        self.seen.reset && self.seen.not_reset
    }

    pub fn value(&self) -> Histogram {
        let mut value = self.total.clone();
        let hint = value.counter_reset;
        value.add(&self.lost).expect("the lost part has the layout of the total");
        value.counter_reset = hint;
        value
    }

    fn mul(&mut self, factor: f64) {
        self.total.mul(factor);
        self.lost.mul(factor);
    }

    fn div(&mut self, divisor: f64) {
        self.total.div(divisor);
        self.lost.div(divisor);
    }
}

/// A running mean: a sum, or, from the histogram on with which the sum would overflow, a weighted mean.
#[derive(Clone, Debug)]
pub struct HistogramMean {
    sum: HistogramSum,
    count: f64,
    weighted: bool,
}

impl HistogramMean {
    pub fn new(first: &Histogram) -> Self {
        Self { sum: HistogramSum::new(first), count: 1.0, weighted: false }
    }

    /// Adds one; returns whether custom bounds had to be reconciled.
    pub fn add(&mut self, histogram: &Histogram) -> Result<Reconciled, Incompatible> {
        self.count += 1.0;
        if !self.weighted {
            let mut next = self.sum.clone();
            let reconciled = next.add(histogram)?;
            if !next.has_overflown() {
                self.sum = next;
                return Ok(reconciled);
            }
            self.weighted = true;
            self.sum.div(self.count - 1.0);
        }
        self.sum.mul((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.div(self.count);
        self.sum.add(&part)
    }

    /// Whether both "reset" and "not reset" were among the summands.
    pub fn counter_resets_collide(&self) -> bool {
        self.sum.counter_resets_collide()
    }

    pub fn value(&self) -> Histogram {
        let mut sum = self.sum.clone();
        if !self.weighted {
            sum.div(self.count);
        }
        sum.value()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Buckets;
    use super::*;

    fn of(count: f64) -> Histogram {
        let positive = Buckets::from_run(0, &[count]).unwrap();
        Histogram { count, sum: count, positive, ..Histogram::default() }
    }

    #[test]
    fn keeps_what_is_rounded_away() {
        let mut sum = HistogramSum::new(&of(1.0));
        for count in [1e100, 1.0, -1e100] {
            sum.add(&of(count)).unwrap();
        }
        assert_eq!(sum.value(), of(2.0));
    }

    #[test]
    fn mean_survives_overflow() {
        let mut mean = HistogramMean::new(&of(f64::MAX));
        mean.add(&of(f64::MAX)).unwrap();
        mean.add(&of(f64::MAX)).unwrap();
        let value = mean.value();
        assert!((value.count / f64::MAX - 1.0).abs() < 1e-12 && value.sum.is_finite());
    }
}
