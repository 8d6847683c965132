//! Go's regular-expression dialect (RE2) on Rust's `regex` crate.
//!
//! Everything in the Prometheus world writes regular expressions as Go reads them: label matchers, relabelling, probe
//! checks. Rust's dialect differs silently in places (`\\d` is Unicode, `&&` in a class is an intersection), so
//! patterns are translated here, once, for all of them.

use regex::bytes;

/// A compiled pattern. Matching takes time linear in the input.
#[derive(Clone, Debug)]
pub struct Regexp {
    pattern: String,
    compiled: bytes::Regex,
}

#[derive(Debug, thiserror::Error)]
#[error("invalid regular expression `{pattern}`: {reason}")]
pub struct Error {
    pub pattern: String,
    pub reason: String,
}

/// Largest compiled program, in bytes: bounds what a hostile pattern such as `((a{1000}){1000})` can allocate.
const COMPILED_BYTES_MAX: usize = 10 << 20;

impl Regexp {
    /// Compiles a pattern that may match anywhere in the input.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        Self::compile(pattern, pattern)
    }

    /// Compiles a pattern that must match the whole input, as label matchers do.
    pub fn anchored(pattern: &str) -> Result<Self, Error> {
        Self::compile(pattern, &format!("^(?s:{pattern})$"))
    }

    fn compile(pattern: &str, translated: &str) -> Result<Self, Error> {
        let compiled = bytes::RegexBuilder::new(translated)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|err| Error { pattern: pattern.to_owned(), reason: err.to_string() })?;
        Ok(Self { pattern: pattern.to_owned(), compiled })
    }

    /// The pattern as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    pub fn is_match(&self, input: &[u8]) -> bool {
        self.compiled.is_match(input)
    }
}
