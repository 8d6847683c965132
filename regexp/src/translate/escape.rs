//! Everything that begins with a backslash.

/// What an escape outside of a class means.
pub(super) enum Escape<'p> {
    Char(char),
    /// `\Q…\E`
    Quoted(&'p str),
    /// A place, not a character; in Rust's dialect.
    Assertion(&'static str),
    /// A set of characters: what stands between brackets in Rust's dialect.
    Class(String),
}

/// Reads the escape at the start of `text` and its length in bytes.
pub(super) fn read(text: &str) -> Result<(Escape<'_>, usize), String> {
    let assertion = match text.as_bytes().get(1) {
        Some(b'A') => Some(r"\A"),
        Some(b'z') => Some(r"\z"),
        Some(b'b') => Some(r"(?-u:\b)"),
        Some(b'B') => Some(r"(?-u:\B)"),
        _ => None,
    };
    if let Some(rust) = assertion {
        return Ok((Escape::Assertion(rust), 2));
    }
    if let Some(quoted) = text.strip_prefix(r"\Q") {
        return Ok(match quoted.find(r"\E") {
            Some(end) => (Escape::Quoted(&quoted[..end]), end + 4),
            None => (Escape::Quoted(quoted), text.len()),
        });
    }
    if let Some((set, length)) = read_class(text)? {
        return Ok((Escape::Class(set), length));
    }
    let (c, length) = read_char(text)?;
    Ok((Escape::Char(c), length))
}

/// Reads `\d`, `\pN`, `\p{Greek}` and their like: the set, to stand between brackets, and the length.
pub(super) fn read_class(text: &str) -> Result<Option<(String, usize)>, String> {
    let perl = match text.as_bytes().get(1) {
        Some(b'd') => "0-9",
        Some(b'D') => "[^0-9]",
        // Without the vertical tab, as in Perl of old.
        Some(b's') => r"\t\n\x0C\r\x20",
        Some(b'S') => r"[^\t\n\x0C\r\x20]",
        Some(b'w') => "0-9A-Za-z_",
        Some(b'W') => "[^0-9A-Za-z_]",
        Some(b'p' | b'P') => return read_property(text).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((perl.to_owned(), 2)))
}

fn read_property(text: &str) -> Result<(String, usize), String> {
    let mut negated = text.starts_with(r"\P");
    let after = &text[2..];
    let invalid = |upto: usize| Err(format!("invalid character class range: `{}`", &text[..upto]));
    let Some(first) = after.chars().next() else { return invalid(2) };
    let (name, length) = if first == '{' {
        let Some(end) = after.find('}') else { return invalid(text.len()) };
        (&after[1..end], 2 + end + 1)
    } else {
        (&after[..first.len_utf8()], 2 + first.len_utf8())
    };
    let name = match name.strip_prefix('^') {
        Some(rest) if length > 3 => {
            negated = !negated;
            rest
        }
        _ => name,
    };
    // Go knows general categories and scripts by name; properties with values are Rust's alone.
    let known = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_- ".contains(&b))
        && regex::Regex::new(&format!(r"\p{{{name}}}")).is_ok();
    if !known {
        return invalid(length);
    }
    // The negation stands in brackets of its own, so that case folding comes first, as in Go.
    let set = if negated { format!(r"[^\p{{{name}}}]") } else { format!(r"\p{{{name}}}") };
    Ok((set, length))
}

/// Reads an escape that stands for one character, in or outside of a class; gives it and its length.
pub(super) fn read_char(text: &str) -> Result<(char, usize), String> {
    let Some(c) = text[1..].chars().next() else {
        return Err("trailing backslash at end of expression: ``".to_owned());
    };
    let end = 1 + c.len_utf8();
    let simple = match c {
        'a' => '\x07',
        'f' => '\x0C',
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'v' => '\x0B',
        'x' => return read_hexadecimal(text),
        // A single digit other than 0 would be a reference to a group, which this family of engines does not have.
        '1'..='7' if !text[end..].starts_with(|next: char| ('0'..='7').contains(&next)) => {
            return invalid(text, end);
        }
        '0'..='7' => return Ok(read_octal(text)),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return invalid(text, end),
    };
    Ok((simple, end))
}

/// Up to three octal digits.
fn read_octal(text: &str) -> (char, usize) {
    let digits = text[1..].bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
    let value = u32::from_str_radix(&text[1..=digits], 8).expect("octal digits only");
    (char::from_u32(value).expect("0o777 is a character"), 1 + digits)
}

/// `\x7F` or `\x{10FFFF}`.
fn read_hexadecimal(text: &str) -> Result<(char, usize), String> {
    let after = &text[2..];
    let (digits, length) = match after.strip_prefix('{') {
        Some(inner) => match inner.find('}') {
            Some(end) => (&inner[..end], end + 4),
            None => return invalid(text, text.len()),
        },
        None => match after.get(..2) {
            Some(two) => (two, 4),
            None => return invalid(text, text.len()),
        },
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return invalid(text, length);
    }
    // Surrogates are no characters: Go lets them be written, and nothing ever matches them.
    match u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) {
        Some(c) => Ok((c, length)),
        None => invalid(text, length),
    }
}

fn invalid<T>(text: &str, length: usize) -> Result<T, String> {
    Err(format!("invalid escape sequence: `{}`", &text[..length]))
}
