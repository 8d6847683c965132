//! Expressions: operators by precedence, calls, aggregations, literals.

use super::lex::{self, Kind, Token};
use super::{DEPTH_MAX, Features, ParseError};
use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, NumberLiteral, Paren, Span,
    StringLiteral, Unary, VectorSelector,
};
use crate::functions::Function;
use crate::model::text::Quoted;

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) features: Features,
    tokens: Vec<Token>,
    /// What the lexer could not read, behind the tokens.
    lex_error: Option<ParseError>,
    at: usize,
    depth: usize,
}

/// Words that cannot begin a selector, because the grammar needs them elsewhere.
const RESERVED: [&str; 5] = ["bool", "on", "ignoring", "group_left", "group_right"];

/// How tightly a unary sign binds: as multiplication, so that `-1^2` is `-(1^2)`.
const UNARY: u8 = 5;

fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Greater
        | BinaryOp::Less
        | BinaryOp::GreaterOrEqual
        | BinaryOp::LessOrEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => 6,
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, features: Features) -> Self {
        let (tokens, lex_error) = lex::tokens(text);
        Self { text, features, tokens, lex_error, at: 0, depth: 0 }
    }

    /// The next token. Where the lexer stopped, its complaint is the answer.
    pub(super) fn peek(&self) -> Result<&Token, ParseError> {
        match (self.tokens.get(self.at), &self.lex_error) {
            (Some(token), _) => Ok(token),
            (None, Some(error)) => Err(error.clone()),
            // Only reached behind `End`, which nothing consumes.
            (None, None) => {
                Err(ParseError::new(self.text, Span::default(), "unexpected end of input"))
            }
        }
    }

    pub(super) fn peek_is(&self, kind: &Kind) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.kind == *kind)
    }

    pub(super) fn kind_after(&self, n: usize) -> Option<&Kind> {
        self.tokens.get(self.at + n).map(|token| &token.kind)
    }

    pub(super) fn advance(&mut self) -> Result<Token, ParseError> {
        let token = self.peek()?.clone();
        self.at += 1;
        Ok(token)
    }

    pub(super) fn accept(&mut self, kind: &Kind) -> Option<Token> {
        let found = self.tokens.get(self.at).filter(|token| token.kind == *kind).cloned();
        self.at += usize::from(found.is_some());
        found
    }

    pub(super) fn expect(
        &mut self,
        kind: &Kind,
        context: &str,
        expected: &str,
    ) -> Result<Token, ParseError> {
        match self.accept(kind) {
            Some(token) => Ok(token),
            None => Err(self.unexpected(context, expected)),
        }
    }

    pub(super) fn text_of(&self, span: Span) -> &'a str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// The next token's text in lower case if it is a word.
    pub(super) fn peek_word(&self) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        (token.kind == Kind::Identifier).then(|| self.text_of(token.span).to_ascii_lowercase())
    }

    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        let found = self.peek_word().is_some_and(|next| next == word);
        self.at += usize::from(found);
        found
    }

    /// Where the last consumed token ends.
    pub(super) fn previous_end(&self) -> u32 {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.span.end)
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message)
    }

    /// `unexpected <token> in <context>, expected <expected>`.
    pub(super) fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = match self.peek() {
            Ok(token) => token,
            Err(error) => return error,
        };
        let mut message = format!("unexpected {}", self.describe(token));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(token.span, message)
    }

    fn describe(&self, token: &Token) -> String {
        let text = self.text_of(token.span);
        match &token.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Identifier => {
                let word = text.to_ascii_lowercase();
                if AggregateOp::ALL.iter().any(|op| op.name() == word) {
                    format!("<aggr:{text}>")
                } else if RESERVED.contains(&word.as_str())
                    || matches!(word.as_str(), "by" | "without" | "offset")
                {
                    format!("<{text}>")
                } else {
                    format!("identifier {}", Quoted(text))
                }
            }
            Kind::MetricIdentifier => format!("metric identifier {}", Quoted(text)),
            Kind::Number(_) => format!("number {}", Quoted(text)),
            Kind::Duration(_) => format!("duration {}", Quoted(text)),
            Kind::String(_) => format!("string {}", Quoted(text)),
            Kind::Operator(_) | Kind::Assign | Kind::MatchesRegexp | Kind::MatchesNotRegexp => {
                format!("<op:{text}>")
            }
            _ => Quoted(text).to_string(),
        }
    }

    pub(super) fn whole_expression(&mut self) -> Result<Expr, ParseError> {
        if self.peek_is(&Kind::End) {
            return Err(self.error(Span::default(), "no expression found in input"));
        }
        let expr = self.expression(0)?;
        if self.peek()?.kind != Kind::End {
            return Err(self.unexpected("", ""));
        }
        Ok(expr)
    }

    pub(super) fn whole_selector(&mut self) -> Result<VectorSelector, ParseError> {
        let selector = self.selector()?;
        if self.peek()?.kind != Kind::End {
            return Err(self.unexpected("", ""));
        }
        Ok(selector)
    }

    /// Counts a level of the tree in, and out when `inside` is done.
    pub(super) fn nested<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let span = self.peek()?.span;
            return Err(self.error(span, format!("query nests more than {DEPTH_MAX} levels deep")));
        }
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// An expression whose operators all bind tighter than `above`.
    pub(super) fn expression(&mut self, above: u8) -> Result<Expr, ParseError> {
        self.nested(|parser| parser.operator_chain(above))
    }

    fn operator_chain(&mut self, above: u8) -> Result<Expr, ParseError> {
        let mut left = self.unary()?;
        let mut levels = 0;
        loop {
            let op = match &self.peek()?.kind {
                Kind::Operator(op) if precedence(*op) > above => *op,
                _ => break,
            };
            self.advance()?;
            // Chains grow to the left: each operator puts everything before it one level deeper.
            levels += 1;
            if self.depth + levels > DEPTH_MAX {
                let message = format!("query nests more than {DEPTH_MAX} levels deep");
                return Err(self.error(left.span(), message));
            }
            left = self.right_side(op, left)?;
        }
        Ok(left)
    }

    fn right_side(&mut self, op: BinaryOp, left: Expr) -> Result<Expr, ParseError> {
        let modifiers = self.binary_modifiers()?;
        // `^` binds to the right: its right side may hold another one.
        let right = self.expression(precedence(op) - u8::from(op == BinaryOp::Pow))?;
        let span = left.span().to(right.span());
        Ok(Expr::Binary(Box::new(Binary {
            op,
            left,
            right,
            returns_bool: modifiers.returns_bool,
            matching: Some(modifiers.matching),
            span,
        })))
    }

    fn unary(&mut self) -> Result<Expr, ParseError> {
        let token = self.peek()?;
        let sign = token.span;
        let negative = match token.kind {
            Kind::Operator(BinaryOp::Add) => false,
            Kind::Operator(BinaryOp::Sub) => true,
            _ => return self.postfix(),
        };
        self.advance()?;
        let expr = self.expression(UNARY)?;
        let span = sign.to(expr.span());
        if let Expr::Number(literal) = expr {
            let value = if negative { -literal.value } else { literal.value };
            return Ok(Expr::Number(NumberLiteral { value, span, ..literal }));
        }
        Ok(Expr::Unary(Box::new(Unary { negative, expr, span })))
    }

    fn postfix(&mut self) -> Result<Expr, ParseError> {
        let mut expr = self.primary()?;
        let mut levels = 0;
        while self.modifier_follows() {
            expr = self.modified(expr)?;
            levels += 1;
            if self.depth + levels > DEPTH_MAX {
                return Err(self
                    .error(expr.span(), format!("query nests more than {DEPTH_MAX} levels deep")));
            }
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let token = self.peek()?;
        let span = token.span;
        match &token.kind {
            Kind::LeftParen => self.paren(span),
            Kind::LeftBrace | Kind::MetricIdentifier => {
                Ok(Expr::Selector(Box::new(self.selector()?)))
            }
            Kind::Identifier => self.word(span),
            Kind::Number(_) | Kind::Duration(_) | Kind::String(_) => self.literal(),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn paren(&mut self, span: Span) -> Result<Expr, ParseError> {
        self.advance()?;
        let expr = self.expression(0)?;
        let close = self.expect(&Kind::RightParen, "", "")?;
        Ok(Expr::Paren(Box::new(Paren { expr, span: span.to(close.span) })))
    }

    fn literal(&mut self) -> Result<Expr, ParseError> {
        let token = self.advance()?;
        let span = token.span;
        Ok(match token.kind {
            Kind::Number(value) => Expr::Number(NumberLiteral { value, is_duration: false, span }),
            Kind::Duration(ms) => {
                Expr::Number(NumberLiteral { value: ms as f64 / 1_000.0, is_duration: true, span })
            }
            Kind::String(value) => Expr::String(StringLiteral { value, span }),
            _ => return Err(self.unexpected("", "")),
        })
    }

    /// What begins with a name: an aggregation, a call or a selector.
    fn word(&mut self, span: Span) -> Result<Expr, ParseError> {
        let text = self.text_of(span);
        let lower = text.to_ascii_lowercase();
        let followed_by_paren = self.kind_after(1) == Some(&Kind::LeftParen);
        if let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.name() == lower)
            && (followed_by_paren || self.grouping_follows())
        {
            return self.aggregate(op, span);
        }
        if RESERVED.contains(&lower.as_str()) {
            return Err(self.unexpected("", ""));
        }
        if followed_by_paren {
            return self.call(text, &lower, span);
        }
        Ok(Expr::Selector(Box::new(self.selector()?)))
    }

    /// Whether `by (` or `without (` stands behind the next token.
    fn grouping_follows(&self) -> bool {
        let Some(token) = self.tokens.get(self.at + 1) else { return false };
        let word = self.text_of(token.span);
        token.kind == Kind::Identifier
            && (word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without"))
    }

    fn call(&mut self, text: &str, lower: &str, span: Span) -> Result<Expr, ParseError> {
        // Names of functions are case-sensitive, except for those that are also keywords.
        let name = if matches!(lower, "start" | "end" | "step" | "range") { lower } else { text };
        let Some(function) = Function::from_name(name) else {
            return Err(self.error(span, format!("unknown function with name {}", Quoted(text))));
        };
        if function.signature().experimental && !self.features.experimental_functions {
            return Err(self.error(span, format!("function {} is not enabled", Quoted(text))));
        }
        self.advance()?;
        let args = self.arguments("function call args")?;
        let end = self.previous_end();
        Ok(Expr::Call(Box::new(Call { function, args, span: Span { end, ..span } })))
    }

    fn arguments(&mut self, context: &str) -> Result<Vec<Expr>, ParseError> {
        self.expect(&Kind::LeftParen, context, "\"(\"")?;
        let mut args = Vec::new();
        if self.accept(&Kind::RightParen).is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if self.accept(&Kind::RightParen).is_some() {
                return Ok(args);
            }
            let comma = self.expect(&Kind::Comma, context, "\",\" or \")\"")?;
            if self.peek_is(&Kind::RightParen) {
                return Err(
                    self.error(comma.span, "trailing commas not allowed in function call args")
                );
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, span: Span) -> Result<Expr, ParseError> {
        self.advance()?;
        let mut grouping = self.grouping_clause()?;
        let mut args = self.arguments("aggregation")?;
        let mut end = self.previous_end();
        if grouping.is_none() {
            grouping = self.grouping_clause()?;
            if grouping.is_some() {
                end = self.previous_end();
            }
        }
        let (without, labels) = grouping.unwrap_or_default();
        let span = Span { end, ..span };
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.features.experimental_functions {
            let name = op.name();
            let message = format!(
                "{name}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
            );
            return Err(self.error(span, message));
        }
        let wanted = 1 + usize::from(op.has_parameter());
        if args.len() != wanted {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                args.len()
            );
            return Err(self.error(span, message));
        }
        let expr = args.pop().expect("there are as many arguments as wanted, at least one");
        let parameter = args.pop();
        Ok(Expr::Aggregate(Box::new(Aggregate {
            op,
            expr,
            parameter,
            without,
            grouping: labels,
            span,
        })))
    }

    /// `by (a, b)` or `without (a, b)`; the flag says which.
    fn grouping_clause(&mut self) -> Result<Option<(bool, Vec<String>)>, ParseError> {
        let without = match self.peek_word().as_deref() {
            Some("by") => false,
            Some("without") => true,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some((without, self.label_list()?)))
    }
}
