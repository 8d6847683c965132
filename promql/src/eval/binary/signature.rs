//! What elements of two vectors must have in common to match.

use std::collections::HashMap;

use super::super::operator::Series;
use crate::ast::Matching;
use crate::model::{Labels, METRIC_NAME};

/// The labels that count for matching: those of `on`, or all but those of `ignoring` and the metric's name.
pub(super) fn signature(labels: &Labels, matching: &Matching) -> Labels {
    labels.filter(|label| {
        let listed = matching.labels.iter().any(|name| **name == *label.name);
        if matching.on { listed } else { !listed && &*label.name != METRIC_NAME }
    })
}

/// Numbers for signatures, in the order in which they are met.
#[derive(Default)]
pub(super) struct Signatures {
    numbers: HashMap<Labels, usize>,
}

impl Signatures {
    pub(super) fn number_all(&mut self, series: &[Series], matching: &Matching) -> Vec<usize> {
        let number = |series: &Series| {
            let next = self.numbers.len();
            *self.numbers.entry(signature(&series.labels, matching)).or_insert(next)
        };
        series.iter().map(number).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}
