//! Escapes in strings, as in Go.

/// Resolves escapes. Single-quoted strings may hold `\'`, double-quoted ones `\"`; the value must be UTF-8.
pub(crate) fn unescape(inner: &str, quote: char) -> Result<String, String> {
    if !inner.contains('\\') {
        return Ok(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let Some(escape) = rest.chars().next() else {
            return Err("escape sequence not terminated".to_owned());
        };
        let after = &rest[escape.len_utf8()..];
        let simple = match escape {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            '\'' | '"' if escape == quote => Some(u8::try_from(escape).unwrap_or(b'"')),
            _ => None,
        };
        if let Some(byte) = simple {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let (digits, radix) = match escape {
            'x' => (digits(after, 2, 16), 16),
            'u' => (digits(after, 4, 16), 16),
            'U' => (digits(after, 8, 16), 16),
            '0'..='7' => (digits(rest, 3, 8), 8),
            other => {
                return Err(format!("unknown escape sequence U+{:04X} '{other}'", other as u32));
            }
        };
        let Some(digits) = digits else {
            return Err("illegal character in escape sequence".to_owned());
        };
        let value = u32::from_str_radix(digits, radix)
            .map_err(|_| "escape sequence is too large".to_owned())?;
        if matches!(escape, 'u' | 'U') {
            let Some(character) = char::from_u32(value) else {
                return Err("escape sequence is an invalid Unicode code point".to_owned());
            };
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &after[digits.len()..];
        } else {
            let byte = u8::try_from(value).map_err(|_| "octal escape value over 255".to_owned())?;
            bytes.push(byte);
            rest = if radix == 8 { &rest[digits.len()..] } else { &after[digits.len()..] };
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "string is not valid UTF-8".to_owned())
}

fn digits(text: &str, count: usize, radix: u32) -> Option<&str> {
    let digits = text.get(..count)?;
    digits.chars().all(|digit| digit.is_digit(radix)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(
            unescape(r#"a\n\t\\\"\x41\u00e9\U0001F600\101"#, '"').unwrap(),
            "a\n\t\\\"Aé😀A"
        );
        assert_eq!(unescape(r"\'", '\'').unwrap(), "'");
        assert_eq!(unescape(r"\xc3\xa9", '"').unwrap(), "é");
        for bad in [r"\'", r"\q", r"\x4", r"\ud800", r"\777", r"\xff", r"\"] {
            assert!(unescape(bad, '"').is_err(), "{bad}");
        }
    }
}
