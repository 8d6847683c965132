//! The points of a series line: `1 2 _ 5+1x10 stale {{count:3}}x2`.

use super::histogram;
use crate::model::{Histogram, duration, number, stale_marker};

/// Most points one line may expand to: a typing error must not fill the memory.
const POINTS_MAX: usize = 1_000_000;

#[derive(Clone, Debug)]
pub(super) enum Point {
    Absent,
    Float(f64),
    Histogram { histogram: Histogram, with_hint: bool },
}

/// Cuts at blanks, but not inside `{{…}}`.
fn items(text: &str) -> Result<Vec<&str>, String> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut end = 0;
        let mut braces = 0usize;
        for (at, character) in rest.char_indices() {
            match character {
                '{' => braces += 1,
                '}' => braces = braces.saturating_sub(1),
                c if c.is_whitespace() && braces == 0 => break,
                _ => {}
            }
            end = at + character.len_utf8();
        }
        if braces > 0 {
            return Err("histogram is not closed".to_owned());
        }
        items.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Ok(items)
}

pub(super) fn points(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    for item in items(text)? {
        if item.starts_with("{{") {
            histograms(item, &mut points)?;
        } else if let Some(times) = item.strip_prefix("_x") {
            points.extend(std::iter::repeat_n(Point::Absent, count(times)?));
        } else if item == "_" {
            points.push(Point::Absent);
        } else if item == "stale" {
            points.push(Point::Float(stale_marker()));
        } else {
            floats(item, &mut points)?;
        }
        if points.len() > POINTS_MAX {
            return Err(format!("more than {POINTS_MAX} points in a line"));
        }
    }
    Ok(points)
}

fn count(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| format!("bad repetition {text}"))?;
    if count > POINTS_MAX { Err(format!("repetition {count} is too long")) } else { Ok(count) }
}

/// The length of a number at the beginning of a text, with its sign.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let word = text[at..].to_ascii_lowercase();
    if word.starts_with("inf") || word.starts_with("nan") {
        return at + 3;
    }
    while let Some(byte) = bytes.get(at) {
        let exponent_sign = matches!(byte, b'+' | b'-') && matches!(bytes[at - 1], b'e' | b'E');
        if !(byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E') || exponent_sign) {
            break;
        }
        at += 1;
    }
    at
}

fn float(text: &str) -> Result<f64, String> {
    let bad = || format!("bad number {text}");
    let unsigned = text.trim_start_matches(['+', '-']);
    let value = match number::parse(unsigned) {
        Some(value) => value,
        None => unsigned.parse().map_err(|_| bad())?,
    };
    Ok(if text.starts_with('-') { -value } else { value })
}

/// `5`, `5x3` (four times), `5+2x3`, `5-2x3`.
fn floats(item: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let (base, rest) = item.split_at(number_length(item));
    let base = float(base)?;
    if rest.is_empty() {
        points.push(Point::Float(base));
        return Ok(());
    }
    let (increment, times) = match rest.strip_prefix('x') {
        Some(times) => (0.0, times),
        None => {
            let (increment, rest) = rest.split_at(number_length(rest));
            (
                float(increment)?,
                rest.strip_prefix('x').ok_or_else(|| format!("repetition missing in {item}"))?,
            )
        }
    };
    let mut value = base;
    for _ in 0..=count(times)? {
        points.push(Point::Float(value));
        value += increment;
    }
    Ok(())
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`, `{{…}}-{{…}}x3`.
fn histograms(item: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let close = item.find("}}").ok_or("histogram is not closed")? + 2;
    let (base, rest) = (&item[..close], &item[close..]);
    let (base, with_hint) = histogram::parse(base)?;
    if rest.is_empty() {
        points.push(Point::Histogram { histogram: base, with_hint });
        return Ok(());
    }
    if let Some(times) = rest.strip_prefix('x') {
        let point = Point::Histogram { histogram: base, with_hint };
        points.extend(std::iter::repeat_n(point, count(times)? + 1));
        return Ok(());
    }
    let subtract = rest.starts_with('-');
    let rest = &rest[1..];
    let close = rest.find("}}").ok_or("increment is not closed")? + 2;
    let (increment, with_hint) = histogram::parse(&rest[..close])?;
    let times =
        rest[close..].strip_prefix('x').ok_or_else(|| format!("repetition missing in {item}"))?;
    let mut value = base;
    for _ in 0..=count(times)? {
        points.push(Point::Histogram { histogram: value.clone(), with_hint });
        let combined = if subtract { value.sub(&increment) } else { value.add(&increment) };
        combined.map_err(|err| err.to_string())?;
    }
    Ok(())
}

/// When samples began to count, as offsets from their times: `_ -30s -1m+10sx3`.
pub(super) fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for item in items(text)? {
        if let Some(times) = item.strip_prefix("_x") {
            offsets.extend(std::iter::repeat_n(None, count(times)?));
            continue;
        }
        if item == "_" {
            offsets.push(None);
            continue;
        }
        let (item, times) = match item.rsplit_once('x') {
            Some((item, times)) => (item, count(times)? + 1),
            None => (item, 1),
        };
        // A second sign begins the increment.
        let cut = item
            .char_indices()
            .skip(1)
            .find(|(_, c)| matches!(c, '+' | '-'))
            .map_or(item.len(), |(at, _)| at);
        let mut offset = signed(&item[..cut])?;
        let increment = if cut < item.len() { signed(&item[cut..])? } else { 0 };
        for _ in 0..times {
            offsets.push(Some(offset));
            offset += increment;
        }
    }
    Ok(offsets)
}

fn signed(text: &str) -> Result<i64, String> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let ms = duration::parse(unsigned).map_err(|err| err.to_string())?;
    Ok(if text.starts_with('-') { -ms } else { ms })
}
