//! Tree to text: on one line, or broken over several when it is long.
//!
//! Both read back as the same tree.

use std::fmt;

use crate::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationOp, Expr, Matching, NumberLiteral,
    RangeSelector, Shift, Subquery, VectorSelector,
};
use crate::model::duration::Duration;
use crate::model::number::General;
use crate::model::text::{LabelName, Quoted};
use crate::model::{METRIC_NAME, MatchOp};

/// Longest line of a formatted query, in characters without indentation.
const LINE_MAX: usize = 100;

/// Formats a query as the "prettify" button of Prometheus does: operands and arguments of long expressions on lines
/// of their own, indented by two blanks a level.
pub fn pretty(expr: &Expr) -> String {
    let mut text = String::new();
    write_pretty(expr, 0, &mut text);
    text
}

fn write_pretty(expr: &Expr, level: usize, text: &mut String) {
    let line = expr.to_string();
    if line.chars().count() <= LINE_MAX {
        indent(level, text);
        text.push_str(&line);
        return;
    }
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Selector(_) | Expr::Range(_) => {
            indent(level, text);
            text.push_str(&line);
        }
        Expr::Unary(unary) => {
            let start = text.len();
            write_pretty(&unary.expr, level, text);
            text.insert(start + level * 2, if unary.negative { '-' } else { '+' });
        }
        Expr::Paren(paren) => {
            indent(level, text);
            text.push_str("(\n");
            write_pretty(&paren.expr, level + 1, text);
            text.push('\n');
            indent(level, text);
            text.push(')');
        }
        Expr::Binary(binary) => {
            write_pretty(&binary.left, level + 1, text);
            text.push('\n');
            indent(level, text);
            text.push_str(&Operator(binary).to_string());
            text.push('\n');
            write_pretty(&binary.right, level + 1, text);
        }
        Expr::Aggregate(aggregate) => {
            indent(level, text);
            text.push_str(&AggregateHead(aggregate).to_string());
            let args: Vec<&Expr> = aggregate.parameter.iter().chain([&aggregate.expr]).collect();
            write_args(&args, level, text);
        }
        Expr::Call(call) => {
            indent(level, text);
            text.push_str(call.function.name());
            write_args(&call.args.iter().collect::<Vec<_>>(), level, text);
        }
        Expr::Subquery(subquery) => {
            write_pretty(&subquery.expr, level, text);
            text.push_str(&SubqueryTail(subquery).to_string());
        }
    }
}

fn write_args(args: &[&Expr], level: usize, text: &mut String) {
    text.push_str("(\n");
    for (position, arg) in args.iter().enumerate() {
        if position > 0 {
            text.push_str(",\n");
        }
        write_pretty(arg, level + 1, text);
    }
    text.push('\n');
    indent(level, text);
    text.push(')');
}

fn indent(level: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", level));
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::String(string) => Quoted(&string.value).fmt(f),
            Self::Selector(selector) => {
                Bare(selector).fmt(f)?;
                write_extension(selector, f)?;
                selector.shift.fmt(f)
            }
            Self::Range(range) => {
                let RangeSelector { selector, range, .. } = &**range;
                write!(f, "{}[{}]", Bare(selector), Whole(range))?;
                write_extension(selector, f)?;
                selector.shift.fmt(f)
            }
            Self::Subquery(subquery) => write!(f, "{}{}", subquery.expr, SubqueryTail(subquery)),
            Self::Unary(unary) => {
                write!(f, "{}{}", if unary.negative { '-' } else { '+' }, unary.expr)
            }
            Self::Paren(paren) => write!(f, "({})", paren.expr),
            Self::Binary(binary) => {
                write!(f, "{} {} {}", binary.left, Operator(binary), binary.right)
            }
            Self::Aggregate(aggregate) => {
                write!(f, "{}(", AggregateHead(aggregate))?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Self::Call(call) => {
                write!(f, "{}(", call.function.name())?;
                for (position, arg) in call.args.iter().enumerate() {
                    write!(f, "{}{arg}", if position > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for NumberLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(self.value, self.is_duration, f)
    }
}

fn write_seconds(seconds: f64, is_duration: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if is_duration {
        write!(f, "{}", Duration((seconds * 1_000.0).round() as i64))
    } else {
        write!(f, "{}", General(seconds))
    }
}

/// A selector without its modifiers.
struct Bare<'a>(&'a VectorSelector);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name.as_deref();
        f.write_str(name.unwrap_or_default())?;
        let said_by_name = |matcher: &crate::model::Matcher| {
            matcher.name() == METRIC_NAME
                && matcher.op() == MatchOp::Equal
                && Some(matcher.value()) == name
        };
        let mut separator = "{";
        for matcher in self.0.matchers.iter().filter(|matcher| !said_by_name(matcher)) {
            write!(f, "{separator}{matcher}")?;
            separator = ",";
        }
        match (separator, name) {
            (",", _) => f.write_str("}"),
            (_, None) => f.write_str("{}"),
            (_, Some(_)) => Ok(()),
        }
    }
}

