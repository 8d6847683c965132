//! Input as Go reads it: bytes that are no part of a character count as one U+FFFD each.

use std::{borrow::Cow, ops::Range};

/// What is matched, and the way back from positions in it to positions in the original bytes.
#[derive(Debug)]
pub(crate) struct Input<'i> {
    text: Cow<'i, str>,
    /// Positions in `text` just after each replaced byte; empty for valid UTF-8.
    replaced_ends: Vec<usize>,
}

/// A replaced byte grows from one byte to three.
const GROWTH: usize = char::REPLACEMENT_CHARACTER.len_utf8() - 1;

impl<'i> Input<'i> {
    pub(crate) fn new(bytes: &'i [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { text: Cow::Borrowed(text), replaced_ends: Vec::new() },
            Err(_) => Self::replacing(bytes),
        }
    }

    fn replacing(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len() + 16);
        let mut replaced_ends = Vec::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                text.push(char::REPLACEMENT_CHARACTER);
                replaced_ends.push(text.len());
            }
        }
        Self { text: Cow::Owned(text), replaced_ends }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn range_in_original(&self, range: Range<usize>) -> Range<usize> {
        self.original(range.start)..self.original(range.end)
    }

    fn original(&self, position: usize) -> usize {
        position - GROWTH * self.replaced_ends.partition_point(|end| *end <= position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lead_back_to_the_original() {
        let bytes = b"a\xffb\xe2\x82c";
        let input = Input::new(bytes);
        assert_eq!(input.text(), "a\u{fffd}b\u{fffd}\u{fffd}c");
        let positions: Vec<usize> = input
            .text()
            .char_indices()
            .map(|(at, _)| input.original(at))
            .chain([input.original(input.text().len())])
            .collect();
        assert_eq!(positions, [0, 1, 2, 3, 4, 5, 6]);
    }
}
