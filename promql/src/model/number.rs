//! Floats: written as Go writes them, summed with compensation.

use std::fmt;

/// Shortest decimal without an exponent, `+Inf`, `-Inf`, `NaN` (Go's `FormatFloat(v, 'f', -1, 64)`).
pub struct Plain(pub f64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (special(self.0), ordinary(self.0, &mut ryu::Buffer::new())) {
            (Some(text), _) | (None, Some(text)) => f.write_str(text),
            (None, None) => write!(f, "{}", self.0),
        }
    }
}

/// Shortest form with an exponent below 1e-4 and from 1e6 on (Go's `%g` and `%v`).
pub struct General(pub f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_exponent(self.0, -4, 6, f)
    }
}

/// As the HTTP API writes sample values: an exponent below 1e-6 and from 1e21 on.
pub struct Api(pub f64);

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ordinary(self.0, &mut ryu::Buffer::new()) {
            Some(text) => f.write_str(text),
            None => with_exponent(self.0, -6, 21, f),
        }
    }
}

impl Api {
    /// Appends it to a text: answers consist of little else.
    pub fn append_to(self, out: &mut String) {
        match ordinary(self.0, &mut ryu::Buffer::new()) {
            Some(text) => out.push_str(text),
            None => out.push_str(&self.to_string()),
        }
    }
}

/// As OpenMetrics writes bucket bounds and quantiles: always with a point or an exponent (`1.0`, `0.5`, `1e+06`).
pub struct OpenMetrics(pub f64);

impl fmt::Display for OpenMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = General(self.0).to_string();
        f.write_str(&text)?;
        if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'N' | b'I')) {
            Ok(())
        } else {
            f.write_str(".0")
        }
    }
}

