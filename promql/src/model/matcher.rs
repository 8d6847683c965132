//! Label matchers: `name="value"`, `!=`, `=~`, `!~`.

use std::fmt;

use regexp::Regexp;

use super::Labels;
use super::text::{LabelName, Quoted};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regexp,
    NotRegexp,
}

/// One condition on one label. An absent label has the empty value, as everywhere in Prometheus.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: Box<str>,
    op: MatchOp,
    value: Box<str>,
    /// Present exactly for the two regular-expression operators.
    pattern: Option<Regexp>,
}

impl Matcher {
    /// Fails only on a regular expression that does not compile.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, regexp::Error> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regexp | MatchOp::NotRegexp => Some(Regexp::anchored(value)?),
        };
        Ok(Self { name: name.into(), op, value: value.into(), pattern })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value satisfies the condition.
    pub fn matches_value(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => *self.value == *value,
            MatchOp::NotEqual => *self.value != *value,
            MatchOp::Regexp => self.pattern_matches(value),
            MatchOp::NotRegexp => !self.pattern_matches(value),
        }
    }

    /// Whether an absent label satisfies the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches_value("")
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.get(&self.name))
    }

    /// The only values that satisfy the condition, where they can be told from it: `=~"a|b"`, as multiple choices of
    /// dashboards become. A value may come twice.
    pub fn alternatives(&self) -> Option<impl Iterator<Item = &str>> {
        let is_plain = !self
            .value
            .contains(['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$']);
        (self.op == MatchOp::Regexp && is_plain).then(|| self.value.split('|'))
    }

    fn pattern_matches(&self, value: &str) -> bool {
        self.pattern.as_ref().expect("set in the constructor").is_match(value.as_bytes())
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regexp => "=~",
            MatchOp::NotRegexp => "!~",
        };
        write!(f, "{}{op}{}", LabelName(&self.name), Quoted(&self.value))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_are_anchored_and_absent_is_empty() {
        let labels = Labels::from_pairs([("job", "node\nx")]).unwrap();
        let check = |name, op, value| Matcher::new(name, op, value).unwrap().matches(&labels);
        assert!(!check("job", MatchOp::Regexp, "node"));
        assert!(check("job", MatchOp::Regexp, "node.*"));
        assert!(check("absent", MatchOp::Equal, ""));
        assert!(check("absent", MatchOp::Regexp, ".*"));
        assert!(!check("absent", MatchOp::NotRegexp, "a?"));
        assert!(Matcher::new("a", MatchOp::Regexp, "(").is_err());
        let alternatives = |op, value| {
            let matcher = Matcher::new("a", op, value).unwrap();
            matcher.alternatives().map(|all| all.map(str::to_owned).collect::<Vec<_>>())
        };
        let of = |values: [&str; 2]| Some(values.map(str::to_owned).to_vec());
        assert_eq!(alternatives(MatchOp::Regexp, "a-1|b"), of(["a-1", "b"]));
        assert_eq!(alternatives(MatchOp::Regexp, "a|"), of(["a", ""]));
        assert_eq!(alternatives(MatchOp::Regexp, "a.|b"), None);
        assert_eq!(alternatives(MatchOp::NotRegexp, "a|b"), None);
    }
}
