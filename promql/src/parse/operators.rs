//! What may stand between a binary operator and its right side.

use super::ParseError;
use super::grammar::Parser;
use super::lex::Kind;
use crate::ast::BinaryOp;
use crate::ast::{Cardinality, Fill, Matching};
use crate::model::number;

pub(super) struct Modifiers {
    pub returns_bool: bool,
    pub matching: Matching,
}

impl Parser<'_> {
    /// `bool on (a) group_left (b) fill (0)`.
    pub(super) fn binary_modifiers(&mut self) -> Result<Modifiers, ParseError> {
        let returns_bool = self.accept_word("bool");
        let mut matching = Matching::default();
        let word = self.peek_word();
        if let Some(on @ ("on" | "ignoring")) = word.as_deref() {
            matching.on = on == "on";
            self.advance()?;
            matching.labels = self.label_list()?;
            let cardinality = match self.peek_word().as_deref() {
                Some("group_left") => Some(Cardinality::ManyToOne),
                Some("group_right") => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(cardinality) = cardinality {
                self.advance()?;
                matching.cardinality = cardinality;
                if self.peek_is(&Kind::LeftParen) {
                    matching.include = self.label_list()?;
                }
            }
        }
        matching.fill = self.fill()?;
        Ok(Modifiers { returns_bool, matching })
    }

    fn fill(&mut self) -> Result<Fill, ParseError> {
        let mut fill = Fill::default();
        while let Some(word) = self.peek_word() {
            // Also legal names of metrics: only with an argument are they modifiers.
            if !matches!(word.as_str(), "fill" | "fill_left" | "fill_right")
                || !self.argument_follows()
            {
                break;
            }
            let token = self.advance()?;
            if !self.features.fill_modifiers {
                return Err(
                    self.error(token.span, "binop fill modifiers are experimental and not enabled")
                );
            }
            self.expect(&Kind::LeftParen, "fill modifier", "\"(\"")?;
            let value = self.signed_number()?;
            self.expect(&Kind::RightParen, "fill modifier", "\")\"")?;
            if word != "fill_right" {
                fill.left = Some(value);
            }
            if word != "fill_left" {
                fill.right = Some(value);
            }
        }
        Ok(fill)
    }

    /// A number with any signs before it; durations are worth their seconds.
    pub(super) fn signed_number(&mut self) -> Result<f64, ParseError> {
        let mut sign = 1.0;
        loop {
            let token = self.peek()?;
            let value = match &token.kind {
                Kind::Operator(BinaryOp::Sub) => {
                    sign = -sign;
                    None
                }
                Kind::Operator(BinaryOp::Add) => None,
                Kind::Number(value) => Some(*value),
                Kind::Duration(ms) => Some(*ms as f64 / 1_000.0),
                // Label names are not numbers, but `Inf` and `NaN` may have been read as names.
                Kind::Identifier => match number::parse(self.text_of(token.span)) {
                    Some(value) => Some(value),
                    None => return Err(self.unexpected("", "number")),
                },
                _ => return Err(self.unexpected("", "number")),
            };
            self.advance()?;
            if let Some(value) = value {
                return Ok(sign * value);
            }
        }
    }

    /// `(a, "b.c", by)`: names, quoted names and keywords.
    pub(super) fn label_list(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect(&Kind::LeftParen, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        loop {
            if self.accept(&Kind::RightParen).is_some() {
                return Ok(labels);
            }
            let token = self.peek()?.clone();
            let name = match token.kind {
                Kind::Identifier
                | Kind::Operator(
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2,
                ) => self.text_of(token.span).to_owned(),
                // Keywords that the lexer takes for numbers.
                Kind::Number(value) if !value.is_finite() => self.text_of(token.span).to_owned(),
                Kind::String(name) if !name.is_empty() => name,
                _ => return Err(self.unexpected("grouping opts", "label")),
            };
            self.advance()?;
            labels.push(name);
            if self.accept(&Kind::Comma).is_none() && !self.peek_is(&Kind::RightParen) {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
    }
}
