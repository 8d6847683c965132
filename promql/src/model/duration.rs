//! Durations as Prometheus writes them: `1h30m`, units in falling order, whole numbers.

use std::fmt;

/// Unit and its length in milliseconds, longest first. A year has 365 days.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    #[error("empty duration string")]
    Empty,
    #[error("not a valid duration string: {}", super::text::Quoted(text))]
    Malformed { text: String },
    #[error("duration out of range")]
    OutOfRange,
}

/// Longest duration that can be written: Go keeps durations as 64-bit nanoseconds (292 years).
pub const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// Reads a duration such as `1h30m`, `500ms` or `0`; returns milliseconds.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text == "0" {
        return Ok(0);
    }
    let malformed = || DurationError::Malformed { text: text.to_owned() };
    let mut rest = text;
    let mut total: i64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n_letters = rest[n_digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (digits, unit) = (&rest[..n_digits], &rest[n_digits..n_digits + n_letters]);
        if digits.is_empty() {
            return Err(malformed());
        }
        // The iterator only moves forward: units fall and none comes twice.
        let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        let count: i64 = digits.parse().map_err(|_| DurationError::OutOfRange)?;
        total = count
            .checked_mul(*unit_ms)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= DURATION_MS_MAX)
            .ok_or(DurationError::OutOfRange)?;
        rest = &rest[n_digits + n_letters..];
    }
    Ok(total)
}

/// Writes milliseconds as a duration; weeks and years only where nothing remains (`10d`, not `1w3d`).
pub struct Duration(pub i64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (unit, unit_ms) in UNITS {
            let unit_ms = unit_ms.unsigned_abs();
            let only_whole = matches!(unit, "y" | "w");
            if only_whole && !rest.is_multiple_of(unit_ms) {
                continue;
            }
            if rest >= unit_ms {
                write!(f, "{}{unit}", rest / unit_ms)?;
                rest %= unit_ms;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, ms) in [
            ("0", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1y2w3d4h5m6s7ms", 33_019_506_007),
            ("500ms", 500),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
        for text in ["5", "m", "5m1h", "5m5m", "1.5h", "5x", "-5m", "5 m"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("300y"), Err(DurationError::OutOfRange));
        assert_eq!(parse(""), Err(DurationError::Empty));
        for (ms, text) in [
            (0, "0s"),
            (5_400_000, "1h30m"),
            (864_000_000, "10d"),
            (604_800_000, "1w"),
            (-1_500, "-1s500ms"),
        ] {
            assert_eq!(Duration(ms).to_string(), text);
        }
    }
}
