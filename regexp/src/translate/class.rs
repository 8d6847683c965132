//! Classes in brackets: `[^a-z[:digit:]\pL]`.

use super::{escape, write_char};

/// Names that Go knows between `[:` and `:]`; Rust knows the same ones with the same meaning.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Translates the class at the start of `text`; gives it in Rust's dialect and its length in the original.
pub(super) fn translate(text: &str) -> Result<(String, usize), String> {
    let mut out = String::from("[");
    let mut rest = &text[1..];
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    // A `]` that comes first stands for itself.
    while !rest.starts_with(']') || first {
        first = false;
        rest = translate_item(text, rest, &mut out)?;
    }
    out.push(']');
    Ok((out, text.len() - rest.len() + 1))
}

/// Takes one named set, one range or one character; gives what follows.
fn translate_item<'p>(class: &str, rest: &'p str, out: &mut String) -> Result<&'p str, String> {
    if let Some(end) = rest.strip_prefix("[:").and_then(|inner| inner.find(":]")) {
        let name = &rest[2..2 + end];
        let whole = &rest[..end + 4];
        if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(format!("invalid character class range: `{whole}`"));
        }
        out.push_str(&format!("[{whole}]"));
        return Ok(&rest[whole.len()..]);
    }
    if rest.starts_with('\\')
        && let Some((set, length)) = escape::read_class(rest)?
    {
        out.push_str(&set);
        return Ok(&rest[length..]);
    }
    let (low, after_low) = read_char(class, rest)?;
    // A `-` just before the end stands for itself.
    let (high, after) = match after_low.strip_prefix('-') {
        Some(after_dash) if !after_dash.is_empty() && !after_dash.starts_with(']') => {
            read_char(class, after_dash)?
        }
        _ => (low, after_low),
    };
    if high < low {
        let range = &rest[..rest.len() - after.len()];
        return Err(format!("invalid character class range: `{range}`"));
    }
    write_char(out, low);
    if high != low {
        out.push('-');
        write_char(out, high);
    }
    Ok(after)
}

fn read_char<'p>(class: &str, rest: &'p str) -> Result<(char, &'p str), String> {
    match rest.chars().next() {
        None => Err(format!("missing closing ]: `{class}`")),
        Some('\\') => {
            let (c, length) = escape::read_char(rest)?;
            Ok((c, &rest[length..]))
        }
        Some(c) => Ok((c, &rest[c.len_utf8()..])),
    }
}
