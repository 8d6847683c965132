//! Reading templates and paths.

use serde_json::Value;

use super::{Filter, Operand, Operator, Part, Step};

/// Longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 1024;

pub(super) fn template(source: &str) -> Result<Vec<Part>, String> {
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("it is longer than {TEMPLATE_BYTES_MAX} bytes"));
    }
    let mut parts = Vec::new();
    let mut rest = source;
    while !rest.is_empty() {
        let Some((text, after)) = rest.split_once('{') else {
            if rest.contains('}') {
                return Err("a } without its {".to_owned());
            }
            parts.push(Part::Text(rest.to_owned()));
            break;
        };
        if text.contains('}') {
            return Err("a } without its {".to_owned());
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let mut reader = Reader { rest: after };
        let steps = reader.path(true)?;
        rest = reader.expect("}")?;
        parts.push(Part::Path(steps));
    }
    Ok(parts)
}

struct Reader<'s> {
    rest: &'s str,
}

impl<'s> Reader<'s> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<&'s str, String> {
        self.skip_spaces();
        if self.take(token) {
            Ok(self.rest)
        } else {
            Err(format!("expected {token} before `{}`", self.rest))
        }
    }

    /// Steps up to something that is none. `whole`: an empty path is the document itself.
    fn path(&mut self, whole: bool) -> Result<Vec<Step>, String> {
        self.skip_spaces();
        let rooted = self.take("$") || self.take("@");
        let mut steps = Vec::new();
        loop {
            if self.take("..") {
                steps.push(Step::Descend);
                if !self.rest.starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.take(".") {
                // `{.}` is the document, and `.['a']` is written by some.
                let at_end = self.rest.is_empty() || self.rest.starts_with(['}', ' ', ')']);
                if !(self.rest.starts_with('[') || (steps.is_empty() && at_end)) {
                    steps.push(self.name()?);
                }
            } else if self.take("[") {
                steps.push(self.brackets()?);
            } else {
                break;
            }
        }
        self.skip_spaces();
        if steps.is_empty() && !rooted && !(whole && self.rest.starts_with('}')) {
            return Err(format!("expected a path before `{}`", self.rest));
        }
        Ok(steps)
    }

    fn name(&mut self) -> Result<Step, String> {
        if self.take("*") {
            return Ok(Step::All);
        }
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
                '.' | '[' | ']' | '}' | '{' | ' ' | ')' | '=' | '!' | '<' | '>' | ',' | '(' => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        self.rest = &self.rest[end..];
        if name.is_empty() {
            Err(format!("expected a name before `{}`", self.rest))
        } else {
            Ok(Step::Names(vec![name]))
        }
    }

    /// What stands in brackets, up to and with the closing one.
    fn brackets(&mut self) -> Result<Step, String> {
        self.skip_spaces();
        let step = if self.take("*") {
            Step::All
        } else if self.take("?(") {
            let filter = self.filter()?;
            self.expect(")")?;
            Step::Filter(filter)
        } else if self.rest.starts_with(['\'', '"']) {
            let mut names = vec![self.string()?];
            while self.take_comma() {
                names.push(self.string()?);
            }
            Step::Names(names)
        } else {
            self.numbers()?
        };
        self.expect("]")?;
        Ok(step)
    }

    fn take_comma(&mut self) -> bool {
        self.skip_spaces();
        let taken = self.take(",");
        self.skip_spaces();
        taken
    }

    fn numbers(&mut self) -> Result<Step, String> {
        let first = self.integer()?;
        if !self.take(":") {
            let mut indexes = vec![first.ok_or("expected a number")?];
            while self.take_comma() {
                indexes.push(self.integer()?.ok_or("expected a number")?);
            }
            return Ok(Step::Indexes(indexes));
        }
        let end = self.integer()?;
        let step = if self.take(":") { self.integer()?.unwrap_or(1) } else { 1 };
        if step < 1 {
            return Err("the step of a slice must be above zero".to_owned());
        }
        Ok(Step::Slice { start: first, end, step })
    }

    fn integer(&mut self) -> Result<Option<i64>, String> {
        let length = self.rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'-').count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| format!("`{digits}` is not a number"))
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self
            .rest
            .chars()
            .next()
            .filter(|c| matches!(c, '\'' | '"'))
            .ok_or("expected a string")?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err("a string without its end".to_owned())
    }

    fn filter(&mut self) -> Result<Filter, String> {
        let left = self.operand()?;
        self.skip_spaces();
        // The longer ones first.
        let operators = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (token, operator) in operators {
            if self.take(token) {
                return Ok(Filter { left, comparison: Some((operator, self.operand()?)) });
            }
        }
        Ok(Filter { left, comparison: None })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.skip_spaces();
        if self.rest.starts_with(['\'', '"']) {
            return self.string().map(|text| Operand::Literal(Value::String(text)));
        }
        if self.rest.starts_with(['@', '$', '.', '[']) {
            return self.path(false).map(Operand::Path);
        }
        let end = self.rest.find([' ', ')', '=', '!', '<', '>']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        // Numbers, true, false and null are written as in JSON.
        serde_json::from_str(word)
            .map(Operand::Literal)
            .map_err(|_| format!("`{word}` is no value"))
    }
}
