//! Samples of one series: floats and histograms, each in order of time.

use std::sync::Arc;

use super::Histogram;
use super::histogram::CounterReset;

/// The NaN that says "this series has ended here". Other NaNs are data, so it is told apart by its bits, which
/// storage and wire must preserve.
pub const STALE_MARKER_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the stale marker.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_MARKER_BITS
}

/// The stale marker as a float.
pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_MARKER_BITS)
}

/// A float or a histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// One histogram and its time, in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    pub ts: i64,
    pub value: Arc<Histogram>,
    /// When counting began; 0 is unknown.
    pub start_ts: i64,
}

/// The samples of one series. Floats are kept as columns, because nearly all samples are floats and windows over
/// plain slices are what makes range functions fast; histograms stand beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds since the epoch, strictly rising.
    pub timestamps: Vec<i64>,
    /// As many as `timestamps`.
    pub values: Vec<f64>,
    /// When counting began, as many as `timestamps`, 0 where unknown; or empty when all are unknown.
    pub start_timestamps: Vec<i64>,
    /// Strictly rising by time. No timestamp is also in `timestamps`.
    pub histograms: Vec<HistogramSample>,
}

impl Samples {
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.start_timestamps.clear();
        self.histograms.clear();
    }

    pub fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.histograms.is_empty()
    }

    /// Adds a float behind the others; stale markers keep their bits.
    pub fn push(&mut self, ts: i64, value: f64) {
        self.timestamps.push(ts);
        self.values.push(value);
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.push(0);
        }
    }

    /// Adds a float that has been counting since `start_ts`.
    pub fn push_since(&mut self, ts: i64, value: f64, start_ts: i64) {
        if self.start_timestamps.is_empty() && start_ts != 0 {
            self.start_timestamps.resize(self.timestamps.len(), 0);
            self.start_timestamps.push(start_ts);
        } else if !self.start_timestamps.is_empty() {
            self.start_timestamps.push(start_ts);
        }
        self.timestamps.push(ts);
        self.values.push(value);
    }

    /// Says of each histogram of which nothing is known whether it follows a reset, as far as the one before it is here.
    pub fn note_resets(&mut self) {
        for at in 1..self.histograms.len() {
            let (before, after) = (&self.histograms[at - 1].value, &self.histograms[at].value);
            if after.counter_reset != CounterReset::Unknown || before.is_stale() || after.is_stale()
            {
                continue;
            }
            let is_reset = after.is_reset_after(before);
            let counter_reset = if is_reset { CounterReset::Reset } else { CounterReset::NotReset };
            self.histograms[at].value =
                Arc::new(Histogram { counter_reset, ..Histogram::clone(after) });
        }
    }

    /// Removes stale markers: to a range they are nothing.
    pub fn remove_stale(&mut self) {
        // All of them, whatever is found: several at a time.
        if self.values.iter().fold(false, |found, value| found | is_stale(*value)) {
            let mut kept = 0;
            for at in 0..self.values.len() {
                if is_stale(self.values[at]) {
                    continue;
                }
                self.values[kept] = self.values[at];
                self.timestamps[kept] = self.timestamps[at];
                if !self.start_timestamps.is_empty() {
                    self.start_timestamps[kept] = self.start_timestamps[at];
                }
                kept += 1;
            }
            self.values.truncate(kept);
            self.timestamps.truncate(kept);
            self.start_timestamps.truncate(kept);
        }
        self.histograms.retain(|sample| !sample.value.is_stale());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_markers_are_told_apart_by_bits() {
        assert!(is_stale(stale_marker()) && stale_marker().is_nan() && !is_stale(f64::NAN));
        let mut samples = Samples::default();
        samples.push(1, 1.0);
        samples.push_since(2, stale_marker(), 1);
        samples.push_since(3, f64::NAN, 2);
        samples.remove_stale();
        assert_eq!(samples.timestamps, [1, 3]);
        assert_eq!(samples.start_timestamps, [0, 2]);
        assert!(samples.values[1].is_nan());
    }
}
