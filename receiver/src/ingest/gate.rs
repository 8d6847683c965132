//! What stands before the store: the rules of the configuration file, and what they said of the series that were seen.
//!
//! Rules are pure, so each is asked once about the label bytes of a series, and the answer is kept under their hash
//! ([`Keys`]): a series in the index, or nothing. A request works with one [`Standing`] from its beginning to its end;
//! other rules come with another, and what was remembered under the old ones goes with those.

use std::sync::{Arc, RwLock};

use promql::model::{LabelError, Labels};

use super::{
    Limits, Reason,
    keys::Keys,
    relabel::{self, Outcome},
};
use crate::config::Rules;

/// Holds the [`Standing`] that is in force. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<RwLock<Arc<Standing>>>);

/// Rules, and what they said.
#[derive(Debug)]
pub(super) struct Standing {
    rules: Rules,
    pub(super) keys: Keys,
}

impl Gate {
    pub(super) fn new(rules: Rules) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(Standing::new(rules)))))
    }

    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    /// Puts other rules in force, for requests that come from now on.
    pub(super) fn replace(&self, rules: Rules) {
        let standing = Arc::new(Standing::new(rules));
        *self.0.write().expect("no holder panics") = standing;
    }
}

impl Standing {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, keys: Keys::default() }
    }

    /// What the rules make of a series that is not known: `None` if it is not wanted.
    pub(super) fn judge(&self, labels: Labels, limits: &Limits) -> Result<Option<Labels>, Reason> {
        let rules = &self.rules.write_relabel_configs;
        if rules.is_empty() {
            return Ok(Some(labels));
        }
        match relabel::apply(rules, &labels)? {
            Outcome::Dropped => Ok(None),
            Outcome::Kept(pairs) => checked(pairs, limits).map(Some),
        }
    }
}

/// Rules may make what no sender may send.
fn checked(pairs: Vec<(String, String)>, limits: &Limits) -> Result<Labels, Reason> {
    if pairs.len() > limits.labels_per_series_max {
        return Err(Reason::TooManyLabels);
    }
    for (name, value) in &pairs {
        if name.len() > limits.label_name_bytes_max {
            return Err(Reason::LabelNameTooLong);
        }
        if value.len() > limits.label_value_bytes_max {
            return Err(Reason::LabelValueTooLong);
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(Reason::NulByte);
        }
    }
    let labels = Labels::from_pairs(pairs).map_err(|err| match err {
        LabelError::EmptyName => Reason::EmptyLabelName,
        LabelError::Duplicate { .. } => Reason::DuplicateLabel,
    })?;
    if labels.metric_name().is_empty() {
        return Err(Reason::NoMetricName);
    }
    if labels.metric_name().len() > limits.label_name_bytes_max {
        return Err(Reason::LabelNameTooLong);
    }
    Ok(labels)
}
