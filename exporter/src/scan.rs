//! Taking kernel text apart: lines, fields and numbers, on bytes and without allocating.
//!
//! Nothing here fails loudly: a field that is no number is `None`, and the collector decides whether that matters.

use std::borrow::Cow;

/// The lines of a file, without their line feeds.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

/// The words of a line; runs of spaces and tabs count as one separator.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// A decimal number that fits 64 bits, nothing before or after it.
pub(crate) fn u64(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for byte in field {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// A decimal number as a sample's value: integers exactly as [`u64`], else whatever Rust reads as a float.
pub(crate) fn f64(field: &[u8]) -> Option<f64> {
    match u64(field) {
        Some(number) => Some(number as f64),
        None => std::str::from_utf8(field).ok()?.parse().ok(),
    }
}

/// A number in base 16, with or without `0x`.
pub(crate) fn hex(field: &[u8]) -> Option<u64> {
    let digits = field.strip_prefix(b"0x").unwrap_or(field);
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A label value; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn text(field: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(field)
}

/// What stands before and after the first `separator`.
pub(crate) fn split_once(line: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, line)?;
    Some((&line[..at], &line[at + 1..]))
}

/// The numbers of a kernel list such as `0-3,8,10-11`, at most `LIST_MAX` of them.
pub(crate) fn list(text: &[u8]) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.trim_ascii().split(|byte| *byte == b',').filter(|part| !part.is_empty()) {
        let (first, last) = match split_once(part, b'-') {
            Some((first, last)) => (u64(first)?, u64(last)?),
            None => (u64(part)?, u64(part)?),
        };
        if first > last || last >= LIST_MAX {
            return None;
        }
        numbers.extend(first as u32..=last as u32);
    }
    Some(numbers)
}

/// More CPUs than Linux can be built for (8192); bounds what a garbled list can allocate.
const LIST_MAX: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_fields() {
        let all: Vec<Vec<&[u8]>> =
            lines(b"a  b\tc\n\n x \nlast").map(|line| fields(line).collect()).collect();
        assert_eq!(all, [vec![&b"a"[..], b"b", b"c"], vec![], vec![&b"x"[..]], vec![&b"last"[..]]]);
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn numbers() {
        for (field, number) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("1x", None),
            ("\u{ff11}", None),
        ] {
            assert_eq!(u64(field.as_bytes()), number, "{field}");
        }
        for (field, number) in
            [("-5", Some(-5.0)), ("0.25", Some(0.25)), ("x", None), ("1 2", None), ("", None)]
        {
            assert_eq!(f64(field.as_bytes()), number, "{field}");
        }
        assert_eq!(hex(b"0x1f"), Some(31));
        assert_eq!(hex(b"ffffffffffffffff0"), None);
        assert_eq!(hex(b"g"), None);
    }

    #[test]
    fn lists() {
        assert_eq!(list(b"0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(list(b"\n"), Some(vec![]));
        for garbage in [&b"3-1"[..], b"a", b"1-", b"0-4294967295", b"\xff"] {
            assert_eq!(list(garbage), None, "{garbage:?}");
        }
    }
}
