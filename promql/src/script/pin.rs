//! Pinning every selector with `@`: the same answer must come at any evaluation time.

use crate::ast::{At, Expr};
use crate::functions::Function;

/// Whether a query's answer depends on the evaluation time in ways that pinning selectors does not undo.
pub(super) fn depends_on_time(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Selector(_) | Expr::Range(_) => false,
        Expr::Subquery(subquery) => depends_on_time(&subquery.expr),
        Expr::Unary(unary) => depends_on_time(&unary.expr),
        Expr::Paren(paren) => depends_on_time(&paren.expr),
        Expr::Binary(binary) => depends_on_time(&binary.left) || depends_on_time(&binary.right),
        Expr::Aggregate(aggregate) => {
            depends_on_time(&aggregate.expr)
                || aggregate.parameter.as_ref().is_some_and(depends_on_time)
        }
        Expr::Call(call) => {
            call.function.depends_on_time() || call.args.iter().any(depends_on_time)
        }
    }
}

/// Pins what is not pinned yet; not below a subquery that is.
pub(super) fn pin(expr: &mut Expr, ts: i64) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Selector(selector) => {
            selector.shift.at.get_or_insert(At::Time(ts));
        }
        Expr::Range(range) => {
            range.selector.shift.at.get_or_insert(At::Time(ts));
        }
        Expr::Subquery(subquery) => {
            subquery.shift.at.get_or_insert(At::Time(ts));
        }
        Expr::Unary(unary) => pin(&mut unary.expr, ts),
        Expr::Paren(paren) => pin(&mut paren.expr, ts),
        Expr::Binary(binary) => {
            pin(&mut binary.left, ts);
            pin(&mut binary.right, ts);
        }
        Expr::Aggregate(aggregate) => {
            pin(&mut aggregate.expr, ts);
            if let Some(parameter) = &mut aggregate.parameter {
                pin(parameter, ts);
            }
        }
        Expr::Call(call) => call.args.iter_mut().for_each(|arg| pin(arg, ts)),
    }
}

/// Whether a query asks for the query's own times, which differ between instant and range queries.
pub(super) fn asks_for_times(expr: &Expr) -> bool {
    let text = expr.to_string();
    [Function::Start, Function::End, Function::Range, Function::Step]
        .iter()
        .any(|function| text.contains(&format!("{}()", function.name())))
}
