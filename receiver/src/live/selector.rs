//! Series selectors as clients write them: `node_load1{instance="db-1:9100",job=~"node|db"}`.
//!
//! Only the vector selector of the query language, without `offset` and `@`: a subscription has no other time than now.

use promql::model::{METRIC_NAME, MatchOp, Matcher};

use super::protocol::Refusal;

/// Characters of one selector: far more than people write, far less than would hurt.
const CHARACTERS_MAX: usize = 4_096;

/// Reads one selector. At least one matcher must refuse the empty value, as everywhere in Prometheus.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, Refusal> {
    let bad = |why: &str| Refusal::BadSelector(format!("selector `{}`: {why}", shortened(text)));
    if text.len() > CHARACTERS_MAX {
        return Err(bad("too long"));
    }
    let mut rest = Cursor { rest: text };
    let mut matchers = Vec::new();
    rest.skip_space();
    if let Some(name) = rest.name(true) {
        matchers.push(Matcher::equal(METRIC_NAME, name));
    }
    rest.skip_space();
    if rest.take("{") {
        loop {
            rest.skip_space();
            if rest.take("}") {
                break;
            }
            let quoted = rest.string().map_err(bad)?;
            let name = match (&quoted, rest.name(false)) {
                (Some(name), _) => name.clone(),
                (None, Some(name)) => name.to_owned(),
                (None, None) => return Err(bad("a label name or `}` is expected")),
            };
            rest.skip_space();
            match rest.operator() {
                Some(op) => {
                    rest.skip_space();
                    let value = rest
                        .string()
                        .map_err(bad)?
                        .ok_or_else(|| bad("a quoted value is expected"))?;
                    let matcher = Matcher::new(&name, op, &value)
                        .map_err(|err| Refusal::BadSelector(err.to_string()))?;
                    matchers.push(matcher);
                }
                // `{"metric.name"}`: a quoted name alone is the metric's.
                None if quoted.is_some() => matchers.push(Matcher::equal(METRIC_NAME, &name)),
                None => return Err(bad("one of = != =~ !~ is expected")),
            }
            rest.skip_space();
            if !rest.take(",") && !rest.rest.starts_with('}') {
                return Err(bad("`,` or `}` is expected"));
            }
        }
    }
    rest.skip_space();
    if !rest.rest.is_empty() {
        return Err(bad("something follows the selector"));
    }
    if !matchers.iter().any(|matcher| !matcher.matches_value("")) {
        return Err(bad("at least one matcher must not match the empty value"));
    }
    Ok(matchers)
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
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

    /// `[a-zA-Z_][a-zA-Z0-9_]*`, with colons in metric names.
    fn name(&mut self, metric: bool) -> Option<&'a str> {
        let end = self
            .rest
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || (metric && b == b':')))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return None;
        }
        self.rest = rest;
        Some(name)
    }

    fn operator(&mut self) -> Option<MatchOp> {
        let operators = [
            ("=~", MatchOp::Regexp),
            ("!~", MatchOp::NotRegexp),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ];
        operators.into_iter().find(|(token, _)| self.take(token)).map(|(_, op)| op)
    }

    /// A quoted string if one stands here: `"…"` and `'…'` with escapes, `` `…` `` without.
    fn string(&mut self) -> Result<Option<String>, &'static str> {
        let Some(quote @ ('"' | '\'' | '`')) = self.rest.chars().next() else {
            return Ok(None);
        };
        let mut value = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                _ if char == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Ok(Some(value));
                }
                '\\' if quote != '`' => value.push(match chars.next().map(|(_, c)| c) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(c @ ('\\' | '"' | '\'')) => c,
                    _ => return Err("unknown escape: use \\\\ \\\" \\' \\n \\r \\t"),
                }),
                '\n' if quote != '`' => return Err("a line ends inside a string"),
                _ => value.push(char),
            }
        }
        Err("a string is not closed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_the_query_language() {
        let check = |text: &str, expected: &str| {
            let matchers = parse(text).unwrap();
            let shown: Vec<_> = matchers.iter().map(ToString::to_string).collect();
            assert_eq!(shown.join(" "), expected, "{text}");
        };
        check("up", r#"__name__="up""#);
        check("job:up:sum", r#"__name__="job:up:sum""#);
        check(
            r#" node_load1 { instance = "db-1:9100" , job=~'a|b', } "#,
            r#"__name__="node_load1" instance="db-1:9100" job=~"a|b""#,
        );
        check(r#"{__name__=~"node_.+",x!=""}"#, r#"__name__=~"node_.+" x!="""#);
        check(r#"{"a.b", "c.d"!~`x\d`}"#, r#"__name__="a.b" c.d!~"x\\d""#);
        check(r#"up{a="\"\\\n"}"#, r#"__name__="up" a="\"\\\n""#);
        check("up{}", r#"__name__="up""#);
    }

    #[test]
    fn refused_with_a_reason() {
        let check = |text: &str, reason: &str| {
            let refusal = parse(text).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        };
        check("", "at least one matcher");
        check("{}", "at least one matcher");
        check(r#"{a=""}"#, "at least one matcher");
        check(r#"{a=~".*"}"#, "at least one matcher");
        check("up[5m]", "something follows");
        check("1up", "something follows");
        check("up{", "a label name or `}`");
        check("up{a}", "one of = != =~ !~");
        check("up{a=}", "a quoted value");
        check("up{a=1}", "a quoted value");
        check(r#"up{a="1}"#, "not closed");
        check(r#"up{a="\q"}"#, "unknown escape");
        check(r#"up{a="1" b="2"}"#, "`,` or `}`");
        check(r#"up{a=~"("}"#, "invalid regular expression");
        check(&"u".repeat(5_000), "too long");
        check("é", "something follows");
    }
}
