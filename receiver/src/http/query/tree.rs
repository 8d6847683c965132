//! `format_query` and `parse_query`: a query formatted, and as the tree that Prometheus' interface draws.

use axum::{extract::State, response::Response};
use promql::{
    ast::{At, Binary, Cardinality, DurationExpr, Expr, Shift, ValueType, VectorSelector},
    functions::Repeats,
    model::{MatchOp, number::Plain},
};
use serde_json::{Value, json};

use super::{
    Api,
    answer::{self, ApiError},
    parameters::Parameters,
};

pub(super) async fn format_query(
    State(api): State<Api>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let expr = parse(&api, &parameters)?;
    Ok(answer::success_value(&json!(promql::pretty(&expr))))
}

pub(super) async fn parse_query(
    State(api): State<Api>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let expr = parse(&api, &parameters)?;
    Ok(answer::success_value(&tree(&expr)))
}

fn parse(api: &Api, parameters: &Parameters) -> Result<Expr, ApiError> {
    promql::parse(parameters.get("query"), api.queries.limits().features)
        .map_err(|err| ApiError::parameter("query", err))
}

/// The parser bounds the depth.
fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Number(number) => {
            json!({"type": "numberLiteral", "val": Plain(number.value).to_string()})
        }
        Expr::String(string) => json!({"type": "stringLiteral", "val": string.value}),
        Expr::Selector(selector) => of_selector("vectorSelector", selector),
        Expr::Range(range) => {
            let mut node = of_selector("matrixSelector", &range.selector);
            node["range"] = json!(milliseconds(&range.range));
            node
        }
        Expr::Subquery(subquery) => {
            let mut node = json!({
                "type": "subquery",
                "expr": tree(&subquery.expr),
                "range": milliseconds(&subquery.range),
                "step": subquery.step.as_ref().map_or(0, milliseconds),
            });
            add_shift(&mut node, &subquery.shift);
            node
        }
        Expr::Unary(unary) => json!({
            "type": "unaryExpr",
            "op": if unary.negative { "-" } else { "+" },
            "expr": tree(&unary.expr),
        }),
        Expr::Paren(paren) => json!({"type": "parenExpr", "expr": tree(&paren.expr)}),
        Expr::Binary(binary) => json!({
            "type": "binaryExpr",
            "op": binary.op.symbol(),
            "lhs": tree(&binary.left),
            "rhs": tree(&binary.right),
            "matching": of_matching(binary),
            "bool": binary.returns_bool,
        }),
        Expr::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.name(),
            "expr": tree(&aggregate.expr),
            "param": aggregate.parameter.as_ref().map(tree),
            "grouping": aggregate.grouping,
            "without": aggregate.without,
        }),
        Expr::Call(call) => {
            let signature = call.function.signature();
            let variadic = match signature.repeats {
                Repeats::Once => 0,
                Repeats::UpTo(n) => n as i64,
                Repeats::Any => -1,
            };
            json!({
                "type": "call",
                "func": {
                    "name": signature.name,
                    "argTypes": signature.args.iter().map(|kind| name_of(*kind)).collect::<Vec<_>>(),
                    "variadic": variadic,
                    "returnType": name_of(signature.returns),
                },
                "args": call.args.iter().map(tree).collect::<Vec<_>>(),
            })
        }
    }
}

fn name_of(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

fn of_selector(kind: &str, selector: &VectorSelector) -> Value {
    let matchers: Vec<Value> = selector
        .matchers
        .iter()
        .map(|matcher| {
            let op = match matcher.op() {
                MatchOp::Equal => "=",
                MatchOp::NotEqual => "!=",
                MatchOp::Regexp => "=~",
                MatchOp::NotRegexp => "!~",
            };
            json!({"name": matcher.name(), "type": op, "value": matcher.value()})
        })
        .collect();
    let mut node = json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or(""),
        "matchers": matchers,
    });
    add_shift(&mut node, &selector.shift);
    node
}

fn add_shift(node: &mut Value, shift: &Shift) {
    let (timestamp, start_or_end) = match shift.at {
        None => (None, None),
        Some(At::Time(ts)) => (Some(ts), None),
        Some(At::Start) => (None, Some("start")),
        Some(At::End) => (None, Some("end")),
    };
    node["offset"] = json!(shift.offset.as_ref().map_or(0, milliseconds));
    node["timestamp"] = json!(timestamp);
    node["startOrEnd"] = json!(start_or_end);
}

/// A duration as far as it is known without the query's times; arithmetic counts as 0, as in Prometheus.
fn milliseconds(duration: &DurationExpr) -> i64 {
    match duration {
        DurationExpr::Literal { seconds, .. } => (seconds * 1000.0).round() as i64,
        DurationExpr::Negative(inner) => -milliseconds(inner),
        DurationExpr::Paren(inner) => milliseconds(inner),
        DurationExpr::Step | DurationExpr::Range | DurationExpr::Binary(..) => 0,
    }
}

/// Nothing where an operand is a scalar.
fn of_matching(binary: &Binary) -> Value {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    if !is_vector(&binary.left) || !is_vector(&binary.right) {
        return Value::Null;
    }
    let matching = binary.matching.clone().unwrap_or_default();
    let cardinality = match matching.cardinality {
        _ if binary.op.is_set() => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": cardinality,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
    })
}
