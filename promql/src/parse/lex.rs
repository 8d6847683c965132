//! Text to tokens.

use super::ParseError;
use crate::ast::{BinaryOp, Span};
use crate::model::{duration, number};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name; keywords are told apart by the grammar, because most of them are also legal names.
    Identifier,
    /// A name with a colon.
    MetricIdentifier,
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    String(String),
    Operator(BinaryOp),
    /// `=`, `=~`, `!~`; `!=` is an operator.
    Assign,
    MatchesRegexp,
    MatchesNotRegexp,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    End,
}

/// Cuts the whole text into tokens; the last is [`Kind::End`]. On an error, what comes before it is returned too:
/// the grammar may have a complaint about an earlier place.
pub(super) fn tokens(text: &str) -> (Vec<Token>, Option<ParseError>) {
    let mut lexer = Lexer { text, at: 0, parens: 0, in_braces: false, in_brackets: false };
    let mut tokens = Vec::new();
    loop {
        match lexer.next() {
            Ok(token) => {
                let is_end = token.kind == Kind::End;
                tokens.push(token);
                if is_end {
                    return (tokens, None);
                }
            }
            Err(error) => return (tokens, Some(error)),
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn span(&self, start: usize) -> Span {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { start: offset(start), end: offset(self.at) }
    }

    fn error(&self, start: usize, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, self.span(start), message)
    }

    fn skip_blank(&mut self) {
        let text = self.text;
        loop {
            let rest = text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = text.len() - rest.len();
            if !rest.starts_with('#') {
                return;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        self.skip_blank();
        let start = self.at;
        let Some(first) = self.peek() else {
            let unclosed = if self.in_braces {
                "unexpected end of input inside braces"
            } else if self.in_brackets {
                "unclosed left bracket"
            } else if self.parens > 0 {
                "unclosed left parenthesis"
            } else {
                return Ok(Token { kind: Kind::End, span: self.span(start) });
            };
            return Err(self.error(start, unclosed));
        };
        let kind = match first {
            '"' | '\'' | '`' => self.string(first)?,
            '0'..='9' if !self.in_braces => self.number(start)?,
            '.' if !self.in_braces
                && self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) =>
            {
                self.number(start)?
            }
            'a'..='z' | 'A'..='Z' | '_' => self.identifier(start),
            ':' if !self.in_brackets && !self.in_braces => self.identifier(start),
            _ => self.punctuation(first, start)?,
        };
        Ok(Token { kind, span: self.span(start) })
    }

    fn identifier(&mut self, start: usize) -> Kind {
        let colons = !self.in_brackets && !self.in_braces;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
        self.at += self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let text = &self.text[start..self.at];
        if text.contains(':') {
            return Kind::MetricIdentifier;
        }
        if !self.in_braces && (text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("nan"))
        {
            return Kind::Number(number::parse(text).expect("both are numbers"));
        }
        if self.in_braces {
            return Kind::Identifier;
        }
        match text.to_ascii_lowercase().as_str() {
            "and" => Kind::Operator(BinaryOp::And),
            "or" => Kind::Operator(BinaryOp::Or),
            "unless" => Kind::Operator(BinaryOp::Unless),
            "atan2" => Kind::Operator(BinaryOp::Atan2),
            _ => Kind::Identifier,
        }
    }

    /// A number or a duration.
    fn number(&mut self, start: usize) -> Result<Kind, ParseError> {
        let bytes = self.text.as_bytes();
        let hexadecimal = bytes[start] == b'0' && matches!(bytes.get(start + 1), Some(b'x' | b'X'));
        let mut end = start;
        while let Some(byte) = bytes.get(end) {
            let signed_exponent = matches!(byte, b'+' | b'-')
                && !hexadecimal
                && matches!(bytes[end - 1], b'e' | b'E')
                && bytes[start..end - 1]
                    .iter()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_'))
                && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            if !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'.' || signed_exponent)
            {
                break;
            }
            end += 1;
        }
        self.at = end;
        let text = &self.text[start..end];
        if let Some(value) = number::parse(text) {
            return Ok(Kind::Number(value));
        }
        match duration::parse(text) {
            Ok(ms) => Ok(Kind::Duration(ms)),
            Err(duration::DurationError::OutOfRange) => {
                Err(self.error(start, "duration out of range"))
            }
            Err(err) if has_units(text) => Err(self.error(start, err.to_string())),
            Err(_) => {
                // Include the character that made it wrong, if it is no blank.
                let message =
                    format!("bad number or duration syntax: {}", crate::model::text::Quoted(text));
                Err(self.error(start, message))
            }
        }
    }

    fn string(&mut self, quote: char) -> Result<Kind, ParseError> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        let mut end = None;
        for (offset, character) in self.rest().char_indices() {
            if escaped {
                escaped = false;
            } else if character == '\\' && quote != '`' {
                escaped = true;
            } else if character == quote {
                end = Some(offset);
                break;
            } else if character == '\n' && quote != '`' {
                break;
            }
        }
        let Some(length) = end else {
            let message =
                if quote == '`' { "unterminated raw string" } else { "unterminated quoted string" };
            return Err(self.error(start, message));
        };
        let inner = &self.text[self.at..self.at + length];
        self.at += length + 1;
        if quote == '`' {
            return Ok(Kind::String(inner.to_owned()));
        }
        match super::unquote::unescape(inner, quote) {
            Ok(value) => Ok(Kind::String(value)),
            Err(reason) => Err(self.error(start, reason)),
        }
    }

    fn punctuation(&mut self, first: char, start: usize) -> Result<Kind, ParseError> {
        let second = self.rest()[first.len_utf8()..].chars().next();
        let two = |op| (2, Kind::Operator(op));
        let one = |op| (1, Kind::Operator(op));
        let (length, kind) = match (first, second) {
            ('=', Some('~')) => (2, Kind::MatchesRegexp),
            ('=', Some('=')) if !self.in_braces => two(BinaryOp::Equal),
            ('=', _) if self.in_braces => (1, Kind::Assign),
            ('=', next) => {
                let next = next.map_or("end of input".to_owned(), |c| format!("'{c}'"));
                self.at += 1;
                return Err(self.error(start, format!("unexpected character after '=': {next}")));
            }
            ('!', Some('=')) => two(BinaryOp::NotEqual),
            ('!', Some('~')) => (2, Kind::MatchesNotRegexp),
            ('!', next) => {
                let place = if self.in_braces { " inside braces" } else { "" };
                let next = next.map_or("end of input".to_owned(), |c| format!("'{c}'"));
                self.at += 1;
                return Err(
                    self.error(start, format!("unexpected character after '!'{place}: {next}"))
                );
            }
            ('{', _) if !self.in_braces => {
                self.in_braces = true;
                (1, Kind::LeftBrace)
            }
            ('}', _) if self.in_braces => {
                self.in_braces = false;
                (1, Kind::RightBrace)
            }
            (',', _) => (1, Kind::Comma),
            (other, _) if self.in_braces => {
                self.at += other.len_utf8();
                return Err(
                    self.error(start, format!("unexpected character inside braces: '{other}'"))
                );
            }
            ('<', Some('=')) => two(BinaryOp::LessOrEqual),
            ('<', Some('/')) => two(BinaryOp::TrimUpper),
            ('<', _) => one(BinaryOp::Less),
            ('>', Some('=')) => two(BinaryOp::GreaterOrEqual),
            ('>', Some('/')) => two(BinaryOp::TrimLower),
            ('>', _) => one(BinaryOp::Greater),
            ('+', _) => one(BinaryOp::Add),
            ('-', _) => one(BinaryOp::Sub),
            ('*', _) => one(BinaryOp::Mul),
            ('/', _) => one(BinaryOp::Div),
            ('%', _) => one(BinaryOp::Mod),
            ('^', _) => one(BinaryOp::Pow),
            ('@', _) => (1, Kind::At),
            ('(', _) => {
                self.parens += 1;
                (1, Kind::LeftParen)
            }
            (')', _) => {
                let Some(parens) = self.parens.checked_sub(1) else {
                    self.at += 1;
                    // Prometheus points behind it.
                    return Err(self.error(start + 1, "unexpected right parenthesis ')'"));
                };
                self.parens = parens;
                (1, Kind::RightParen)
            }
            ('[', _) => {
                if self.in_brackets {
                    self.at += 1;
                    return Err(self.error(start, "unexpected left bracket '['"));
                }
                self.in_brackets = true;
                (1, Kind::LeftBracket)
            }
            (']', _) => {
                if !self.in_brackets {
                    self.at += 1;
                    return Err(self.error(start, "unexpected right bracket ']'"));
                }
                self.in_brackets = false;
                (1, Kind::RightBracket)
            }
            ('}', _) => {
                self.at += 1;
                return Err(self.error(start, "unexpected right brace '}'"));
            }
            (':', _) => (1, Kind::Colon),
            (other, _) => {
                self.at += other.len_utf8();
                return Err(self.error(start, format!("unexpected character: '{other}'")));
            }
        };
        self.at += length;
        Ok(kind)
    }
}

/// Whether a text is numbers with units, in whatever order.
fn has_units(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let numbers = rest.trim_start_matches(|character: char| character.is_ascii_digit());
        let Some(behind) = numbers.strip_prefix(['s', 'm', 'h', 'd', 'w', 'y']) else {
            return false;
        };
        if numbers.len() == rest.len() {
            return false;
        }
        rest = behind.strip_prefix('s').unwrap_or(behind);
    }
    true
}
