//! The catalogue in memory: columns of series, interned strings, and postings for matchers.
//!
//! Positions only grow, so every postings list is sorted by being appended to.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::{HashMap, HashTable};
use promql::model::{Label, Labels, METRIC_NAME};

use super::{Identity, Known};
use crate::model::{MetricId, PackId, SeriesId};

/// Where a series stands in the columns of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u32);

/// An interned string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Symbol(u32);

/// An interned label: a name and a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair(u32);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Index {
    symbols: Symbols,
    /// What a lookup gives, side by side: one look into memory finds both.
    known: Vec<Known>,
    metrics: Vec<MetricId>,
    /// Where each series' labels end in `labels`.
    label_ends: Vec<u32>,
    labels: Vec<Pair>,
    by_identity: HashTable<KeyEntry>,
    by_id: ById,
    pairs: Pairs,
    /// The positions of all series that have a pair, sorted; by its number.
    postings: Vec<Vec<u32>>,
    /// All pairs of a label name, in order of their first appearance.
    values: HashMap<Symbol, Vec<Pair>>,
}

/// Labels that were copied out of the catalogue, by what they are there.
#[derive(Debug, Default)]
pub struct Copied {
    labels: HashMap<Pair, Label>,
    names: HashMap<Symbol, Arc<str>>,
}

/// Positions by series numbers, in pages: numbers are dense within the ranges that receivers claim.
#[derive(Debug, Default)]
struct ById(Vec<Option<Box<[u32; PAGE]>>>);

const PAGE: usize = 4096;
/// Numbers start at 1, and no database has ever held as many series as this.
const ID_MAX: i64 = 1 << 32;
const NOWHERE: u32 = u32::MAX;

impl ById {
    fn get(&self, id: SeriesId) -> Option<u32> {
        let at = usize::try_from(id.0).ok()?;
        let page = self.0.get(at / PAGE)?.as_ref()?;
        Some(page[at % PAGE]).filter(|position| *position != NOWHERE)
    }

    fn insert(&mut self, id: SeriesId, position: u32) {
        assert!(Index::can_hold(id), "whoever reads numbers from the database looks at them");
        let at = id.0 as usize;
        if self.0.len() <= at / PAGE {
            self.0.resize_with(at / PAGE + 1, || None);
        }
        self.0[at / PAGE].get_or_insert_with(|| Box::new([NOWHERE; PAGE]))[at % PAGE] = position;
    }
}

