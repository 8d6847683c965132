//! Durations and sizes in the forms that `blackbox_exporter`'s file allows, which are wider than Prometheus' own.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use service::units::{Span, UnitError};

/// A duration as Prometheus (`1d12h`) or Go (`1.5s`) writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl FromStr for GoDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Ok(span) = text.parse::<Span>() {
            return Ok(Self(span.0));
        }
        go_seconds(text)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Self)
            .ok_or_else(|| UnitError::Duration { text: text.to_owned() })
    }
}

/// The grammar of Go's `time.ParseDuration`, without the sign.
fn go_seconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters])?;
        seconds += number * unit.1;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(seconds)
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Span(self.0))
    }
}

/// A number of bytes in which, as in Go's `Base2Bytes`, both `10MB` and `10MiB` are 10 × 1024 × 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base2Bytes(pub u64);

const SIZE_UNITS: [(&str, u32); 5] = [("T", 40), ("G", 30), ("M", 20), ("K", 10), ("", 0)];

impl FromStr for Base2Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size { text: text.to_owned() };
        let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let unit = text[digits..].trim();
        let prefix = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B')).unwrap_or(unit);
        let (_, shift) = SIZE_UNITS.iter().find(|(name, _)| *name == prefix).ok_or_else(wrong)?;
        match text[..digits].parse::<u64>() {
            Ok(whole) => whole.checked_mul(1 << shift).map(Self).ok_or_else(wrong),
            Err(_) => {
                let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
                // Saturates; a limit of 2^64 bytes is none.
                Ok(Self((number * f64::from(*shift).exp2()) as u64))
            }
        }
    }
}

impl fmt::Display for Base2Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, shift) in SIZE_UNITS {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) && shift > 0 {
                return write!(f, "{}{name}iB", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl<'de> Deserialize<'de> for Base2Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Base2Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_durations() {
        for (text, ms) in [
            ("5s", 5000),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("0", 0),
            ("100us", 0),
        ] {
            let got = text.parse::<GoDuration>().unwrap().0;
            assert_eq!(got.as_millis(), ms, "{text}");
        }
        for text in ["", "5", "s", "-5s", "1x", "1.2.3s"] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        for (text, bytes) in [
            ("10MB", 10 << 20),
            ("10MiB", 10 << 20),
            ("1KB", 1024),
            ("0", 0),
            ("7", 7),
            ("1.5K", 1536),
        ] {
            assert_eq!(text.parse::<Base2Bytes>().unwrap().0, bytes, "{text}");
        }
        for text in ["", "MB", "-1", "1XB", "99999999999TiB"] {
            assert!(text.parse::<Base2Bytes>().is_err(), "{text}");
        }
        assert_eq!(Base2Bytes(10 << 20).to_string(), "10MiB");
    }
}
