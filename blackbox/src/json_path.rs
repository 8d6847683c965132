//! Paths into JSON in the dialect of `kubectl`, which `json_exporter`'s configuration is written in.
//!
//! A template is text with paths in braces: `planet-{.location}`, `{ .nodes[?(@.live == true)].id }`. Inside:
//! `.name`, `['a','b']`, `[2]`, `[-1]`, `[1:3]`, `[*]`, `.*`, `..name`, `[?(@.path op value)]`, with an optional `$` or
//! `@` in front. `range` and `end` are refused.
//!
//! <https://kubernetes.io/docs/reference/kubectl/jsonpath/>

mod parse;

use serde_json::Value;

/// Values that one path may lead to; a hostile document must not multiply them.
const RESULTS_MAX: usize = 20_000;

/// Text with paths in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Vec<Step>),
}

/// One step of a path, from each value to others.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Names(Vec<String>),
    Indexes(Vec<i64>),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    All,
    /// The value and everything below it.
    Descend,
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    /// `None`: whether `left` is there at all.
    comparison: Option<(Operator, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    Path(Vec<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A path led nowhere, or to too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("`{path}` leads nowhere")]
    Missing { path: String },
    #[error("`{path}` leads to more than {RESULTS_MAX} values")]
    TooMany { path: String },
}

impl Template {
    /// The error says what is wrong with the template.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        let parts = parse::template(source).map_err(|why| format!("`{source}`: {why}"))?;
        Ok(Self { source: source.to_owned(), parts })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.source
    }

    /// The text, with what the paths lead to in their places; several values have spaces between them.
    pub(crate) fn render(&self, document: &Value) -> Result<String, PathError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Path(steps) => {
                    let found = self.walk(steps, document)?;
                    if found.is_empty() {
                        return Err(PathError::Missing { path: self.source.clone() });
                    }
                    let texts: Vec<String> = found.into_iter().map(text_of).collect();
                    out.push_str(&texts.join(" "));
                }
            }
        }
        Ok(out)
    }

    /// The values that the paths lead to.
    pub(crate) fn find<'d>(&self, document: &'d Value) -> Result<Vec<&'d Value>, PathError> {
        let mut all = Vec::new();
        for part in &self.parts {
            if let Part::Path(steps) = part {
                all.extend(self.walk(steps, document)?);
            }
        }
        if all.is_empty() { Err(PathError::Missing { path: self.source.clone() }) } else { Ok(all) }
    }

    fn walk<'d>(&self, steps: &[Step], document: &'d Value) -> Result<Vec<&'d Value>, PathError> {
        walk(steps, document).ok_or_else(|| PathError::TooMany { path: self.source.clone() })
    }
}

/// Strings as they are, everything else as JSON.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `None` where there are too many values.
fn walk<'d>(steps: &[Step], document: &'d Value) -> Option<Vec<&'d Value>> {
    let mut present = vec![document];
    for step in steps {
        let mut next = Vec::new();
        for value in present {
            step.apply(value, &mut next)?;
        }
        present = next;
    }
    Some(present)
}

impl Step {
    fn apply<'d>(&self, value: &'d Value, out: &mut Vec<&'d Value>) -> Option<()> {
        match self {
            Self::Names(names) => {
                for name in names {
                    out.extend(value.get(name));
                }
            }
            Self::Indexes(indexes) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                out.extend(
                    indexes.iter().filter_map(|index| items.get(position(*index, items.len())?)),
                );
            }
            Self::Slice { start, end, step } => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let bound = |at: Option<i64>, default: usize| match at {
                    None => default,
                    Some(at) if at < 0 => items.len().saturating_sub(at.unsigned_abs() as usize),
                    Some(at) => (at as usize).min(items.len()),
                };
                let (from, to) = (bound(*start, 0), bound(*end, items.len()));
                out.extend(items.get(from..to).unwrap_or_default().iter().step_by(*step as usize));
            }
            Self::All => match value {
                Value::Array(items) => out.extend(items),
                Value::Object(fields) => out.extend(fields.values()),
                _ => {}
            },
            Self::Descend => descend(value, out)?,
            Self::Filter(filter) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                out.extend(items.iter().filter(|item| filter.accepts(item)));
            }
        }
        (out.len() <= RESULTS_MAX).then_some(())
    }
}

