//! Quantiles of plain values.

use std::cmp::Ordering;

/// Whether a quantile parameter deserves a warning.
pub(super) fn is_outside(q: f64) -> bool {
    !(0.0..=1.0).contains(&q)
}

/// NaN below everything.
pub(super) fn nan_first(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The `q`-quantile, interpolated between neighbours. Sorts the values. NaN for none or a NaN `q`, infinities for
/// `q` outside 0 to 1.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.25, &mut [1.0, 2.0]), 1.25);
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN]), 1.0);
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan() && quantile(0.5, &mut []).is_nan());
        assert!(is_outside(f64::NAN) && is_outside(1.1) && !is_outside(0.0));
    }
}
