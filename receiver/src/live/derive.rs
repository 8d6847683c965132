//! From samples to what people look at: rates of counters, values on a time grid.
//!
//! The same rules for the past (a snapshot) and for now (an update): a rate is the increase between two samples over
//! the time between them, a counter that falls was reset to zero, and a value is gone with its stale marker or when
//! it was not renewed for three of its own intervals, at the latest after [`FRESH_MS`].

use super::source::{self, Sample};

/// How long a value counts at most without being renewed; Prometheus' default look-back.
pub(super) const FRESH_MS: i64 = 5 * 60_000;
/// How long it counts at least, however often it used to come.
const FRESH_LEAST_MS: i64 = 15_000;

/// The last two samples of a series: enough for a gauge and for a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Track {
    before: Option<Sample>,
    last: Option<Sample>,
}

impl Track {
    /// A new sample. Older ones than the last are ignored: a view shows the present.
    pub(super) fn accept(&mut self, t: i64, v: f64) {
        match self.last {
            Some((last, _)) if t < last => {}
            Some((last, _)) if t == last => self.last = Some((t, v)),
            _ => {
                self.before = self.last;
                self.last = Some((t, v));
            }
        }
    }

    /// A sample from the store, which may be older or newer than those seen meanwhile.
    pub(super) fn prime(&mut self, t: i64, v: f64) {
        match self.last {
            Some((last, _)) if t < last => {
                if self.before.is_none_or(|(before, _)| before < t) {
                    self.before = Some((t, v));
                }
            }
            _ => self.accept(t, v),
        }
    }

    /// The value at `t`.
    pub(super) fn gauge(&self, t: i64) -> Option<f64> {
        let (at, v) = self.last?;
        (!source::is_stale(v) && t - at <= self.fresh_ms()).then_some(v)
    }

    fn fresh_ms(&self) -> i64 {
        match (self.before, self.last) {
            (Some((before, _)), Some((last, _))) => {
                (3 * (last - before)).clamp(FRESH_LEAST_MS, FRESH_MS)
            }
            _ => FRESH_MS,
        }
    }

    /// The increase per second up to the last sample.
    pub(super) fn rate(&self, t: i64) -> Option<f64> {
        self.gauge(t)?;
        rate_between(self.before?, self.last?)
    }
}

fn rate_between(before: Sample, last: Sample) -> Option<f64> {
    let elapsed_ms = last.0 - before.0;
    if elapsed_ms <= 0
        || elapsed_ms > FRESH_MS
        || source::is_stale(before.1)
        || source::is_stale(last.1)
    {
        return None;
    }
    Some(increase(before.1, last.1) * 1_000.0 / elapsed_ms as f64)
}

fn increase(before: f64, last: f64) -> f64 {
    if last < before { last } else { last - before }
}

/// Equally spaced times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) t0: i64,
    pub(super) step_ms: i64,
    pub(super) points: usize,
    /// How far back a point looks for its value: over one missed sample, not over a real gap.
    pub(super) look_back_ms: i64,
}

impl Grid {
    pub(super) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.points as i64).map(move |n| self.t0 + n * self.step_ms)
    }

    /// How long a sample counts. The newest only for its own step: what comes after it is not known yet, and must not be
    /// in the way when it arrives late.
    fn reach_ms(self, is_newest: bool) -> i64 {
        if is_newest { self.step_ms } else { self.look_back_ms }
    }

    /// The value of a gauge at each time. `samples` are in order of time.
    pub(super) fn gauge(self, samples: &[Sample]) -> Vec<Option<f64>> {
        let mut next = 0;
        let at = |t: i64| {
            while samples.get(next).is_some_and(|sample| sample.0 <= t) {
                next += 1;
            }
            let (at, v) = *samples.get(next.checked_sub(1)?)?;
            (t - at < self.reach_ms(next == samples.len()) && !source::is_stale(v)).then_some(v)
        };
        self.times().map(at).collect()
    }

    /// The rate of a counter over the step (or the distance of samples, if longer) up to each time.
    pub(super) fn rate(self, samples: &[Sample]) -> Vec<Option<f64>> {
        let mut next = 0;
        let mut from = 0;
        let at = |t: i64| {
            while samples.get(next).is_some_and(|sample| sample.0 <= t) {
                next += 1;
            }
            let last = next.checked_sub(1)?;
            while from + 1 < last && samples[from + 1].0 <= t - self.step_ms {
                from += 1;
            }
            let reach_ms = self.reach_ms(next == samples.len());
            if t - samples[last].0 >= reach_ms || from >= last {
                return None;
            }
            let window = &samples[from..=last];
            if window.iter().any(|(_, v)| source::is_stale(*v)) {
                return rate_between(samples[last - 1], samples[last]);
            }
            let elapsed_ms = samples[last].0 - samples[from].0;
            if elapsed_ms <= 0 || elapsed_ms > FRESH_MS.max(2 * self.step_ms) {
                return None;
            }
            let total: f64 = window.windows(2).map(|pair| increase(pair[0].1, pair[1].1)).sum();
            Some(total * 1_000.0 / elapsed_ms as f64)
        };
        self.times().map(at).collect()
    }
}

