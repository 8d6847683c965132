//! Go's regular-expression dialect (RE2) on Rust's `regex` crate.
//!
//! Everything in the Prometheus world writes regular expressions as Go reads them: label matchers, relabelling, probe
//! checks. Rust's dialect differs silently in places (`\d` is Unicode, `&&` in a class is an intersection), so
//! patterns are translated here, once, for all of them.
//!
//! ```
//! use regexp::Regexp;
//!
//! let address = Regexp::anchored(r"([^:]+)(?::\d+)?")?;
//! let captures = address.captures(b"db1:5432").expect("the pattern allows a port");
//! assert_eq!(captures.expand("${1}:9100"), b"db1:9100");
//! # Ok::<(), regexp::Error>(())
//! ```
//!
//! [`Regexp`] matches, [`Captures`] holds what the groups of one match saw, [`Error`] says in Go's words what is wrong
//! with a pattern. Input that is not UTF-8 is read as Go reads it: each byte that is no part of a character counts as
//! one U+FFFD.

mod captures;
mod input;
mod translate;

use std::sync::Arc;

pub use captures::Captures;
use input::Input;

/// A compiled pattern. Matching takes time linear in the input. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Regexp {
    pattern: Arc<str>,
    compiled: regex::Regex,
    /// Names of the groups, by their numbers; group 0 is the whole match.
    group_names: Arc<[Option<String>]>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression `{pattern}`: {reason}")]
pub struct Error {
    pub pattern: String,
    /// Go's words where Go has them: ``missing closing ): `(a` ``.
    pub reason: String,
}

/// Largest compiled program, in bytes: bounds what a hostile pattern such as `((a{100}){10}\pL){9}` can allocate.
const COMPILED_BYTES_MAX: usize = 10 << 20;
/// Largest cache of one lazily built automaton, in bytes. There are a few of them for each thread that matches.
const DFA_BYTES_MAX: usize = 1 << 20;

impl Regexp {
    /// Compiles a pattern that may match anywhere in the input.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        let translated = translate::translate(pattern, translate::Dot::NotNewline)
            .map_err(|reason| Error { pattern: pattern.to_owned(), reason })?;
        Self::compile(pattern, &translated.rust, translated.group_names)
    }

    /// Compiles a pattern that must match the whole input, as label matchers and relabelling do. Here `.` also matches
    /// a newline.
    pub fn anchored(pattern: &str) -> Result<Self, Error> {
        let translated = translate::translate(pattern, translate::Dot::Everything)
            .map_err(|reason| Error { pattern: pattern.to_owned(), reason })?;
        let rust = format!(r"\A(?:{})\z", translated.rust);
        Self::compile(pattern, &rust, translated.group_names)
    }

    fn compile(pattern: &str, rust: &str, group_names: Vec<Option<String>>) -> Result<Self, Error> {
        let compiled = regex::RegexBuilder::new(rust)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(DFA_BYTES_MAX)
            // Ours is lower; each of our levels is at most two of theirs.
            .nest_limit(2 * translate::NESTING_MAX + 10)
            .build()
            .map_err(|err| Error { pattern: pattern.to_owned(), reason: reason_of(&err) })?;
        Ok(Self { pattern: pattern.into(), compiled, group_names: group_names.into() })
    }

    /// The pattern as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    pub fn is_match(&self, input: &[u8]) -> bool {
        self.compiled.is_match(Input::new(input).text())
    }

    /// The leftmost match and its groups; `None` where nothing matches.
    pub fn captures<'i>(&self, input: &'i [u8]) -> Option<Captures<'i>> {
        let read = Input::new(input);
        let found = self.compiled.captures(read.text())?;
        let ranges = (0..found.len())
            .map(|group| found.get(group).map(|m| read.range_in_original(m.range())))
            .collect();
        Some(Captures::new(input, ranges, Arc::clone(&self.group_names)))
    }

    /// Replaces every match by `template`, in which `$1` and `${name}` stand for groups (see [`Captures::expand`]).
    pub fn replace_all(&self, input: &[u8], template: &str) -> Vec<u8> {
        let read = Input::new(input);
        let mut out = Vec::with_capacity(input.len());
        let mut copied_to = 0;
        for found in self.compiled.captures_iter(read.text()) {
            let ranges: Vec<_> = (0..found.len())
                .map(|group| found.get(group).map(|m| read.range_in_original(m.range())))
                .collect();
            let whole = ranges[0].clone().expect("a match has its whole");
            out.extend_from_slice(&input[copied_to..whole.start]);
            copied_to = whole.end;
            let captures = Captures::new(input, ranges, Arc::clone(&self.group_names));
            captures.expand_into(template, &mut out);
        }
        out.extend_from_slice(&input[copied_to..]);
        out
    }

    /// How many groups there are, without the whole match.
    pub fn n_groups(&self) -> usize {
        self.group_names.len() - 1
    }
}

/// Two patterns are the same when they are written the same.
impl PartialEq for Regexp {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.compiled.as_str() == other.compiled.as_str()
    }
}

impl Eq for Regexp {}

fn reason_of(err: &regex::Error) -> String {
    match err {
        regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
        // Several lines with the translated pattern drawn; the last one says what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}
