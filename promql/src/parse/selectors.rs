//! Selectors and what modifies them: `[5m]`, `[30m:1m]`, `offset`, `@`, `anchored`, `smoothed`.

use super::ParseError;
use super::grammar::Parser;
use super::lex::Kind;
use crate::ast::{
    At, BinaryOp, Expr, Extension, RangeSelector, Shift, Span, Subquery, VectorSelector,
};
use crate::model::{METRIC_NAME, Matcher};

const OFFSET_NEEDS: &str = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
const AT_NEEDS: &str = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// Whether the token behind the next one opens an argument list.
    pub(super) fn argument_follows(&self) -> bool {
        self.kind_after(1) == Some(&Kind::LeftParen)
    }

    pub(super) fn selector(&mut self) -> Result<VectorSelector, ParseError> {
        let token = self.peek()?.clone();
        let name = match token.kind {
            Kind::Identifier | Kind::MetricIdentifier => {
                self.advance()?;
                Some(Box::<str>::from(self.text_of(token.span)))
            }
            Kind::LeftBrace => None,
            _ => return Err(self.unexpected("", "")),
        };
        let mut matchers =
            if self.peek_is(&Kind::LeftBrace) { self.matchers()? } else { Vec::new() };
        let span = Span { end: self.previous_end(), ..token.span };
        if let Some(name) = &name {
            if let Some(twice) = matchers.iter().find(|matcher| matcher.name() == METRIC_NAME) {
                let message = format!(
                    "metric name must not be set twice: {} or {}",
                    crate::model::text::Quoted(name),
                    crate::model::text::Quoted(twice.value())
                );
                return Err(self.error(span, message));
            }
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok(VectorSelector { name, matchers, shift: Shift::default(), extension: None, span })
    }

    pub(super) fn modifier_follows(&self) -> bool {
        self.peek_is(&Kind::LeftBracket)
            || self.peek_is(&Kind::At)
            || matches!(self.peek_word().as_deref(), Some("offset" | "anchored" | "smoothed"))
    }

    /// Applies the modifier that comes next.
    pub(super) fn modified(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        if self.peek_is(&Kind::LeftBracket) {
            return self.bracket(expr);
        }
        let word = self.peek_word();
        self.advance()?;
        match word.as_deref() {
            Some("offset") => self.offset(&mut expr)?,
            Some("anchored") => self.extension(&mut expr, Extension::Anchored)?,
            Some(_) => self.extension(&mut expr, Extension::Smoothed)?,
            None => self.at_modifier(&mut expr)?,
        }
        Ok(expr)
    }

    fn bracket(&mut self, expr: Expr) -> Result<Expr, ParseError> {
        self.advance()?;
        let range = self.positive_duration()?;
        let subquery = self.accept(&Kind::Colon).is_some();
        let step = if subquery && !self.peek_is(&Kind::RightBracket) {
            Some(self.positive_duration()?)
        } else {
            None
        };
        let close = self.expect(&Kind::RightBracket, "subquery or range selector", "\"]\"")?;
        let span = expr.span().to(close.span);
        if subquery {
            return Ok(Expr::Subquery(Box::new(Subquery {
                expr,
                range,
                step,
                shift: Shift::default(),
                span,
            })));
        }
        let Expr::Selector(selector) = expr else {
            return Err(self.error(expr.span(), "ranges only allowed for vector selectors"));
        };
        if selector.shift.offset.is_some() {
            return Err(self.error(selector.span, "no offset modifiers allowed before range"));
        }
        if selector.shift.at.is_some() {
            return Err(self.error(selector.span, "no @ modifiers allowed before range"));
        }
        Ok(Expr::Range(Box::new(RangeSelector { selector: *selector, range, span })))
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        let offset = self.offset_duration()?;
        let span = expr.span();
        let end = self.previous_end();
        let Some((shift, whole)) = shift_of(expr) else {
            return Err(self.error(span, OFFSET_NEEDS));
        };
        whole.end = end;
        if shift.offset.replace(offset).is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        Ok(())
    }

    fn at_modifier(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        let span = expr.span();
        let word = self.peek_word();
        let at = match word.as_deref() {
            Some(preprocessor @ ("start" | "end")) if self.argument_follows() => {
                self.advance()?;
                self.expect(&Kind::LeftParen, "@", "\"(\"")?;
                self.expect(&Kind::RightParen, "@", "\")\"")?;
                if preprocessor == "start" { At::Start } else { At::End }
            }
            _ => {
                if !matches!(
                    self.peek()?.kind,
                    Kind::Number(_)
                        | Kind::Duration(_)
                        | Kind::Operator(BinaryOp::Add | BinaryOp::Sub)
                ) {
                    return Err(self.unexpected("@", "timestamp"));
                }
                let seconds = self.signed_number()?;
                // As Prometheus: the limit is that of seconds in 64 bits.
                if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 {
                    let message = format!("timestamp out of bounds for @ modifier: {seconds:.6}");
                    return Err(self.error(span, message));
                }
                At::Time((seconds * 1_000.0).round() as i64)
            }
        };
        let end = self.previous_end();
        let Some((shift, whole)) = shift_of(expr) else {
            return Err(self.error(span, AT_NEEDS));
        };
        whole.end = end;
        if shift.at.replace(at).is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        Ok(())
    }

    fn extension(&self, expr: &mut Expr, extension: Extension) -> Result<(), ParseError> {
        let name = extension.name();
        let span = expr.span();
        if !self.features.extended_selectors {
            return Err(
                self.error(span, format!("{name} modifier is experimental and not enabled"))
            );
        }
        let selector = match expr {
            Expr::Selector(selector) => selector,
            Expr::Range(range) => &mut range.selector,
            Expr::Subquery(_) => {
                return Err(
                    self.error(span, format!("{name} modifier is not supported for subqueries"))
                );
            }
            _ => return Err(self.error(span, format!("{name} modifier not implemented"))),
        };
        if selector.extension.replace(extension).is_some_and(|before| before != extension) {
            return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
        }
        Ok(())
    }
}

/// The shift of a selector, range or subquery, and the span that grows with it.
fn shift_of(expr: &mut Expr) -> Option<(&mut Shift, &mut Span)> {
    match expr {
        Expr::Selector(selector) => Some((&mut selector.shift, &mut selector.span)),
        Expr::Range(range) => Some((&mut range.selector.shift, &mut range.span)),
        Expr::Subquery(subquery) => Some((&mut subquery.shift, &mut subquery.span)),
        _ => None,
    }
}
