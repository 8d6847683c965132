//! Types and rules that the grammar does not express. One pass over the tree.

use super::ParseError;
use crate::ast::{AggregateOp, Binary, Call, Cardinality, Expr, Span, ValueType, VectorSelector};
use crate::functions::{Function, Repeats};
use crate::model::text::Quoted;

pub(super) fn check(expr: &Expr, text: &str) -> Result<(), ParseError> {
    Checker { text }.visit(expr)
}

struct Checker<'a> {
    text: &'a str,
}

type Checked = Result<(), ParseError>;

impl Checker<'_> {
    fn fail(&self, span: Span, message: impl Into<String>) -> Checked {
        Err(ParseError::new(self.text, span, message))
    }

    fn visit(&self, expr: &Expr) -> Checked {
        match expr {
            Expr::Number(_) | Expr::String(_) => Ok(()),
            Expr::Selector(selector) => self.selector(selector),
            Expr::Range(range) => self.selector(&range.selector),
            Expr::Paren(paren) => self.visit(&paren.expr),
            Expr::Subquery(subquery) => {
                self.visit(&subquery.expr)?;
                let found = subquery.expr.value_type();
                if found == ValueType::Vector {
                    return Ok(());
                }
                let found = match found {
                    ValueType::Matrix => "matrix",
                    other => other.name(),
                };
                self.fail(
                    subquery.span,
                    format!("subquery is only allowed on instant vector, got {found} instead"),
                )
            }
            Expr::Unary(unary) => {
                self.visit(&unary.expr)?;
                match unary.expr.value_type() {
                    ValueType::Scalar | ValueType::Vector => Ok(()),
                    other => self.fail(
                        unary.span,
                        format!(
                            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                            Quoted(other.name())
                        ),
                    ),
                }
            }
            Expr::Aggregate(aggregate) => {
                self.expect(&aggregate.expr, ValueType::Vector, "aggregation expression")?;
                match &aggregate.parameter {
                    None => Ok(()),
                    Some(parameter) if aggregate.op == AggregateOp::CountValues => {
                        self.expect(parameter, ValueType::String, "aggregation parameter")
                    }
                    Some(parameter) => {
                        self.expect(parameter, ValueType::Scalar, "aggregation parameter")
                    }
                }
            }
            Expr::Binary(binary) => self.binary(binary),
            Expr::Call(call) => self.call(call),
        }
    }

    fn expect(&self, expr: &Expr, wanted: ValueType, context: &str) -> Checked {
        self.visit(expr)?;
        let found = expr.value_type();
        if found == wanted {
            return Ok(());
        }
        self.fail(
            expr.span(),
            format!("expected type {} in {context}, got {}", wanted.name(), found.name()),
        )
    }

    fn selector(&self, selector: &VectorSelector) -> Checked {
        if selector.matchers.iter().all(crate::model::Matcher::matches_empty) {
            return self.fail(
                selector.span,
                "vector selector must contain at least one non-empty matcher",
            );
        }
        Ok(())
    }

    fn binary(&self, binary: &Binary) -> Checked {
        self.visit(&binary.left)?;
        self.visit(&binary.right)?;
        let (left, right) = (binary.left.value_type(), binary.right.value_type());
        // The operator with its modifiers, without the blanks around it.
        let between = Span { start: binary.left.span().end, end: binary.right.span().start };
        let blank = |c: char| c.is_ascii_whitespace();
        let text = &self.text[between.start as usize..between.end as usize];
        let lead = u32::try_from(text.len() - text.trim_start_matches(blank).len()).unwrap_or(0);
        let operator = Span { start: between.start + lead, ..between };
        let op = binary.op;
        if binary.returns_bool && !op.is_comparison() {
            return self.fail(operator, "bool modifier can only be used on comparison operators");
        }
        let both_scalar = left == ValueType::Scalar && right == ValueType::Scalar;
        if op.is_comparison() && !binary.returns_bool && both_scalar {
            return self.fail(operator, "comparisons between scalars must use BOOL modifier");
        }
        let Some(matching) = &binary.matching else { return Ok(()) };
        if matching.on
            && let Some(twice) =
                matching.labels.iter().find(|label| matching.include.contains(label))
        {
            let message =
                format!("label {} must not occur in ON and GROUP clause at once", Quoted(twice));
            return self.fail(operator, message);
        }
        for (side, found) in [(&binary.left, left), (&binary.right, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(side.span(), message);
            }
        }
        let both_vectors = left == ValueType::Vector && right == ValueType::Vector;
        let fills = matching.fill.left.is_some() || matching.fill.right.is_some();
        if !both_vectors {
            if !matching.labels.is_empty() {
                return self
                    .fail(binary.span, "vector matching only allowed between instant vectors");
            }
            if fills {
                return self.fail(
                    binary.span,
                    "filling in missing series only allowed between instant vectors",
                );
            }
            if op.is_set() {
                let message = format!(
                    "set operator {} not allowed in binary scalar expression",
                    Quoted(op.symbol())
                );
                return self.fail(binary.span, message);
            }
        } else if op.is_set() {
            if matches!(matching.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany) {
                return self.fail(
                    binary.span,
                    format!("no grouping allowed for {} operation", Quoted(op.symbol())),
                );
            }
            if fills {
                return self
                    .fail(binary.span, "filling in missing series not allowed for set operators");
            }
        }
        Ok(())
    }

    fn call(&self, call: &Call) -> Checked {
        let signature = call.function.signature();
        let (wanted, given) = (signature.args.len(), call.args.len());
        let name = Quoted(signature.name);
        match signature.repeats {
            Repeats::Once if given != wanted => {
                return self.fail(
                    call.span,
                    format!("expected {wanted} argument(s) in call to {name}, got {given}"),
                );
            }
            Repeats::UpTo(_) | Repeats::Any if given < wanted - 1 => {
                let least = wanted - 1;
                let message =
                    format!("expected at least {least} argument(s) in call to {name}, got {given}");
                return self.fail(call.span, message);
            }
            Repeats::UpTo(times) if given > wanted - 1 + times => {
                let most = wanted - 1 + times;
                let message =
                    format!("expected at most {most} argument(s) in call to {name}, got {given}");
                return self.fail(call.span, message);
            }
            Repeats::Once | Repeats::UpTo(_) | Repeats::Any => {}
        }
        for (position, arg) in call.args.iter().enumerate() {
            if call.function == Function::Info && position == 1 {
                self.label_selector(arg)?;
                continue;
            }
            self.visit(arg)?;
            let wanted = signature.args[position.min(signature.args.len() - 1)];
            let found = arg.value_type();
            if found != wanted {
                let message = format!(
                    "expected type {} in call to function {name}, got {}",
                    wanted.name(),
                    found.name()
                );
                return self.fail(arg.span(), message);
            }
        }
        Ok(())
    }

    /// The second argument of `info`: matchers only, and they may match the empty value.
    fn label_selector(&self, arg: &Expr) -> Checked {
        match arg {
            Expr::Selector(selector) if selector.name.is_some() => self
                .fail(selector.span, "expected label selectors only, got vector selector instead"),
            Expr::Selector(_) => Ok(()),
            other => self.fail(other.span(), "expected label selectors only"),
        }
    }
}
