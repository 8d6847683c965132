//! Values between samples.

use crate::model::histogram::Incompatible;
use crate::model::{Histogram, HistogramSample};

/// An end of a range: a sample, or a time between a sample and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Sample(usize),
    Between { before: usize, time: i64 },
}

impl Edge {
    /// The first sample that counts from this end on.
    pub(super) fn first(self) -> usize {
        match self {
            Self::Sample(at) | Self::Between { before: at, .. } => at,
        }
    }

    /// The last sample that counts up to this end.
    pub(super) fn last(self) -> usize {
        match self {
            Self::Sample(at) => at,
            Self::Between { before, .. } => before + 1,
        }
    }
}

fn part(before: i64, time: i64, after: i64) -> f64 {
    (time - before) as f64 / (after - before) as f64
}

/// A float at an edge. Across a reset a counter is taken to have risen from zero.
pub(super) fn between_floats(times: &[i64], values: &[f64], edge: Edge, is_counter: bool) -> f64 {
    match edge {
        Edge::Sample(at) => values[at],
        Edge::Between { before, time } => {
            let (mut a, b) = (values[before], values[before + 1]);
            if is_counter && b < a {
                a = 0.0;
            }
            a + (b - a) * part(times[before], time, times[before + 1])
        }
    }
}

/// A histogram at an edge. Across a reset a counter is taken to have risen from zero.
pub(super) fn between_histograms(
    samples: &[HistogramSample],
    edge: Edge,
    is_reset_behind: &dyn Fn(usize) -> bool,
) -> Result<Histogram, Incompatible> {
    let (before, time) = match edge {
        Edge::Sample(at) => return Ok(Histogram::clone(&samples[at].value)),
        Edge::Between { before, time } => (before, time),
    };
    let (a, b) = (&samples[before], &samples[before + 1]);
    if a.value.is_custom() != b.value.is_custom() {
        return Err(Incompatible);
    }
    let part = part(a.ts, time, b.ts);
    let mut value = Histogram::clone(&b.value);
    if is_reset_behind(before) {
        value.mul(part);
    } else {
        let hint = value.counter_reset;
        value.sub(&a.value)?;
        value.mul(part);
        value.add(&a.value)?;
        value.counter_reset = hint;
    }
    Ok(value)
}
