//! Rules in the Common Expression Language (<https://cel.dev>) about a body of JSON.

use std::{collections::HashMap, fmt, sync::Arc};

use ::cel::{
    Context, Program, Value,
    common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr},
    objects::Key,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A compiled expression over the variable `body`.
#[derive(Clone)]
pub struct CelProgram {
    source: String,
    program: Arc<Program>,
}

impl CelProgram {
    /// The error is fit for whoever wrote the expression.
    pub fn new(source: &str) -> Result<Self, String> {
        let failed =
            |why: &str| format!("\"Could not compile CEL program\" expression={source:?}: {why}");
        if source.trim().is_empty() {
            return Err(failed("it is empty"));
        }
        let program = Program::compile(source).map_err(|err| failed(&err.to_string()))?;
        if let Some(other) = unknown_variable(program.expression(), &mut vec!["body"]) {
            return Err(failed(&format!("there is no variable `{other}`, only `body`")));
        }
        Ok(Self { source: source.to_owned(), program: Arc::new(program) })
    }

    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// What it says about a body. The error tells why it says nothing.
    pub fn evaluate(&self, body: &[u8]) -> Result<bool, String> {
        let json: serde_json::Value =
            serde_json::from_slice(body).map_err(|err| format!("the body is not JSON: {err}"))?;
        let mut context = Context::default();
        context.add_variable_from_value("body", to_cel(json));
        match self.program.execute(&context) {
            Ok(Value::Bool(result)) => Ok(result),
            Ok(other) => Err(format!("its result is {:?} and not true or false", other.type_of())),
            Err(err) => Err(err.to_string()),
        }
    }
}

/// Names of types, which stand where variables may stand: `type(body.n) == double`.
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// The first variable that is neither in `scope` nor bound by a macro such as `all`.
fn unknown_variable<'e>(expression: &'e IdedExpr, scope: &mut Vec<&'e str>) -> Option<&'e str> {
    match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) => None,
        // The macros' own variables begin with an @.
        Expr::Ident(name) => {
            let is_known = scope.contains(&name.as_str())
                || TYPES.contains(&name.as_str())
                || name.starts_with('@');
            (!is_known).then_some(name)
        }
        Expr::Select(select) => unknown_variable(&select.operand, scope),
        Expr::Call(call) => {
            let parts = call.target.as_deref().into_iter().chain(&call.args);
            first_unknown(parts, scope)
        }
        Expr::List(list) => first_unknown(&list.elements, scope),
        Expr::Map(map) => unknown_in_entries(&map.entries, scope),
        Expr::Struct(object) => unknown_in_entries(&object.entries, scope),
        Expr::Comprehension(comprehension) => {
            let outside = [&comprehension.iter_range, &comprehension.accu_init];
            if let Some(unknown) = first_unknown(outside, scope) {
                return Some(unknown);
            }
            let outer = scope.len();
            scope.push(&comprehension.iter_var);
            scope.extend(comprehension.iter_var2.as_deref());
            scope.push(&comprehension.accu_var);
            let inside =
                [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
            let unknown = first_unknown(inside, scope);
            scope.truncate(outer);
            unknown
        }
    }
}

fn first_unknown<'e>(
    expressions: impl IntoIterator<Item = &'e IdedExpr>,
    scope: &mut Vec<&'e str>,
) -> Option<&'e str> {
    expressions.into_iter().find_map(|expression| unknown_variable(expression, scope))
}

fn unknown_in_entries<'e>(
    entries: &'e [IdedEntryExpr],
    scope: &mut Vec<&'e str>,
) -> Option<&'e str> {
    entries.iter().find_map(|entry| match &entry.expr {
        EntryExpr::StructField(field) => unknown_variable(&field.value, scope),
        EntryExpr::MapEntry(entry) => first_unknown([&entry.key, &entry.value], scope),
    })
}

/// All numbers are floats, as in Go's reading of JSON.
fn to_cel(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::String(Arc::new(text)),
        serde_json::Value::Array(items) => {
            Value::List(Arc::new(items.into_iter().map(to_cel).collect()))
        }
        serde_json::Value::Object(fields) => {
            let map: HashMap<Key, Value> = fields
                .into_iter()
                .map(|(name, value)| (Key::String(Arc::new(name)), to_cel(value)))
                .collect();
            Value::Map(::cel::objects::Map { map: Arc::new(map) })
        }
    }
}

impl PartialEq for CelProgram {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for CelProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CelProgram").field(&self.source).finish()
    }
}

impl<'de> Deserialize<'de> for CelProgram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).map_err(serde::de::Error::custom)
    }
}

impl Serialize for CelProgram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_about_bodies() {
        for (source, body, expected) in [
            ("body.ok", "{\"ok\": true}", Some(true)),
            ("body.foo.bar == 'x'", "{\"foo\": {\"bar\": \"x\"}}", Some(true)),
            ("body.n > 1.5 && body.n + 1.0 == 3.0", "{\"n\": 2}", Some(true)),
            ("body.all(x, x > 0.0)", "[1, 2]", Some(true)),
            ("body.exists(x, x == 2.0) && type(body[0]) == double", "[1, 2]", Some(true)),
            ("body.map(x, x * 2.0)[1] == 4.0", "[1, 2]", Some(true)),
            ("body[0].a in ['b', 'c']", "[{\"a\": \"d\"}]", Some(false)),
            ("has(body.x)", "{}", Some(false)),
            ("body.x", "{}", None),
            ("body.n", "{\"n\": 1}", None),
            ("body == null", "null", Some(true)),
            ("body.ok", "<html>", None),
            ("body.ok", "", None),
        ] {
            assert_eq!(
                CelProgram::new(source).unwrap().evaluate(body.as_bytes()).ok(),
                expected,
                "{source} {body}"
            );
        }
        for wrong in [
            "",
            " ",
            "body.",
            "other == 1",
            "headers.x",
            "body.all(x, y > 0.0)",
            "body.exists(x, x) && x",
        ] {
            let err = CelProgram::new(wrong).unwrap_err();
            assert!(err.starts_with("\"Could not compile CEL program\" expression="), "{err}");
        }
    }
}
