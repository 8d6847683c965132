//! Numbers for label sets of which only some labels count: groups of aggregations, signatures of matches.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::model::{Label, Labels};

/// Parts of label sets, numbered in the order in which they are met. Only a new one is copied.
#[derive(Default)]
pub(super) struct Numbering {
    table: HashTable<usize>,
    hasher: DefaultHashBuilder,
    parts: Vec<Labels>,
}

impl Numbering {
    /// The number of those labels that `counts` says yes to.
    pub(super) fn number(&mut self, labels: &Labels, counts: impl Fn(&Label) -> bool) -> usize {
        let counting = || labels.iter().filter(|label| counts(label));
        let hash = self.hash(counting());
        let found = self.table.find(hash, |at| self.parts[*at].iter().eq(counting()));
        if let Some(at) = found {
            return *at;
        }
        let next = self.parts.len();
        self.parts.push(labels.filter(&counts));
        let (hasher, parts) = (&self.hasher, &self.parts);
        self.table.insert_unique(hash, next, |at| hash_of(hasher, parts[*at].iter()));
        next
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// What the numbers stand for.
    pub(super) fn into_parts(self) -> Vec<Labels> {
        self.parts
    }

    fn hash<'l>(&self, labels: impl Iterator<Item = &'l Label>) -> u64 {
        hash_of(&self.hasher, labels)
    }
}

fn hash_of<'l>(hasher: &DefaultHashBuilder, labels: impl Iterator<Item = &'l Label>) -> u64 {
    let mut state = hasher.build_hasher();
    labels.for_each(|label| label.hash(&mut state));
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_what_is_told_apart() {
        let mut numbering = Numbering::default();
        let labels = |a: &str, b: &str| Labels::from_pairs([("a", a), ("b", b)]).unwrap();
        let mut number = |labels| numbering.number(&labels, |label| &*label.name == "a");
        assert_eq!(number(labels("1", "1")), 0);
        assert_eq!(number(labels("2", "1")), 1);
        assert_eq!(number(labels("1", "2")), 0);
        assert_eq!(number(labels("", "1")), 2);
        // Enough for the table to grow.
        for n in 0..1_000 {
            assert_eq!(number(labels(&format!("x{n}"), "")), 3 + n);
        }
        assert_eq!(number(labels("2", "2")), 1);
        assert_eq!(numbering.len(), 1_003);
        let parts = numbering.into_parts();
        assert_eq!(parts[1], Labels::from_pairs([("a", "2")]).unwrap());
        assert_eq!(parts[2], Labels::default());
    }
}