/// Every distinct label once.
#[derive(Debug, Default)]
struct Pairs {
    texts: Vec<(Symbol, Symbol)>,
    table: HashTable<u32>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Pairs {
    fn find(&self, pair: (Symbol, Symbol)) -> Option<Pair> {
        let found =
            self.table.find(self.hasher.hash_one(pair), |at| self.texts[*at as usize] == pair);
        found.map(|at| Pair(*at))
    }

    /// The pair's number, and whether it is new.
    fn intern(&mut self, pair: (Symbol, Symbol)) -> (Pair, bool) {
        if let Some(known) = self.find(pair) {
            return (known, false);
        }
        let at = self.texts.len() as u32;
        self.texts.push(pair);
        let (texts, hasher) = (&self.texts, &self.hasher);
        let hash = |at: &u32| hasher.hash_one(texts[*at as usize]);
        self.table.insert_unique(hasher.hash_one(pair), at, hash);
        (Pair(at), true)
    }
}

/// A 128-bit key of which 64 bits choose the place and 32 more are compared: 16 bytes an entry instead of 32.
#[derive(Clone, Copy, Debug)]
struct KeyEntry {
    high: u64,
    low: u32,
    position: u32,
}

fn find(table: &HashTable<KeyEntry>, key: u128) -> Option<Position> {
    let (high, low) = ((key >> 64) as u64, key as u32);
    table
        .find(high, |entry| entry.high == high && entry.low == low)
        .map(|entry| Position(entry.position))
}

fn put(table: &mut HashTable<KeyEntry>, key: u128, position: Position) {
    let (high, low) = ((key >> 64) as u64, key as u32);
    if table.find(high, |entry| entry.high == high && entry.low == low).is_none() {
        table.insert_unique(high, KeyEntry { high, low, position: position.0 }, |entry| entry.high);
    }
}

impl Index {
    /// Whether this can be the number of a series. What is in the database may have been written by anybody.
    pub(super) fn can_hold(id: SeriesId) -> bool {
        (0..ID_MAX).contains(&id.0)
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn by_identity(&self, identity: Identity) -> Option<Known> {
        find(&self.by_identity, identity.0).map(|position| self.known(position))
    }

    pub fn position(&self, series: SeriesId) -> Option<Position> {
        self.by_id.get(series).map(Position)
    }

    #[inline]
    pub fn known(&self, position: Position) -> Known {
        self.known[position.0 as usize]
    }

    /// The pack that holds the series' samples in blocks.
    pub fn pack(&self, position: Position) -> PackId {
        self.known[position.0 as usize].pack
    }

    /// Adds a series; one that is there already is left as it is. Its labels, the metric's name among them, come in any
    /// order.
    pub fn insert<'a>(
        &mut self,
        identity: Identity,
        metric: MetricId,
        pack: PackId,
        series: SeriesId,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Position {
        if let Some(position) = find(&self.by_identity, identity.0) {
            return position;
        }
        let position = Position(
            u32::try_from(self.known.len()).expect("memory ends long before 4 billion series"),
        );
        self.known.push(Known { position, pack, series });
        self.metrics.push(metric);
        for (name, value) in labels {
            let name = self.symbols.intern(name);
            let (pair, is_new) = self.pairs.intern((name, self.symbols.intern(value)));
            if is_new {
                self.values.entry(name).or_default().push(pair);
                self.postings.push(Vec::new());
            }
            self.labels.push(pair);
            self.postings[pair.0 as usize].push(position.0);
        }
        self.label_ends.push(self.labels.len() as u32);
        put(&mut self.by_identity, identity.0, position);
        self.by_id.insert(series, position.0);
        position
    }

    pub fn labels(&self, position: Position) -> Labels {
        self.labels_with(position, &mut Copied::default())
    }

    /// The same for one of many series, which share what they have in common.
    pub fn labels_with(&self, position: Position, copied: &mut Copied) -> Labels {
        let label = |pair: &Pair| {
            let copy = || {
                let (name, value) = self.pairs.texts[pair.0 as usize];
                let name =
                    copied.names.entry(name).or_insert_with(|| self.symbols.text(name).into());
                Label { name: Arc::clone(name), value: self.symbols.text(value).into() }
            };
            copied.labels.entry(*pair).or_insert_with(copy).clone()
        };
        let labels = self.pair_numbers(position).iter().map(label).collect();
        Labels::new(labels).expect("a stored label set is valid")
    }

    /// The labels of a series in any order, without copying them.
    pub fn label_pairs(&self, position: Position) -> impl Iterator<Item = (&str, &str)> {
        self.pairs_of(position)
            .map(|(name, value)| (self.symbols.text(name), self.symbols.text(value)))
    }

    /// All distinct labels, each with the number of series that have it.
    pub fn pair_counts(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.pairs.texts.iter().zip(&self.postings).map(|((name, value), postings)| {
            (self.symbols.text(*name), self.symbols.text(*value), postings.len())
        })
    }

    /// The names of all labels that any series has, sorted.
    pub fn label_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.values.keys().map(|name| self.symbols.text(*name)).collect();
        names.sort_unstable();
        names
    }

    /// All values of one label, sorted.
    pub fn label_values(&self, name: &str) -> Vec<&str> {
        let Some(name) = self.symbols.find(name) else { return Vec::new() };
        let mut values: Vec<&str> = self
            .values
            .get(&name)
            .into_iter()
            .flatten()
            .map(|pair| self.symbols.text(self.pairs.texts[pair.0 as usize].1))
            .collect();
        values.sort_unstable();
        values
    }

    /// The number of a label, if any series has it.
    pub(super) fn pair(&self, name: &str, value: &str) -> Option<Pair> {
        self.pairs.find((self.symbols.find(name)?, self.symbols.find(value)?))
    }