fn write_extension(selector: &VectorSelector, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match selector.extension {
        Some(extension) => write!(f, " {}", extension.name()),
        None => Ok(()),
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(At::Time(ts)) => {
                let sign = if ts < 0 { "-" } else { "" };
                write!(
                    f,
                    " @ {sign}{}.{:03}",
                    ts.unsigned_abs() / 1_000,
                    ts.unsigned_abs() % 1_000
                )?;
            }
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            None => {}
        }
        match &self.offset {
            // Only an atom may stand behind `offset`.
            Some(offset @ DurationExpr::Binary(op, ..))
                if !matches!(op, DurationOp::Min | DurationOp::Max) =>
            {
                write!(f, " offset ({offset})")
            }
            Some(offset) => write!(f, " offset {}", Whole(offset)),
            None => Ok(()),
        }
    }
}

/// A duration that is no operand: numbers are written as durations too.
struct Whole<'a>(&'a DurationExpr);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DurationExpr::Literal { seconds, .. } => write_seconds(*seconds, true, f),
            other => other.fmt(f),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal { seconds, is_duration } => write_seconds(*seconds, *is_duration, f),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Negative(inner) => write!(f, "-{inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Binary(DurationOp::Min, left, right) => write!(f, "min_of({left}, {right})"),
            Self::Binary(DurationOp::Max, left, right) => write!(f, "max_of({left}, {right})"),
            Self::Binary(op, left, right) => {
                let symbol = match op {
                    DurationOp::Add => "+",
                    DurationOp::Sub => "-",
                    DurationOp::Mul => "*",
                    DurationOp::Div => "/",
                    DurationOp::Mod => "%",
                    DurationOp::Pow | DurationOp::Min | DurationOp::Max => "^",
                };
                write!(f, "{left} {symbol} {right}")
            }
        }
    }
}

/// `[30m:1m] @ end() offset 5m`.
struct SubqueryTail<'a>(&'a Subquery);

impl fmt::Display for SubqueryTail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", Whole(&self.0.range))?;
        if let Some(step) = &self.0.step {
            Whole(step).fmt(f)?;
        }
        write!(f, "]{}", self.0.shift)
    }
}

/// `sum by (a, b) `: everything before the arguments.
struct AggregateHead<'a>(&'a Aggregate);

impl fmt::Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Aggregate { op, without, grouping, .. } = self.0;
        f.write_str(op.name())?;
        if *without {
            write!(f, " without ({}) ", LabelList(grouping))
        } else if grouping.is_empty() {
            Ok(())
        } else {
            write!(f, " by ({}) ", LabelList(grouping))
        }
    }
}

struct LabelList<'a>(&'a [String]);

impl fmt::Display for LabelList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, name) in self.0.iter().enumerate() {
            write!(f, "{}{}", if position > 0 { ", " } else { "" }, LabelName(name))?;
        }
        Ok(())
    }
}

/// `== bool on (a) group_left (b)`.
struct Operator<'a>(&'a Binary);

impl fmt::Display for Operator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.symbol())?;
        if self.0.returns_bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching {
            Some(matching) => matching.fmt(f),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if self.on || !self.labels.is_empty() || group.is_some() {
            let word = if self.on { "on" } else { "ignoring" };
            write!(f, " {word} ({})", LabelList(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", LabelList(&self.include))?;
        }
        match (self.fill.left, self.fill.right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
                write!(f, " fill ({})", General(left))
            }
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", General(left))?;
                }
                if let Some(right) = right {
                    write!(f, " fill_right ({})", General(right))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Features, parse};

    #[test]
    fn one_line() {
        for (query, printed) in [
            (
                "sum by(a,b)(rate(x{l='v'}[5m]offset 1h))",
                "sum by (a, b) (rate(x{l=\"v\"}[5m] offset 1h))",
            ),
            ("a+on(x)group_left b", "a + on (x) group_left () b"),
            ("a == bool b", "a == bool b"),
            ("x[5m:]@end()", "x[5m:] @ end()"),
            ("x@1.5 offset-5m", "x @ 1.500 offset -5m"),
            ("{'a b'='c'}", "{\"a b\"=\"c\"}"),
            ("topk without()(3,x)", "topk without () (3, x)"),
            ("x offset (step()*2)", "x offset (step() * 2)"),
            ("a + fill(0) b", "a + fill (0) b"),
            ("1e9 * Inf", "1e+09 * +Inf"),
        ] {
            let expr = parse(query, Features::ALL).unwrap();
            assert_eq!(expr.to_string(), printed);
            assert_eq!(parse(printed, Features::ALL).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn long_queries_break() {
        let query = "sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{image!=\"\"}[5m])) / on (namespace) \
                     group_left () -sum by (namespace) (kube_pod_container_resource_limits{resource=\"cpu\",unit=\"core\"})";
        let expr = parse(query, Features::default()).unwrap();
        let formatted = pretty(&expr);
        assert_eq!(
            formatted,
            "  sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{image!=\"\"}[5m]))\n\
             / on (namespace) group_left ()\n  \
             -sum by (namespace) (kube_pod_container_resource_limits{resource=\"cpu\",unit=\"core\"})"
        );
        assert_eq!(parse(&formatted, Features::default()).unwrap().to_string(), expr.to_string());
    }
}
