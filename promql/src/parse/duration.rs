//! Durations in brackets and behind `offset`, with arithmetic.

use super::ParseError;
use super::grammar::Parser;
use super::lex::Kind;
use crate::ast::{BinaryOp, DurationExpr, DurationOp};
use crate::model::duration::DURATION_MS_MAX;

/// How tightly a sign binds, as in expressions.
const UNARY: u8 = 2;

fn precedence(op: BinaryOp) -> Option<(u8, DurationOp)> {
    match op {
        BinaryOp::Add => Some((1, DurationOp::Add)),
        BinaryOp::Sub => Some((1, DurationOp::Sub)),
        BinaryOp::Mul => Some((2, DurationOp::Mul)),
        BinaryOp::Div => Some((2, DurationOp::Div)),
        BinaryOp::Mod => Some((2, DurationOp::Mod)),
        BinaryOp::Pow => Some((3, DurationOp::Pow)),
        _ => None,
    }
}

impl Parser<'_> {
    /// A duration in brackets. Literals are checked here, arithmetic when it is worked out.
    pub(super) fn positive_duration(&mut self) -> Result<DurationExpr, ParseError> {
        let start = self.peek()?.span;
        let duration = self.duration_expression(0)?;
        if let DurationExpr::Literal { seconds, .. } = duration
            && seconds <= 0.0
        {
            return Err(self.error(start, "duration must be greater than 0"));
        }
        Ok(duration)
    }

    /// A duration behind `offset`: one literal, call or parenthesis, with signs. Operators behind it belong to the
    /// expression around it.
    pub(super) fn offset_duration(&mut self) -> Result<DurationExpr, ParseError> {
        let mut negative = false;
        loop {
            match self.peek()?.kind {
                Kind::Operator(BinaryOp::Sub) => negative = !negative,
                Kind::Operator(BinaryOp::Add) => {}
                _ => break,
            }
            self.advance()?;
        }
        let duration = self.duration_atom()?;
        Ok(if negative { negated(duration) } else { duration })
    }

    fn duration_expression(&mut self, above: u8) -> Result<DurationExpr, ParseError> {
        self.nested(|parser| {
            let mut left = parser.duration_unary()?;
            let mut levels = 0;
            loop {
                let found = match parser.peek()?.kind {
                    Kind::Operator(op) => precedence(op).filter(|(binds, _)| *binds > above),
                    _ => None,
                };
                let Some((binds, op)) = found else { return Ok(left) };
                let span = parser.advance()?.span;
                levels += 1;
                if levels > super::DEPTH_MAX {
                    return Err(parser.error(span, "duration expression is too long"));
                }
                let right = parser.duration_expression(binds - u8::from(op == DurationOp::Pow))?;
                let divides = matches!(op, DurationOp::Div | DurationOp::Mod);
                if divides && matches!(right, DurationExpr::Literal { seconds: 0.0, .. }) {
                    let message =
                        if op == DurationOp::Div { "division by zero" } else { "modulo by zero" };
                    return Err(parser.error(span, message));
                }
                left = DurationExpr::Binary(op, Box::new(left), Box::new(right));
            }
        })
    }

    fn duration_unary(&mut self) -> Result<DurationExpr, ParseError> {
        match self.peek()?.kind {
            Kind::Operator(BinaryOp::Add) => {
                self.advance()?;
                self.duration_expression(UNARY)
            }
            Kind::Operator(BinaryOp::Sub) => {
                self.advance()?;
                Ok(negated(self.duration_expression(UNARY)?))
            }
            _ => self.duration_atom(),
        }
    }

    fn duration_atom(&mut self) -> Result<DurationExpr, ParseError> {
        let token = self.peek()?.clone();
        match token.kind {
            Kind::Number(seconds) => {
                self.advance()?;
                if seconds.is_nan() || seconds.abs() * 1_000.0 > DURATION_MS_MAX as f64 {
                    return Err(self.error(token.span, "duration out of range"));
                }
                Ok(DurationExpr::Literal { seconds, is_duration: false })
            }
            Kind::Duration(ms) => {
                self.advance()?;
                Ok(DurationExpr::Literal { seconds: ms as f64 / 1_000.0, is_duration: true })
            }
            Kind::LeftParen => {
                self.advance()?;
                let inner = self.duration_expression(0)?;
                self.expect(&Kind::RightParen, "duration expression", "\")\"")?;
                Ok(DurationExpr::Paren(Box::new(inner)))
            }
            Kind::Identifier if self.argument_follows() => self.duration_call(),
            _ => Err(self.unexpected("", "number, duration, step(), or range()")),
        }
    }

    fn duration_call(&mut self) -> Result<DurationExpr, ParseError> {
        let word = self.peek_word().unwrap_or_default();
        let function = match word.as_str() {
            "step" => Some(DurationExpr::Step),
            "range" => Some(DurationExpr::Range),
            "min_of" | "max_of" => None,
            _ => return Err(self.unexpected("", "number, duration, step(), or range()")),
        };
        self.advance()?;
        self.expect(&Kind::LeftParen, "duration expression", "\"(\"")?;
        let value = match function {
            Some(value) => value,
            None => {
                let first = self.duration_expression(0)?;
                self.expect(&Kind::Comma, "duration expression", "\",\"")?;
                let second = self.duration_expression(0)?;
                let op = if word == "min_of" { DurationOp::Min } else { DurationOp::Max };
                DurationExpr::Binary(op, Box::new(first), Box::new(second))
            }
        };
        self.expect(&Kind::RightParen, "duration expression", "\")\"")?;
        Ok(value)
    }
}

fn negated(duration: DurationExpr) -> DurationExpr {
    match duration {
        DurationExpr::Literal { seconds, is_duration } => {
            DurationExpr::Literal { seconds: -seconds, is_duration }
        }
        other => DurationExpr::Negative(Box::new(other)),
    }
}
