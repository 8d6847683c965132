//! When to scrape, and which time the samples get.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Timers are late by a millisecond or two. Samples that close to their due time get exactly that: even distances
/// compress to almost nothing. Prometheus rounds for the same reason.
const TOLERANCE_MS_MAX: i64 = 10;

/// Ticks at once and then every interval.
#[derive(Debug)]
pub struct Schedule {
    ticks: Interval,
    interval: Duration,
    interval_ms: i64,
    /// A time at which a scrape was due.
    due_ms: Option<i64>,
}

impl Schedule {
    /// `interval` is longer than nothing.
    pub fn new(interval: Duration) -> Self {
        Self::beginning(Instant::now(), interval, None)
    }

    fn beginning(first: Instant, interval: Duration, due_ms: Option<i64>) -> Self {
        let mut ticks = tokio::time::interval_at(first, interval);
        // After a pause (a laptop that slept) one scrape, not one for each that was missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { ticks, interval, interval_ms, due_ms }
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// From now on another interval, counted from the last scrape: at once, if that is longer ago.
    pub fn change(&mut self, interval: Duration) {
        if interval == self.interval {
            return;
        }
        let since_ms = self.due_ms.map_or(0, |due_ms| (now_ms() - due_ms).max(0));
        let since = Duration::from_millis(since_ms.unsigned_abs());
        let first = Instant::now() + interval.saturating_sub(since);
        *self = Self::beginning(first, interval, self.due_ms);
    }

    /// Waits for the next scrape and returns its time in milliseconds since 1970. Cancel-safe.
    pub async fn next(&mut self) -> i64 {
        self.ticks.tick().await;
        let at_ms = align(now_ms(), self.due_ms, self.interval_ms);
        self.due_ms = Some(at_ms);
        at_ms
    }
}

/// The due time nearest to `now_ms`, if that is near enough.
fn align(now_ms: i64, due_ms: Option<i64>, interval_ms: i64) -> i64 {
    let Some(due_ms) = due_ms else { return now_ms };
    let tolerance_ms = TOLERANCE_MS_MAX.min(interval_ms / 100);
    let since = now_ms - due_ms;
    let intervals = (since + interval_ms / 2).div_euclid(interval_ms);
    let nearest = due_ms + intervals * interval_ms;
    // Never the time of the last scrape again.
    if intervals > 0 && (now_ms - nearest).abs() <= tolerance_ms { nearest } else { now_ms }
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_near_the_due_one_are_rounded_to_it() {
        for (now, due, expected) in [
            (7_003, None, 7_003),
            (6_001, Some(1_000), 6_000),
            (5_991, Some(1_000), 6_000),
            (6_011, Some(1_000), 6_011),
            (16_002, Some(1_000), 16_000),
            // The clock was set back, or stands still.
            (500, Some(1_000), 500),
            (1_000, Some(1_000), 1_000),
            (1_001, Some(1_000), 1_001),
        ] {
            assert_eq!(align(now, due, 5_000), expected, "{now} {due:?}");
        }
        assert_eq!(align(1_104, Some(1_000), 100), 1_104, "1 % of a short interval at most");
    }
}