    /// The sorted positions of all series that have a label.
    pub(super) fn postings(&self, pair: Pair) -> &[u32] {
        &self.postings[pair.0 as usize]
    }

    /// All labels of a name, in order of their first appearance.
    pub(super) fn values(&self, name: &str) -> &[Pair] {
        let pairs = self.symbols.find(name).and_then(|name| self.values.get(&name));
        pairs.map_or(&[], Vec::as_slice)
    }

    /// How many values a label has.
    pub(super) fn n_values(&self, name: &str) -> usize {
        self.values(name).len()
    }

    pub(super) fn value_text(&self, pair: Pair) -> &str {
        self.symbols.text(self.pairs.texts[pair.0 as usize].1)
    }

    /// The label of that name that a series has.
    pub(super) fn pair_named(&self, position: Position, name: &str) -> Option<Pair> {
        let name = self.symbols.find(name)?;
        let of_series = self.pair_numbers(position).iter();
        of_series.copied().find(|pair| self.pairs.texts[pair.0 as usize].0 == name)
    }

    fn pair_numbers(&self, position: Position) -> &[Pair] {
        let at = position.0 as usize;
        let start = if at == 0 { 0 } else { self.label_ends[at - 1] };
        &self.labels[start as usize..self.label_ends[at] as usize]
    }

    fn pairs_of(&self, position: Position) -> impl Iterator<Item = (Symbol, Symbol)> {
        self.pair_numbers(position).iter().map(|pair| self.pairs.texts[pair.0 as usize])
    }

    /// The metric's number, if any series has that name.
    pub fn metric(&self, name: &str) -> Option<MetricId> {
        let pair = (self.symbols.find(METRIC_NAME)?, self.symbols.find(name)?);
        let postings = &self.postings[self.pairs.find(pair)?.0 as usize];
        postings.first().map(|position| self.metrics[*position as usize])
    }
}

/// Every distinct string once.
#[derive(Debug, Default)]
struct Symbols {
    text: String,
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Symbols {
    fn text(&self, symbol: Symbol) -> &str {
        text_of(&self.text, &self.ends, symbol.0)
    }

    fn find(&self, text: &str) -> Option<Symbol> {
        let hash = self.hasher.hash_one(text);
        self.table
            .find(hash, |at| text_of(&self.text, &self.ends, *at) == text)
            .map(|at| Symbol(*at))
    }

    fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.find(text) {
            return symbol;
        }
        let at = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).expect("label texts stay below 4 GiB"));
        let (all, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.table.insert_unique(hasher.hash_one(text), at, |at| {
            hasher.hash_one(text_of(all, ends, *at))
        });
        Symbol(at)
    }
}

fn text_of<'a>(text: &'a str, ends: &[u32], at: u32) -> &'a str {
    let at = at as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &text[start as usize..ends[at] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(series: &[&[(&str, &str)]]) -> Index {
        let mut index = Index::default();
        for (at, pairs) in series.iter().enumerate() {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            index.insert(
                Identity::of(&labels),
                MetricId(1),
                PackId(1),
                SeriesId(at as i64 + 1),
                pairs.iter().copied(),
            );
        }
        index
    }

    #[test]
    fn names_and_values() {
        let index = index(&[
            &[("__name__", "up"), ("job", "a"), ("env", "prod")],
            &[("__name__", "up"), ("job", "b")],
        ]);
        assert_eq!(index.label_values("job"), ["a", "b"]);
        assert_eq!(index.label_names(), ["__name__", "env", "job"]);
        let pair = index.pair("job", "b").unwrap();
        assert_eq!((index.postings(pair), index.value_text(pair)), (&[1][..], "b"));
        assert_eq!(index.pair_named(Position(1), "job"), Some(pair));
        assert_eq!((index.pair_named(Position(1), "env"), index.n_values("job")), (None, 2));
    }

    #[test]
    fn a_series_is_inserted_once() {
        let mut index = index(&[&[("__name__", "up")]]);
        let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
        let again = index.insert(Identity::of(&labels), MetricId(9), PackId(9), SeriesId(9), []);
        assert_eq!((again, index.len()), (Position(0), 1));
        assert_eq!(index.labels(again), labels);
    }
}