/// A number that is written without an exponent in most forms, as fast as can be; `None` for what is tiny, huge or no
/// number.
fn ordinary(value: f64, buffer: &mut ryu::Buffer) -> Option<&str> {
    if value == 0.0 {
        return Some(if value.is_sign_negative() { "-0" } else { "0" });
    }
    // Within these bounds nothing else writes exponents either.
    if !(1e-5..1e16).contains(&value.abs()) {
        return None;
    }
    let text = buffer.format_finite(value);
    Some(text.strip_suffix(".0").unwrap_or(text))
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Decimal exponents below `low` or from `high` on are written with an exponent of at least two digits.
fn with_exponent(value: f64, low: i32, high: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(text) = special(value) {
        return f.write_str(text);
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    if value == 0.0 || (low..high).contains(&exponent) {
        return write!(f, "{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(f, "{mantissa}e{sign}{:02}", exponent.abs())
}

/// Reads a number as PromQL writes it: decimal, hexadecimal, octal (`017`), `Inf` and `NaN` in any case, and
/// underscores between digits.
pub fn parse(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = parse_unsigned(unsigned)?;
    Some(if negative { -value } else { value })
}

fn parse_unsigned(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    let digits = text.replace('_', "");
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return i64::from_str_radix(rest, radix)
                .ok()
                .filter(|_| !rest.starts_with(['+', '-']))
                .map(|n| n as f64);
        }
    }
    if digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
    {
        return i64::from_str_radix(&digits, 8).ok().map(|n| n as f64);
    }
    // Rust also reads "infinity" and signs; the language does not.
    if !digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    if digits.starts_with(['+', '-']) {
        return None;
    }
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A sum that carries the part its additions have rounded away (Neumaier's variant of Kahan's algorithm).
#[derive(Clone, Copy, Debug, Default)]
pub struct KahanSum {
    pub sum: f64,
    pub compensation: f64,
}

impl KahanSum {
    pub fn new(sum: f64) -> Self {
        Self { sum, compensation: 0.0 }
    }

    #[inline]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            // What was rounded away has no meaning any more.
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub fn value(&self) -> f64 {
        self.sum + self.compensation
    }
}

/// A mean that stays exact: a compensated sum, or, from the value on with which the sum would overflow, a running mean.
#[derive(Clone, Copy, Debug)]
pub struct KahanMean {
    total: KahanSum,
    count: f64,
    running: bool,
}

impl KahanMean {
    pub fn new(first: f64) -> Self {
        Self { total: KahanSum::new(first), count: 1.0, running: false }
    }

    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.running {
            let mut next = self.total;
            next.add(value);
            if !next.sum.is_infinite() {
                self.total = next;
                return;
            }
            self.running = true;
            self.total.sum /= self.count - 1.0;
            self.total.compensation /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.total.sum *= weight;
        self.total.compensation *= weight;
        self.total.add(value / self.count);
    }

    pub fn value(&self) -> f64 {
        if self.running {
            self.total.value()
        } else {
            self.total.sum / self.count + self.total.compensation / self.count
        }
    }
}

/// Go's `math.Max`: NaN wins, where Rust's `f64::max` ignores it.
pub fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: NaN wins, where Rust's `f64::min` ignores it.
pub fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_go() {
        for (value, plain, general, api) in [
            (0.0, "0", "0", "0"),
            (1.5, "1.5", "1.5", "1.5"),
            (-0.0, "-0", "-0", "-0"),
            (-0.1, "-0.1", "-0.1", "-0.1"),
            (1e6, "1000000", "1e+06", "1000000"),
            (9007199254740993.0, "9007199254740992", "9.007199254740992e+15", "9007199254740992"),
            (1e16, "10000000000000000", "1e+16", "10000000000000000"),
            (1e21, "1000000000000000000000", "1e+21", "1e+21"),
            (1e-5, "0.00001", "1e-05", "0.00001"),
            (1e-7, "0.0000001", "1e-07", "1e-07"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN", "NaN"),
        ] {
            assert_eq!(Plain(value).to_string(), plain);
            assert_eq!(General(value).to_string(), general);
            assert_eq!(Api(value).to_string(), api);
        }
        assert_eq!(OpenMetrics(1.0).to_string(), "1.0");
        assert_eq!(OpenMetrics(0.25).to_string(), "0.25");
        assert_eq!(General(1234567.0).to_string(), "1.234567e+06");
    }

    /// What is written quickly reads back, and is no longer than what the standard library writes.
    #[test]
    fn quickly_written_numbers_are_the_shortest() {
        let mut bits = 0x5eed_u64;
        for n in 0..100_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(0x1405_7b7e_f767_814f);
            // Exponents around those of numbers that are measured, and now and then any.
            let exponent = if n % 4 == 0 { bits >> 52 } else { 1_000 + (bits >> 56) % 100 };
            let value = f64::from_bits((exponent << 52) | (bits.rotate_left(17) >> 12));
            for value in [value, value.trunc(), (value * 100.0).round() / 100.0] {
                let mut buffer = ryu::Buffer::new();
                let Some(quick) = ordinary(value, &mut buffer) else { continue };
                assert_eq!(quick.parse::<f64>().unwrap().to_bits(), value.to_bits());
                assert_eq!(quick.len(), value.to_string().len(), "{quick}");
                let mut appended = String::new();
                Api(value).append_to(&mut appended);
                assert_eq!((appended.as_str(), Plain(value).to_string().as_str()), (quick, quick));
            }
        }
        // Of two that are equally near, the even digit, as in Go. (The standard library writes 1460136011657301.3.)
        for (tie, text) in [
            ("1460136011657301.25", "1460136011657301.2"),
            ("1460136011657301.75", "1460136011657301.8"),
        ] {
            assert_eq!(Api(tie.parse().unwrap()).to_string(), text);
        }
    }

    #[test]
    fn reads_numbers() {
        for (text, value) in [
            ("5", Some(5.0)),
            ("+0.5", Some(0.5)),
            ("-5e2", Some(-500.0)),
            (".5", Some(0.5)),
            ("0x1f", Some(31.0)),
            ("017", Some(15.0)),
            ("1_000", Some(1000.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Inf", Some(f64::NEG_INFINITY)),
            ("infinity", None),
            ("1__0", None),
            ("", None),
            ("1e400", None),
            ("--1", None),
        ] {
            assert_eq!(parse(text), value, "{text}");
        }
        assert!(parse("NaN").unwrap().is_nan());
    }

    #[test]
    fn sums_keep_what_additions_round_away() {
        let mut sum = KahanSum::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 2.0);
        let mut mean = KahanMean::new(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.value(), f64::MAX);
    }
}
