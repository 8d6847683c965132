//! Text to tree, with Prometheus' messages about what is wrong and where.
//!
//! A Pratt parser over tokens: linear in the query's length, and bounded in the tree's depth ([`DEPTH_MAX`]), because
//! everything behind it walks the tree recursively.

mod check;
mod duration;
mod grammar;
mod lex;
mod matchers;
mod operators;
mod selectors;
pub(crate) mod unquote;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::ast::{Expr, Span, VectorSelector};
use crate::model::Matcher;

/// Longest query accepted, in bytes. Real ones stay far below; generated ones come near.
pub const QUERY_BYTES_MAX: usize = 64 << 10;

/// Deepest tree accepted. Every operator of a chain such as `a or b or c` adds a level.
pub const DEPTH_MAX: usize = 200;

/// Which parts of the language beyond the stable one are understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Functions and aggregations whose meaning may still change.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub extended_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
}

impl Features {
    pub const ALL: Self =
        Self { experimental_functions: true, extended_selectors: true, fill_modifiers: true };
}

/// What is wrong with a query and where: `1:5: parse error: unexpected end of input`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// `line:column`, from 1.
    pub position: String,
    pub message: String,
    pub span: Span,
}

impl ParseError {
    pub(crate) fn new(text: &str, span: Span, message: impl Into<String>) -> Self {
        // An empty text has no place to point at.
        let position =
            if text.is_empty() { "unknown position".to_owned() } else { span.position(text) };
        Self { position, message: message.into(), span }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.position, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Parses and type-checks an expression.
pub fn parse(text: &str, features: Features) -> Result<Expr, ParseError> {
    check_length(text)?;
    let mut parser = grammar::Parser::new(text, features);
    let expr = parser.whole_expression()?;
    check::check(&expr, text)?;
    Ok(expr)
}

/// Parses a series selector such as `up{job="node"}`, as `match[]` parameters hold it.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    check_length(text)?;
    let mut parser = grammar::Parser::new(text, Features::default());
    let selector: VectorSelector = parser.whole_selector()?;
    let expr = Expr::Selector(Box::new(selector));
    check::check(&expr, text)?;
    let Expr::Selector(selector) = expr else { unreachable!("built as a selector above") };
    Ok(selector.matchers)
}

/// The labels of a series as test scripts write them: a selector whose conditions are all equalities.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn parse_series_labels(text: &str) -> Result<crate::model::Labels, ParseError> {
    let selector = grammar::Parser::new(text, Features::default()).whole_selector()?;
    let pairs = selector.matchers.iter().map(|matcher| (matcher.name(), matcher.value()));
    crate::model::Labels::from_pairs(pairs)
        .map_err(|err| ParseError::new(text, selector.span, err.to_string()))
}

fn check_length(text: &str) -> Result<(), ParseError> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("query is {} bytes long, the limit is {QUERY_BYTES_MAX}", text.len());
        return Err(ParseError::new(text, Span::default(), message));
    }
    Ok(())
}
