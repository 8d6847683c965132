//! Upper and lower case as Go's `strings.ToUpper` and `ToLower` have it: one character becomes one, whatever stands
//! beside it. Rust maps whole texts: `ß` to `SS`, a final `Σ` to `ς`.

pub(super) fn lower(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            'İ' => 'i',
            _ => single(character, character.to_lowercase()),
        })
        .collect()
}

pub(super) fn upper(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            // Greek letters with an iota below have a single character with an iota beside.
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
                char::from_u32(character as u32 + 8).unwrap_or(character)
            }
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => {
                char::from_u32(character as u32 + 9).unwrap_or(character)
            }
            _ => single(character, character.to_uppercase()),
        })
        .collect()
}

/// What it is mapped to if that is one character, else itself.
fn single(character: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(character) } else { character }
}
