//! `{label="value", "quoted.metric"}`.

use super::ParseError;
use super::grammar::Parser;
use super::lex::Kind;
use crate::ast::{BinaryOp, Span};
use crate::model::{METRIC_NAME, MatchOp, Matcher};

impl Parser<'_> {
    /// The matchers in braces; the brace itself is the next token.
    pub(super) fn matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.expect(&Kind::LeftBrace, "label matching", "\"{\"")?;
        let mut matchers = Vec::new();
        // The metric's name stands last, wherever it is written.
        let mut names = Vec::new();
        loop {
            if self.accept(&Kind::RightBrace).is_some() {
                matchers.extend(names);
                return Ok(matchers);
            }
            let (matcher, is_name) = self.matcher()?;
            if is_name {
                names.push(matcher);
            } else {
                matchers.push(matcher);
            }
            if self.accept(&Kind::Comma).is_none() && !self.peek_is(&Kind::RightBrace) {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
        }
    }

    /// One matcher, and whether it is a metric's name in quotes.
    fn matcher(&mut self) -> Result<(Matcher, bool), ParseError> {
        let token = self.peek()?.clone();
        let name = match token.kind {
            Kind::Identifier => self.text_of(token.span).to_owned(),
            Kind::String(name) => name,
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        let quoted = self.advance()?.kind != Kind::Identifier;
        if quoted && (self.peek_is(&Kind::Comma) || self.peek_is(&Kind::RightBrace)) {
            return Ok((Matcher::equal(METRIC_NAME, &name), true));
        }
        let op = match self.peek()?.kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::MatchesRegexp => MatchOp::Regexp,
            Kind::MatchesNotRegexp => MatchOp::NotRegexp,
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.advance()?;
        let Kind::String(value) = self.peek()?.kind.clone() else {
            return Err(self.unexpected("label matching", "string"));
        };
        let value_token = self.advance()?;
        let span = Span { start: token.span.start, end: value_token.span.end };
        Matcher::new(&name, op, &value)
            .map(|matcher| (matcher, false))
            .map_err(|err| self.error(span, format!("error parsing regexp: {}", err.reason)))
    }
}
