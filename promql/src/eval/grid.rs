//! Evaluation times.

/// Times at which an expression is evaluated: `start`, `start + step`, … in milliseconds. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub start: i64,
    pub step: i64,
    pub len: usize,
}

impl Grid {
    pub fn instant(ts: i64) -> Self {
        Self { start: ts, step: 1, len: 1 }
    }

    /// From `start` to `end`, both included where `end` is on the grid.
    pub fn range(start: i64, end: i64, step: i64) -> Self {
        let steps =
            if end > start && step > 0 { end.abs_diff(start) / step.unsigned_abs() } else { 0 };
        Self { start, step: step.max(1), len: usize::try_from(steps).unwrap_or(usize::MAX - 1) + 1 }
    }

    #[inline]
    pub fn time(&self, place: usize) -> i64 {
        // A time on the grid fits, even where the product on the way does not.
        self.start.wrapping_add(self.step.wrapping_mul(place as i64))
    }

    pub fn last(&self) -> i64 {
        self.time(self.len - 1)
    }
}