fn descend<'d>(value: &'d Value, out: &mut Vec<&'d Value>) -> Option<()> {
    if out.len() >= RESULTS_MAX {
        return None;
    }
    out.push(value);
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| descend(item, out)),
        Value::Object(fields) => fields.values().try_for_each(|field| descend(field, out)),
        _ => Some(()),
    }
}

fn position(index: i64, length: usize) -> Option<usize> {
    if index < 0 {
        length.checked_sub(index.unsigned_abs() as usize)
    } else {
        usize::try_from(index).ok()
    }
}

impl Filter {
    fn accepts(&self, item: &Value) -> bool {
        let Some(left) = self.left.value(item) else { return false };
        let Some((operator, right)) = &self.comparison else { return true };
        right.value(item).is_some_and(|right| operator.holds(left, right))
    }
}

impl Operand {
    fn value<'v>(&'v self, item: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Path(steps) => walk(steps, item)?.first().copied(),
        }
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::Number(left), Value::Number(right)) => {
                left.as_f64().partial_cmp(&right.as_f64())
            }
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => None,
        };
        let is_equal = order.map_or(left == right, std::cmp::Ordering::is_eq);
        match self {
            Self::Equal => is_equal,
            Self::NotEqual => !is_equal,
            Self::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Self::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_kubectl_goes() {
        let document = serde_json::json!({
            "kind": "List",
            "a.b": 5,
            "items": [
                {"name": "x", "n": 1, "on": true, "at": {"city": "mars"}},
                {"name": "y", "n": 2.5, "on": false},
                {"name": "z", "n": 30, "s": "it's"},
            ],
        });
        for (template, expected) in [
            ("{.kind}", Some("List")),
            ("{ .kind }", Some("List")),
            ("{$.kind}", Some("List")),
            ("{@.kind}", Some("List")),
            ("{['kind']}", Some("List")),
            ("{.a\\.b}", Some("5")),
            ("{.items[0].name}", Some("x")),
            ("{.items[-1].name}", Some("z")),
            ("{.items[0:2].name}", Some("x y")),
            ("{.items[::2].name}", Some("x z")),
            ("{.items[*].n}", Some("1 2.5 30")),
            ("{.items[0,2].name}", Some("x z")),
            ("{.items[0]['name','n']}", Some("x 1")),
            ("{..city}", Some("mars")),
            ("{.items[?(@.name == \"y\")].n}", Some("2.5")),
            ("{.items[?(@.n>=2.5)].name}", Some("y z")),
            ("{.items[?(@.on)].name}", Some("x y")),
            ("{.items[?(@.on==true)].name}", Some("x")),
            ("{.items[?(@.at.city!='venus')].name}", Some("x")),
            ("planet-{.items[0].at.city}!", Some("planet-mars!")),
            ("plain", Some("plain")),
            ("{.items[1].on}", Some("false")),
            ("{.items[0].at}", Some("{\"city\":\"mars\"}")),
            ("{.none}", None),
            ("{.items[9]}", None),
            ("{.kind.deeper}", None),
        ] {
            let rendered =
                Template::new(template).unwrap_or_else(|err| panic!("{err}")).render(&document);
            assert_eq!(rendered.ok().as_deref(), expected, "{template}");
        }
        for wrong in [
            "{.a",
            "{.a}}",
            "{[}",
            "{.a[?(@.b ==)]}",
            "{range .items[*]}",
            "{.items[x]}",
            "{.items[0:1:0]}",
            "{..}",
            "{a}",
        ] {
            assert!(Template::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn results_are_bounded() {
        let wide = serde_json::json!(vec![vec![0; 200]; 200]);
        assert!(matches!(
            Template::new("{[*][*]}").unwrap().find(&wide),
            Err(PathError::TooMany { .. })
        ));
        assert!(matches!(
            Template::new("{..x}").unwrap().find(&wide),
            Err(PathError::TooMany { .. })
        ));
    }
}
