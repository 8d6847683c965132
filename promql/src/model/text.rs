//! How names and strings are written in queries and messages, as Go's `%q` and Prometheus' grammar have it.

use std::fmt;

/// A string in double quotes with Go's escapes.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{b}' => f.write_str("\\v")?,
                control if control < ' ' || control == '\u{7f}' => {
                    write!(f, "\\x{:02x}", control as u32)?;
                }
                plain => f.write_char(plain)?,
            }
        }
        f.write_char('"')
    }
}

/// A label's name, quoted only where the grammar needs it.
pub struct LabelName<'a>(pub &'a str);

impl fmt::Display for LabelName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_label_name(self.0) { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

/// Whether a label's name can be written without quotes: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a metric's name can be written without quotes: as a label's name, with colons.
pub fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_' || first == b':')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(Quoted("a\"b\\c\nd\u{1}é").to_string(), r#""a\"b\\c\nd\x01é""#);
        assert_eq!(LabelName("service.name").to_string(), "\"service.name\"");
        assert_eq!(LabelName("job").to_string(), "job");
        assert!(
            is_metric_name("job:up:rate5m")
                && !is_label_name("a:b")
                && !is_label_name("1a")
                && !is_label_name("")
        );
    }
}
