//! What the groups of one match saw, and templates that speak of them.

use std::{ops::Range, sync::Arc};

/// One match and its groups. Made by [`Regexp::captures`](crate::Regexp::captures).
#[derive(Clone, Debug)]
pub struct Captures<'i> {
    input: &'i [u8],
    /// By group number; 0 is the whole match, which is always there.
    ranges: Vec<Option<Range<usize>>>,
    group_names: Arc<[Option<String>]>,
}

/// What a `$` in a template refers to.
enum Reference<'t> {
    Number(usize),
    Name(&'t str),
}

impl<'i> Captures<'i> {
    pub(crate) fn new(
        input: &'i [u8],
        ranges: Vec<Option<Range<usize>>>,
        group_names: Arc<[Option<String>]>,
    ) -> Self {
        Self { input, ranges, group_names }
    }

    /// What group `number` matched; 0 is the whole match. `None` where it took no part or does not exist.
    pub fn get(&self, number: usize) -> Option<&'i [u8]> {
        let range = self.ranges.get(number)?.clone()?;
        Some(&self.input[range])
    }

    /// Where group `number` matched, in bytes of the input.
    pub fn range(&self, number: usize) -> Option<Range<usize>> {
        self.ranges.get(number)?.clone()
    }

    /// What the group of this name matched.
    pub fn name(&self, name: &str) -> Option<&'i [u8]> {
        let number = self.group_names.iter().position(|n| n.as_deref() == Some(name))?;
        self.get(number)
    }

    /// The template with `$1`, `$name` and `${name}` replaced by what those groups matched, as Go's `Expand` does.
    ///
    /// A name is the longest run of letters, digits and `_`, so `$1x` is the group named `1x`; groups that do not exist
    /// or took no part are empty; `$$` is one dollar sign; any other `$` stands for itself.
    pub fn expand(&self, template: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(template.len());
        self.expand_into(template, &mut out);
        out
    }

    pub(crate) fn expand_into(&self, template: &str, out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some(dollar) = rest.find('$') {
            out.extend_from_slice(&rest.as_bytes()[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push(b'$');
                rest = after;
                continue;
            }
            let Some((reference, after)) = read_reference(rest) else {
                out.push(b'$');
                continue;
            };
            rest = after;
            let group = match reference {
                Reference::Number(number) => self.get(number),
                Reference::Name(name) => self.name(name),
            };
            out.extend_from_slice(group.unwrap_or_default());
        }
        out.extend_from_slice(rest.as_bytes());
    }
}

/// Reads `name` or `{name}` at the start of `text`; gives what it refers to and what follows.
fn read_reference(text: &str) -> Option<(Reference<'_>, &str)> {
    let (braced, inner) = match text.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let end = inner.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, mut after) = inner.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced {
        after = after.strip_prefix('}')?;
    }
    let leading_zero = name.len() > 1 && name.starts_with('0');
    let reference = match name.parse::<u32>() {
        Ok(number) if !leading_zero && name.bytes().all(|b| b.is_ascii_digit()) => {
            Reference::Number(number as usize)
        }
        _ => Reference::Name(name),
    };
    Some((reference, after))
}
