//! Trends: `deriv`, `predict_linear`, `double_exponential_smoothing`. Floats only.

use super::{Window, WindowCall};
use crate::eval::error::EvalError;
use crate::model::number::KahanSum;
use crate::model::{Annotation, Value};

/// A line through samples.
struct Line {
    /// Per second.
    slope: f64,
    intercept: f64,
}

/// Notes histograms that are in the way. Returns whether there are enough floats.
fn enough(call: &WindowCall<'_, '_>, window: &Window<'_>) -> bool {
    if !window.histograms.is_empty() && !window.values.is_empty() {
        call.annotate(Annotation::HistogramIgnoredInMixedRange { metric: call.metric() });
    }
    window.values.len() >= 2
}

pub(super) fn deriv(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    // Seconds from the first sample on: small numbers lose less than seconds since the epoch.
    enough(call, window).then(|| Value::Float(line(window, window.timestamps[0]).slope))
}

pub(super) fn predict_linear(call: &WindowCall<'_, '_>, window: &Window<'_>) -> Option<Value> {
    if !enough(call, window) {
        return None;
    }
    let Line { slope, intercept } = line(window, window.evaluated);
    Some(Value::Float(slope * call.parameters[0] + intercept))
}

/// Least squares, with times counted from `zero`.
fn line(window: &Window<'_>, zero: i64) -> Line {
    let first = window.values[0];
    if window.values.iter().skip(1).all(|value| *value == first) {
        if first.is_infinite() {
            return Line { slope: f64::NAN, intercept: f64::NAN };
        }
        return Line { slope: 0.0, intercept: first };
    }
    let (mut x_sum, mut y_sum) = (KahanSum::default(), KahanSum::default());
    let (mut xy_sum, mut xx_sum) = (KahanSum::default(), KahanSum::default());
    for (ts, y) in window.timestamps.iter().zip(window.values) {
        let x = ts.saturating_sub(zero) as f64 / 1_000.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * *y);
        xx_sum.add(x * x);
    }
    let n = window.values.len() as f64;
    let (x, y, xy, xx) = (x_sum.value(), y_sum.value(), xy_sum.value(), xx_sum.value());
    let slope = (xy - x * y / n) / (xx - x * x / n);
    Line { slope, intercept: y / n - slope * x / n }
}

/// Holt's linear method: a level and a trend, each smoothed by its factor.
pub(super) fn double_exponential_smoothing(
    call: &WindowCall<'_, '_>,
    window: &Window<'_>,
) -> Result<Option<Value>, EvalError> {
    let [smoothing, trending] = call.parameters;
    for (what, factor) in [("smoothing", smoothing), ("trend", trending)] {
        if factor <= 0.0 || factor >= 1.0 {
            let message = format!(
                "invalid {what} factor. Expected: 0 < {}f < 1, got: {factor:.6}",
                &what[..1]
            );
            return Err(EvalError::execution(message));
        }
    }
    if !enough(call, window) {
        return Ok(None);
    }
    let mut level = window.values[0];
    let mut trend = window.values[1] - window.values[0];
    let mut before = 0.0;
    for (place, value) in window.values.iter().enumerate().skip(1) {
        if place > 1 {
            trend = trending * (level - before) + (1.0 - trending) * trend;
        }
        before = level;
        level = smoothing * value + (1.0 - smoothing) * (level + trend);
    }
    Ok(Some(Value::Float(level)))
}
