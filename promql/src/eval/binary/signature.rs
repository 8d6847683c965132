//! What elements of two vectors must have in common to match.

use super::super::numbering::Numbering;
use super::super::operator::Series;
use crate::ast::Matching;
use crate::model::{Label, Labels, METRIC_NAME};

/// The labels that count for matching.
pub(super) fn signature(labels: &Labels, matching: &Matching) -> Labels {
    labels.filter(|label| counts(label, matching))
}

/// Those of `on`, or all but those of `ignoring` and the metric's name.
fn counts(label: &Label, matching: &Matching) -> bool {
    let listed = matching.labels.iter().any(|name| **name == *label.name);
    if matching.on { listed } else { !listed && &*label.name != METRIC_NAME }
}

/// Numbers for signatures, in the order in which they are met.
#[derive(Default)]
pub(super) struct Signatures {
    numbers: Numbering,
}

impl Signatures {
    pub(super) fn number_all(&mut self, series: &[Series], matching: &Matching) -> Vec<usize> {
        let counts = |label: &Label| counts(label, matching);
        series.iter().map(|series| self.numbers.number(&series.labels, counts)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}
