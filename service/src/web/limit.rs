//! The `rate_limit` section: a token bucket over all requests, as exporter-toolkit has it.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Holds up to `burst` tokens and gains one each `interval`; a request takes one.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    burst: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        let state = State { tokens: f64::from(burst), filled_at: now };
        Self { interval, burst, state: Mutex::new(state) }
    }

    pub(super) fn is_like(&self, interval: Duration, burst: u32) -> bool {
        (self.interval, self.burst) == (interval, burst)
    }

    /// Takes a token; `false` when there is none.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock().expect("no holder panics");
        let elapsed = now.saturating_duration_since(state.filled_at);
        let gained = elapsed.as_secs_f64() / self.interval.as_secs_f64();
        state.tokens = (state.tokens + gained).min(f64::from(self.burst));
        state.filled_at = state.filled_at.max(now);
        if state.tokens < 1.0 {
            return false;
        }
        state.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_each_interval() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let bucket = Bucket::new(Duration::from_millis(100), 2, start);
        let taken: Vec<bool> =
            [0, 0, 0, 50, 100, 100, 1000, 1000, 1000].map(|ms| bucket.take(at(ms))).to_vec();
        assert_eq!(taken, [true, true, false, false, true, false, true, true, false]);
        assert!(bucket.is_like(Duration::from_millis(100), 2));
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let start = Instant::now();
        let bucket = Bucket::new(Duration::from_secs(1), 1, start + Duration::from_secs(10));
        assert!(bucket.take(start));
        assert!(!bucket.take(start));
    }
}
