//! What is kept of the samples of an hour: the same that `watchpost.hours_of_samples` says in SQL.

use promql::model::is_stale;

use crate::model::Sample;

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const HOURS: usize = 24;

/// An hour that has values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hour {
    pub(super) n: i32,
    pub(super) sum: f64,
    /// NaN if there is nothing else.
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) last: f64,
    /// What a counter grew, with resets, between consecutive samples of which this hour has the later one.
    pub(super) increase: f64,
}

/// The hours of a day that begins at `start`, in milliseconds. `samples` are in order of time and begin up to an hour
/// earlier. `None` if the day has no value.
pub(super) fn of_day(
    start: i64,
    samples: impl Iterator<Item = Sample>,
) -> Option<[Option<Hour>; HOURS]> {
    let mut hours = [None; HOURS];
    let mut before: Option<Sample> = None;
    for sample in samples.filter(|sample| !is_stale(sample.value)) {
        let previous = before.replace(sample);
        let Ok(at) = usize::try_from((sample.ts - start).div_euclid(HOUR_MS)) else { continue };
        let Some(hour) = hours.get_mut(at) else { break };
        let oldest = start + (at as i64 - 1) * HOUR_MS;
        let grown = previous
            .filter(|previous| previous.ts >= oldest)
            .and_then(|previous| increase(previous.value, sample.value))
            .unwrap_or(0.0);
        match hour {
            None => {
                let value = sample.value;
                *hour = Some(Hour {
                    n: 1,
                    sum: value,
                    min: value,
                    max: value,
                    last: value,
                    increase: grown,
                });
            }
            Some(hour) => hour.add(sample.value, grown),
        }
    }
    hours.iter().any(Option::is_some).then_some(hours)
}

impl Hour {
    fn add(&mut self, value: f64, grown: f64) {
        self.n += 1;
        self.sum += value;
        // NaN only where there is nothing else; of −0 and 0 the later one, as in PostgreSQL.
        if !value.is_nan() {
            self.min = if self.min < value { self.min } else { value };
            self.max = if self.max > value { self.max } else { value };
        }
        self.last = value;
        self.increase += grown;
    }
}

fn increase(before: f64, value: f64) -> Option<f64> {
    if before.is_nan() || value.is_nan() {
        return None;
    }
    Some(if value >= before { value - before } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ts: i64, value: f64) -> Sample {
        Sample { ts, value }
    }

    #[test]
    fn hours_count_resets_and_what_came_before_midnight() {
        let day = 20_000 * 24 * HOUR_MS;
        let samples = [
            sample(day - HOUR_MS, 1.0),
            sample(day, 3.0),
            sample(day + 1000, promql::model::stale_marker()),
            sample(day + 2000, 2.0),
            sample(day + 3 * HOUR_MS, 12.0),
            sample(day + 3 * HOUR_MS + 1, f64::NAN),
            sample(day + 4 * HOUR_MS, f64::NAN),
            sample(day + 24 * HOUR_MS, 100.0),
        ];
        let hours = of_day(day, samples.into_iter()).unwrap();
        let first = Hour { n: 2, sum: 5.0, min: 2.0, max: 3.0, last: 2.0, increase: 4.0 };
        assert_eq!(hours[0], Some(first), "two from before midnight, two after the reset");
        let third = hours[3].unwrap();
        assert_eq!((third.n, third.min, third.max), (2, 12.0, 12.0));
        assert_eq!(third.increase, 0.0, "the sample before is three hours old");
        assert!(third.last.is_nan() && third.sum.is_nan());
        assert!(hours[4].unwrap().min.is_nan());
        assert_eq!(hours.iter().flatten().count(), 3);
        assert_eq!(of_day(day, samples[..1].iter().copied()), None);
        assert_eq!(of_day(day, samples[7..].iter().copied()), None);
    }
}
