//! Labels that are being changed. It behaves as Prometheus' `labels.Builder` down to the order in which labels are met,
//! because with `labelmap` the last of two that want the same name wins.

use promql::model::Labels;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Builder<'l> {
    base: &'l Labels,
    removed: Vec<String>,
    /// Labels set since, in the order in which they were first set. They count before `removed`, and that before `base`.
    added: Vec<(String, String)>,
}

impl<'l> Builder<'l> {
    pub(super) fn new(base: &'l Labels) -> Self {
        Self { base, removed: Vec::new(), added: Vec::new() }
    }

    /// The value, or nothing where there is no such label.
    pub(super) fn get(&self, name: &str) -> &str {
        if let Some((_, value)) = self.added.iter().find(|(added, _)| added == name) {
            return value;
        }
        if self.is_removed(name) {
            return "";
        }
        self.base.get(name)
    }

    /// An empty value takes the label out.
    pub(super) fn set(&mut self, name: &str, value: String) {
        if value.is_empty() {
            self.remove(name);
        } else if let Some(known) = self.added.iter_mut().find(|(added, _)| added == name) {
            known.1 = value;
        } else {
            self.added.push((name.to_owned(), value));
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.added.retain(|(added, _)| added != name);
        if !self.is_removed(name) {
            self.removed.push(name.to_owned());
        }
    }

    /// All labels as they are now.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let is_added = |name: &str| self.added.iter().any(|(added, _)| added == name);
        let base = self.base.iter().filter(|l| !self.is_removed(&l.name) && !is_added(&l.name));
        base.map(|label| (label.name.to_string(), label.value.to_string()))
            .chain(self.added.iter().cloned())
            .collect()
    }

    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.pairs()
    }

    /// Of what was made, names and values together.
    pub(super) fn n_bytes(&self) -> usize {
        self.added.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn is_removed(&self, name: &str) -> bool {
        self.removed.iter().any(|removed| removed == name)
    }
}