/// Six significant digits: what a chart can show; the rest would only be bytes on the wire.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 5 - value.abs().log10().floor() as i32;
    if !(-300..=300).contains(&digits) {
        return value;
    }
    let scale = 10f64.powi(digits.abs());
    if digits >= 0 { (value * scale).round() / scale } else { (value / scale).round() * scale }
}

/// At most `points` samples that keep every peak: of each stretch of time the least and the greatest, in their order.
pub(super) fn thinned(samples: &[Sample], points: usize) -> Vec<Sample> {
    if samples.len() <= points || points < 2 {
        return samples.to_vec();
    }
    let stretches = points / 2;
    let mut kept = Vec::with_capacity(points);
    for stretch in 0..stretches {
        let part = &samples
            [stretch * samples.len() / stretches..(stretch + 1) * samples.len() / stretches];
        let by_value = |a: &&Sample, b: &&Sample| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (part.iter().min_by(by_value), part.iter().max_by(by_value))
        else {
            continue;
        };
        kept.push(if low.0 <= high.0 { *low } else { *high });
        if low.0 != high.0 {
            kept.push(if low.0 <= high.0 { *high } else { *low });
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_survive_resets_and_end_with_the_stale_marker() {
        let mut track = Track::default();
        assert_eq!(track.rate(0), None);
        track.accept(1_000, 100.0);
        assert_eq!((track.gauge(1_000), track.rate(1_000)), (Some(100.0), None));
        track.accept(3_000, 110.0);
        assert_eq!(track.rate(3_000), Some(5.0));
        track.accept(2_000, 0.0);
        assert_eq!(track.rate(3_000), Some(5.0), "late samples are ignored");
        track.accept(5_000, 4.0);
        assert_eq!(track.rate(5_000), Some(2.0), "reset to zero, then 4 in two seconds");
        assert_eq!(track.rate(5_000 + FRESH_LEAST_MS), Some(2.0));
        assert_eq!(track.rate(5_001 + FRESH_LEAST_MS), None);
        track.accept(6_000, source::NONE);
        assert_eq!((track.gauge(6_000), track.rate(6_000)), (None, None));
        track.accept(7_000, 5.0);
        assert_eq!((track.gauge(7_000), track.rate(7_000)), (Some(5.0), None));
        track.accept(8_000 + FRESH_MS, 9.0);
        assert_eq!(track.rate(8_000 + FRESH_MS), None, "not over a long gap");
    }

    #[test]
    fn what_the_store_knows_joins_what_came_meanwhile() {
        let mut track = Track::default();
        track.accept(10_000, 30.0);
        track.prime(8_000, 20.0);
        track.prime(6_000, 0.0);
        assert_eq!(track.rate(10_000), Some(5.0));
        track.prime(12_000, 50.0);
        assert_eq!(track.rate(12_000), Some(10.0));
    }

    #[test]
    fn grids_show_gaps_as_gaps() {
        let grid = Grid { t0: 10, step_ms: 10, points: 6, look_back_ms: 25 };
        let samples = [(0, 1.0), (9, 2.0), (10, 3.0), (21, 4.0), (30, source::NONE), (54, 5.0)];
        assert_eq!(grid.gauge(&samples), [Some(3.0), Some(3.0), None, None, None, Some(5.0)]);
        assert_eq!(grid.gauge(&[]), [None; 6]);
        let late = [(0, 1.0), (11, 2.0), (29, 3.0)];
        assert_eq!(
            grid.gauge(&late),
            [Some(1.0), Some(2.0), Some(3.0), None, None, None],
            "the newest is not drawn out"
        );
    }

    #[test]
    fn grid_rates() {
        let grid = Grid { t0: 0, step_ms: 2_000, points: 5, look_back_ms: 5_000 };
        let samples: Vec<_> = [(0, 0.0), (1, 1.0), (2, 3.0), (3, 0.0), (4, 2.0), (5, 4.0)]
            .map(|(s, v)| (s * 1_000, v))
            .to_vec();
        assert_eq!(
            grid.rate(&samples),
            [None, Some(1.5), Some(1.0), Some(2.0), None],
            "per second over two seconds; the fall from 3 to 0 is a reset"
        );
        // Slower samples than steps: the rate between the two last ones.
        let slow = [(0, 0.0), (3_000, 6.0), (6_000, 6.0)];
        assert_eq!(grid.rate(&slow), [None, None, Some(2.0), Some(0.0), None]);
    }

    #[test]
    fn six_digits() {
        for (value, expected) in [
            (0.0, 0.0),
            (1.234_567_8, 1.23457),
            (12_345_678.0, 12_345_700.0),
            (-0.000_123_456_78, -0.000_123_457),
        ] {
            assert_eq!(rounded(value), expected);
        }
        assert!(rounded(f64::NAN).is_nan());
        assert!(rounded(f64::MIN_POSITIVE) > 0.0);
    }

    #[test]
    fn thinning_keeps_peaks() {
        let mut samples: Vec<_> = (0..1_000).map(|n| (n, 1.0)).collect();
        samples[503].1 = 99.0;
        samples[777].1 = -99.0;
        let kept = thinned(&samples, 20);
        assert!(kept.len() <= 20, "{}", kept.len());
        assert!(kept.contains(&(503, 99.0)) && kept.contains(&(777, -99.0)));
        assert!(kept.is_sorted_by_key(|(t, _)| *t));
        assert_eq!(thinned(&samples, 1_000), samples);
    }
}
