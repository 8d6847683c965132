//! Domain names in messages (RFC 1035, 3.1 and 4.1.4) and as text (5.1).

use std::fmt::Write;

const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 255;

/// `example.com` or `example.com.` as in messages; `\.` and `\065` stand for characters inside a label.
pub(crate) fn to_wire(text: &str) -> Result<Vec<u8>, String> {
    let wrong = |why: &str| format!("query name `{text}`: {why}");
    let mut wire = Vec::with_capacity(text.len() + 2);
    let mut label: Vec<u8> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'.' if text == "." => {}
            b'.' => {
                if label.is_empty() {
                    return Err(wrong("a label is empty"));
                }
                push_label(&mut wire, &mut label);
            }
            b'\\' => {
                let rest = &bytes[at + 1..];
                match rest {
                    [a, b, c, ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => {
                        let value = u32::from(a - b'0') * 100
                            + u32::from(b - b'0') * 10
                            + u32::from(c - b'0');
                        label.push(
                            u8::try_from(value).map_err(|_| wrong("an escape is above 255"))?,
                        );
                        at += 3;
                    }
                    [escaped, ..] => {
                        label.push(*escaped);
                        at += 1;
                    }
                    [] => return Err(wrong("it ends in a backslash")),
                }
            }
            byte => label.push(byte),
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(wrong("a label is longer than 63 bytes"));
        }
        at += 1;
    }
    if !label.is_empty() {
        push_label(&mut wire, &mut label);
    }
    wire.push(0);
    if wire.len() > NAME_BYTES_MAX {
        return Err(wrong("it is longer than 255 bytes"));
    }
    Ok(wire)
}

fn push_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) {
    wire.push(label.len() as u8);
    wire.append(label);
}

/// Reads the name at `at`; gives its text, its labels in lower case for comparison, and where the message goes on.
pub(super) fn read(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut position = at;
    let mut end = None;
    let mut n_bytes = 1;
    loop {
        let length = usize::from(*message.get(position)?);
        match length & 0xc0 {
            0xc0 => {
                let low = usize::from(*message.get(position + 1)?);
                let target = (length & 0x3f) << 8 | low;
                end.get_or_insert(position + 2);
                // Pointers lead back, so that they cannot lead in a circle.
                if target >= position {
                    return None;
                }
                position = target;
            }
            0 if length == 0 => {
                let end = end.unwrap_or(position + 1);
                return Some((if text.is_empty() { ".".to_owned() } else { text }, end));
            }
            0 => {
                n_bytes += length + 1;
                if n_bytes > NAME_BYTES_MAX {
                    return None;
                }
                let label = message.get(position + 1..position + 1 + length)?;
                label.iter().for_each(|byte| push_escaped(&mut text, *byte));
                text.push('.');
                position += length + 1;
            }
            _ => return None,
        }
    }
}

/// A byte of a label as zone files write it.
fn push_escaped(text: &mut String, byte: u8) {
    match byte {
        b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => {
            text.push('\\');
            text.push(char::from(byte));
        }
        b'!'..=b'~' => text.push(char::from(byte)),
        _ => write!(text, "\\{byte:03}").expect("writing to a String cannot fail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (text, back) in [
            ("example.com", "example.com."),
            ("example.com.", "example.com."),
            (".", "."),
            ("a\\.b.c", "a\\.b.c."),
            ("\\000x", "\\000x."),
            ("_srv._tcp.x", "_srv._tcp.x."),
        ] {
            let wire = to_wire(text).unwrap();
            assert_eq!(read(&wire, 0), Some((back.to_owned(), wire.len())), "{text}");
        }
        for wrong in ["a..b", ".a", "a\\", "\\999", &"x".repeat(64), &"x.".repeat(130)] {
            assert!(to_wire(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn broken_names_are_refused() {
        let pointing = [&[1, b'a', 0, 1, b'b', 0xc0, 0][..]].concat();
        assert_eq!(read(&pointing, 3), Some(("b.a.".to_owned(), 7)));
        for wrong in [&[0xc0, 0][..], &[0xc0], &[5, b'a'], &[0x40, 0], &[1, b'a'], &[0xc0, 9, 0]] {
            assert_eq!(read(wrong, 0), None, "{wrong:?}");
        }
    }
}
