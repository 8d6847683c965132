//! The labels that identify a series.

use std::fmt;
use std::sync::Arc;

use super::text::Quoted;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// One name and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    pub name: Arc<str>,
    pub value: Arc<str>,
}

/// What a rule, a function or an operator that changes a metric's meaning takes away: its name, and the type and unit
/// that went with that name.
pub const METADATA_NAMES: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// A label set: sorted by name, names unique, no empty values (an empty value is an absent label).
///
/// Clones share the pairs: a query hands the same label set through every operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LabelError {
    #[error("a label has no name")]
    EmptyName,
    #[error("label `{name}` is given twice")]
    Duplicate { name: String },
}

impl Labels {
    /// Sorts the pairs and drops those with an empty value.
    pub fn new(mut pairs: Vec<Label>) -> Result<Self, LabelError> {
        pairs.retain(|label| !label.value.is_empty());
        pairs.sort_by(|a, b| a.name.cmp(&b.name));
        for neighbours in pairs.windows(2) {
            if neighbours[0].name == neighbours[1].name {
                return Err(LabelError::Duplicate { name: neighbours[0].name.to_string() });
            }
        }
        if pairs.first().is_some_and(|label| label.name.is_empty()) {
            return Err(LabelError::EmptyName);
        }
        Ok(Self(pairs.into()))
    }

    /// The same from string pairs.
    pub fn from_pairs<N: Into<Arc<str>>, V: Into<Arc<str>>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, LabelError> {
        Self::new(
            pairs
                .into_iter()
                .map(|(name, value)| Label { name: name.into(), value: value.into() })
                .collect(),
        )
    }

    /// Keeps the labels for which `keep` says so.
    pub fn filter(&self, mut keep: impl FnMut(&Label) -> bool) -> Self {
        if self.iter().all(&mut keep) {
            return self.clone();
        }
        Self(self.iter().filter(|label| keep(label)).cloned().collect())
    }

    /// Without the metric's name, type and unit.
    pub fn without_metadata(&self) -> Self {
        let is_metadata = |name: &str| name.starts_with("__") && METADATA_NAMES.contains(&name);
        self.filter(|label| !is_metadata(&label.name))
    }

    /// With one label set to a value; the empty value removes it.
    ///
    /// # Panics
    /// On an empty name, which no caller that has checked its names can have.
    pub fn with(&self, name: &str, value: &str) -> Self {
        assert!(!name.is_empty(), "label names are checked before they are set");
        let before = self.iter().filter(|label| &*label.name < name).cloned();
        let set = (!value.is_empty()).then(|| Label { name: name.into(), value: value.into() });
        let after = self.iter().filter(|label| &*label.name > name).cloned();
        Self(before.chain(set).chain(after).collect())
    }

    /// The value of a label; absent labels have the empty value.
    pub fn get(&self, name: &str) -> &str {
        match self.0.binary_search_by(|label| (*label.name).cmp(name)) {
            Ok(at) => &self.0[at].value,
            Err(_) => "",
        }
    }

    pub fn metric_name(&self) -> &str {
        match self.0.first() {
            // Few names sort before it.
            Some(first) if &*first.name == METRIC_NAME => &first.value,
            _ => self.get(METRIC_NAME),
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All labels in braces, the name as one of them, as Prometheus prints series in error texts.
    pub fn braced(&self) -> impl fmt::Display + '_ {
        Braced(self)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

struct Braced<'a>(&'a Labels);

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        let mut separator = "";
        for label in self.0 {
            write!(f, "{separator}{}={}", label.name, Quoted(&label.value))?;
            separator = ", ";
        }
        f.write_str("}")
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// As Prometheus prints a series: `up{instance="a:1", job="b"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric_name())?;
        let mut others = self.iter().filter(|label| &*label.name != METRIC_NAME).peekable();
        if others.peek().is_none() {
            return if self.is_empty() { f.write_str("{}") } else { Ok(()) };
        }
        let mut open = "{";
        for label in others {
            write!(f, "{open}{}={}", label.name, Quoted(&label.value))?;
            open = ", ";
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_and_removing_keep_the_order() {
        let labels = Labels::from_pairs([("__name__", "up"), ("b", "1"), ("d", "2")]).unwrap();
        assert_eq!(labels.with("c", "x").to_string(), "up{b=\"1\", c=\"x\", d=\"2\"}");
        assert_eq!(labels.with("b", "").to_string(), "up{d=\"2\"}");
        assert_eq!(labels.with("d", "3").to_string(), "up{b=\"1\", d=\"3\"}");
        assert_eq!(labels.without_metadata().to_string(), "{b=\"1\", d=\"2\"}");
        assert_eq!(labels.braced().to_string(), "{__name__=\"up\", b=\"1\", d=\"2\"}");
    }

    #[test]
    fn sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([
            ("job", "b"),
            ("__name__", "up"),
            ("empty", ""),
            ("instance", "a:1"),
        ])
        .unwrap();
        assert_eq!(labels.to_string(), "up{instance=\"a:1\", job=\"b\"}");
        assert_eq!(labels.get("empty"), "");
        let twice = Labels::from_pairs([("a", "1"), ("a", "2")]);
        assert_eq!(twice, Err(LabelError::Duplicate { name: "a".to_owned() }));
        assert_eq!(Labels::from_pairs([("", "1")]), Err(LabelError::EmptyName));
    }
}
