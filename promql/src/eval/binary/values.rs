//! What operators do to two values.

use std::sync::Arc;

use super::super::column::{Cell, Column};
use super::super::context::Context;
use super::{flag, kept};
use crate::ast::{Binary, BinaryOp, Span};
use crate::model::annotation::HistogramOperation;
use crate::model::histogram::{CounterReset, Keep};
use crate::model::{Annotation, Histogram, Value};

/// An operator between two numbers; comparisons give 0 and 1.
pub(in crate::eval) fn scalars(op: BinaryOp, a: f64, b: f64) -> f64 {
    match (arithmetic(op), comparison(op)) {
        (Some(f), _) => f(a, b),
        (_, Some(f)) => flag(f(a, b)),
        (None, None) => f64::NAN,
    }
}

fn arithmetic(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => f64::powf,
        BinaryOp::Atan2 => f64::atan2,
        _ => return None,
    })
}

fn comparison(op: BinaryOp) -> Option<fn(f64, f64) -> bool> {
    Some(match op {
        BinaryOp::Equal => |a, b| a == b,
        BinaryOp::NotEqual => |a, b| a != b,
        BinaryOp::Greater => |a, b| a > b,
        BinaryOp::Less => |a, b| a < b,
        BinaryOp::GreaterOrEqual => |a, b| a >= b,
        BinaryOp::LessOrEqual => |a, b| a <= b,
        _ => return None,
    })
}

/// An operator with its modifier and its place in the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) op: BinaryOp,
    pub(super) returns_bool: bool,
    span: Span,
}

/// What comes of two values.
pub(super) enum Combined {
    Value(Value),
    /// A comparison without `bool`: whether the element stays.
    Filtered(bool),
}

impl Operation {
    pub(super) fn new(binary: &Binary) -> Self {
        Self { op: binary.op, returns_bool: binary.returns_bool, span: binary.span }
    }

    /// The operator as a plain function, if it always gives a value.
    pub(super) fn float_arithmetic(&self) -> Option<fn(f64, f64) -> f64> {
        arithmetic(self.op)
    }

    /// Combines two columns into one, all of whose values come from times at which both have one.
    pub(super) fn columns(
        &self,
        ctx: &Context<'_>,
        left: &Column,
        right: &Column,
        result: &mut Column,
    ) {
        result.reset(left.len());
        if left.has_histograms() || right.has_histograms() || self.is_trim() {
            for place in 0..left.len() {
                let (Some(a), Some(b)) = (left.get(place), right.get(place)) else { continue };
                if let Some(value) = self.apply(ctx, a, b).and_then(|combined| kept(combined, a)) {
                    result.set(place, value);
                }
            }
            return;
        }
        result.present.add_all(&left.present);
        result.present.keep_only(&right.present);
        let pairs = left.values.iter().zip(&right.values);
        if let Some(f) = arithmetic(self.op) {
            for (value, (a, b)) in result.values.iter_mut().zip(pairs) {
                *value = f(*a, *b);
            }
        } else if let Some(f) = comparison(self.op) {
            for (place, (a, b)) in pairs.enumerate() {
                let holds = f(*a, *b);
                result.values[place] = if self.returns_bool { flag(holds) } else { *a };
                if !holds && !self.returns_bool {
                    result.present.unset(place);
                }
            }
        }
    }

    fn is_trim(&self) -> bool {
        matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
    }

    /// Combines two values; nothing comes of kinds that do not fit, except for an annotation.
    pub(super) fn apply(
        &self,
        ctx: &Context<'_>,
        left: Cell<'_>,
        right: Cell<'_>,
    ) -> Option<Combined> {
        let incompatible = |left, right| {
            let operator = self.op.symbol();
            ctx.annotate(self.span, Annotation::IncompatibleTypes { left, operator, right });
            None
        };
        match (left, right) {
            (Cell::Float(a), Cell::Float(b)) => match (arithmetic(self.op), comparison(self.op)) {
                (Some(f), _) => Some(Combined::Value(Value::Float(f(a, b)))),
                (_, Some(f)) => Some(self.compared(f(a, b))),
                (None, None) => incompatible("float", "float"),
            },
            (Cell::Float(a), Cell::Histogram(b)) => match self.op {
                BinaryOp::Mul => Some(changed(b, |histogram| histogram.mul(a))),
                _ => incompatible("float", "histogram"),
            },
            (Cell::Histogram(a), Cell::Float(b)) => match self.op {
                BinaryOp::Mul => Some(changed(a, |histogram| histogram.mul(b))),
                BinaryOp::Div => Some(changed(a, |histogram| histogram.div(b))),
                BinaryOp::TrimUpper => Some(changed(a, |histogram| histogram.trim(b, Keep::Below))),
                BinaryOp::TrimLower => Some(changed(a, |histogram| histogram.trim(b, Keep::Above))),
                _ => incompatible("histogram", "float"),
            },
            (Cell::Histogram(a), Cell::Histogram(b)) => match self.op {
                BinaryOp::Add => self.sum(ctx, a, b, HistogramOperation::Addition),
                BinaryOp::Sub => self.sum(ctx, a, b, HistogramOperation::Subtraction),
                BinaryOp::Equal => Some(self.compared(a.observes_same(b))),
                BinaryOp::NotEqual => Some(self.compared(!a.observes_same(b))),
                _ => incompatible("histogram", "histogram"),
            },
        }
    }

    fn compared(&self, holds: bool) -> Combined {
        if self.returns_bool {
            Combined::Value(Value::Float(flag(holds)))
        } else {
            Combined::Filtered(holds)
        }
    }

    fn sum(
        &self,
        ctx: &Context<'_>,
        a: &Histogram,
        b: &Histogram,
        operation: HistogramOperation,
    ) -> Option<Combined> {
        let mut result = a.clone();
        let subtracts = operation == HistogramOperation::Subtraction;
        let combined = if subtracts { result.sub(b) } else { result.add(b) };
        let Ok(reconciled) = combined else {
            ctx.annotate(
                self.span,
                Annotation::IncompatibleBucketLayout { operator: self.op.symbol() },
            );
            return None;
        };
        if subtracts {
            result.counter_reset = CounterReset::Gauge;
        }
        if reconciled.counter_resets_collide {
            ctx.annotate(self.span, Annotation::CounterResetCollision { operation });
        }
        if reconciled.bounds {
            ctx.annotate(self.span, Annotation::MismatchedCustomBuckets { operation });
        }
        Some(Combined::Value(Value::Histogram(Arc::new(result))))
    }
}

fn changed(histogram: &Histogram, change: impl FnOnce(&mut Histogram)) -> Combined {
    let mut changed = histogram.clone();
    change(&mut changed);
    Combined::Value(Value::Histogram(Arc::new(changed)))
}
