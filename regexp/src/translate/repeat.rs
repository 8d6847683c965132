//! Repetitions: `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`.

use std::fmt::Write;

/// How often something may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Star,
    Plus,
    Optional,
    Counted {
        min: u32,
        /// `None`: as often as one likes.
        max: Option<u32>,
    },
}

impl Repeat {
    pub(super) fn of_operator(operator: char) -> Self {
        match operator {
            '*' => Self::Star,
            '+' => Self::Plus,
            _ => Self::Optional,
        }
    }

    /// Reads `{n}`, `{n,}` or `{n,m}` and its length; `None` where the brace is only a brace.
    pub(super) fn read(text: &str) -> Option<(Self, usize)> {
        let inner = text.strip_prefix('{')?;
        let (min, rest) = read_number(inner)?;
        let (max, rest) = match rest.strip_prefix(',') {
            None => (Some(min), rest),
            Some(rest) if rest.starts_with('}') => (None, rest),
            Some(rest) => {
                let (max, rest) = read_number(rest)?;
                (Some(max), rest)
            }
        };
        let rest = rest.strip_prefix('}')?;
        Some((Self::Counted { min, max }, text.len() - rest.len()))
    }

    /// How many copies it asks for at least, as Go counts them.
    pub(super) fn copies(self) -> u32 {
        match self {
            Self::Star | Self::Plus | Self::Optional => 1,
            Self::Counted { min, max } => max.unwrap_or(min).max(1),
        }
    }

    /// `{0}` and `{0,0}`: what is inside costs nothing.
    pub(super) fn is_never(self) -> bool {
        matches!(self, Self::Counted { max: Some(0), .. })
    }

    pub(super) fn is_valid(self, count_max: u32) -> bool {
        match self {
            Self::Star | Self::Plus | Self::Optional => true,
            Self::Counted { min, max } => {
                min <= count_max && max.is_none_or(|max| max <= count_max && min <= max)
            }
        }
    }

    pub(super) fn write(self, out: &mut String) {
        match self {
            Self::Star => out.push('*'),
            Self::Plus => out.push('+'),
            Self::Optional => out.push('?'),
            Self::Counted { min, max: Some(max) } => {
                write!(out, "{{{min},{max}}}").expect("writing to a String cannot fail");
            }
            Self::Counted { min, max: None } => {
                write!(out, "{{{min},}}").expect("writing to a String cannot fail");
            }
        }
    }
}

/// Reads a number without leading zeros. Numbers too large to hold become ones that are refused later.
fn read_number(text: &str) -> Option<(u32, &str)> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(n_digits);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}
