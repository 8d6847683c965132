//! Series by matchers, found under many short locks instead of one long one.
//!
//! A pattern may have to be held against millions of values, and who waits to add a new series waits for every reader. So
//! texts are copied out some at a time, and patterns run while nobody waits. Positions and labels never change once they
//! are there; what is added meanwhile may be found or not, as if the question had come a moment earlier or later.

use std::{
    collections::HashMap,
    sync::{RwLock, RwLockReadGuard},
};

use promql::model::{MatchOp, Matcher};

use super::index::{Index, Pair, Position};
use crate::model::SeriesId;

/// Texts or series that are looked at under one lock: some hundred microseconds.
const PER_LOCK: usize = 4096;
/// With so few series left for each value of a label, their own values are looked at instead of all.
const SERIES_PER_VALUE: usize = 4;

/// Series that satisfy all matchers, in order of their numbers; at most `limit + 1`.
pub(super) fn select(index: &RwLock<Index>, matchers: &[Matcher], limit: usize) -> Vec<SeriesId> {
    let index = Locked(index);
    let mut found = positions(&index, matchers);
    found.truncate(limit.saturating_add(1));
    let mut series = Vec::with_capacity(found.len());
    for some in found.chunks(PER_LOCK) {
        let index = index.read();
        series.extend(some.iter().map(|position| index.known(Position(*position)).series));
    }
    series.sort_unstable();
    series
}

struct Locked<'i>(&'i RwLock<Index>);

impl Locked<'_> {
    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().expect("no holder panics")
    }
}

fn positions(index: &Locked<'_>, matchers: &[Matcher]) -> Vec<u32> {
    // Equality first: its lists are ready and short. A matcher that an absent label satisfies cannot be answered from
    // lists; it filters what the others leave.
    let (filters, lists): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| matcher.matches_empty());
    let (equal, others): (Vec<&Matcher>, Vec<&Matcher>) =
        lists.into_iter().partition(|matcher| matcher.op() == MatchOp::Equal);
    let mut candidates: Option<Vec<u32>> = equals(index, &equal);
    for matcher in others {
        let n_values = index.read().n_values(matcher.name());
        candidates = Some(match candidates {
            Some(few) if few.len() <= n_values.saturating_mul(SERIES_PER_VALUE) => {
                filtered(index, matcher, few)
            }
            Some(many) => intersect(&many, &with_values(index, matcher)),
            None => with_values(index, matcher),
        });
    }
    let mut left =
        candidates.unwrap_or_else(|| (0..index.read().len() as u32).collect::<Vec<u32>>());
    for filter in filters {
        left = filtered(index, filter, left);
    }
    left
}

/// The series that have all these labels; `None` if none is asked for.
fn equals(index: &Locked<'_>, matchers: &[&Matcher]) -> Option<Vec<u32>> {
    let index = index.read();
    let mut lists: Vec<&[u32]> = matchers
        .iter()
        .map(|matcher| {
            let pair = index.pair(matcher.name(), matcher.value());
            pair.map_or(&[][..], |pair| index.postings(pair))
        })
        .collect();
    lists.sort_by_key(|list| list.len());
    let (first, rest) = lists.split_first()?;
    Some(rest.iter().fold(first.to_vec(), |both, list| intersect(&both, list)))
}

/// The series whose label has a value that satisfies the matcher, which the empty value does not; sorted.
fn with_values(index: &Locked<'_>, matcher: &Matcher) -> Vec<u32> {
    let pairs = match matcher.alternatives() {
        Some(values) => {
            let index = index.read();
            values.filter_map(|value| index.pair(matcher.name(), value)).collect()
        }
        None => matching_pairs(index, matcher),
    };
    let mut union = Vec::new();
    let mut pairs = pairs.as_slice();
    while !pairs.is_empty() {
        let index = index.read();
        let began = union.len();
        while let Some((pair, rest)) = pairs.split_first() {
            union.extend_from_slice(index.postings(*pair));
            pairs = rest;
            if union.len() - began > PER_LOCK * 16 {
                break;
            }
        }
    }
    union.sort_unstable();
    // An alternative may be written twice.
    union.dedup();
    union
}

/// All values of a label against the matcher.
fn matching_pairs(index: &Locked<'_>, matcher: &Matcher) -> Vec<Pair> {
    let mut matching = Vec::new();
    let mut texts = Texts::default();
    let mut seen = 0;
    loop {
        texts.clear();
        {
            let index = index.read();
            for pair in index.values(matcher.name()).iter().skip(seen).take(PER_LOCK) {
                texts.push(*pair, index.value_text(*pair));
            }
        }
        seen += texts.pairs.len();
        matching.extend(
            texts.iter().filter(|(_, text)| matcher.matches_value(text)).map(|(pair, _)| pair),
        );
        if texts.pairs.len() < PER_LOCK {
            return matching;
        }
    }
}

/// Those of the series whose own value satisfies the matcher; each distinct value is looked at once.
fn filtered(index: &Locked<'_>, matcher: &Matcher, candidates: Vec<u32>) -> Vec<u32> {
    let absent_matches = matcher.matches_empty();
    let mut known: HashMap<Pair, bool> = HashMap::new();
    let mut texts = Texts::default();
    let mut kept = Vec::with_capacity(candidates.len());
    for some in candidates.chunks(PER_LOCK) {
        texts.clear();
        let pairs: Vec<Option<Pair>> = {
            let index = index.read();
            let pair_of = |position: &u32| {
                let pair = index.pair_named(Position(*position), matcher.name())?;
                known.entry(pair).or_insert_with(|| {
                    texts.push(pair, index.value_text(pair));
                    false
                });
                Some(pair)
            };
            some.iter().map(pair_of).collect()
        };
        for (pair, text) in texts.iter() {
            known.insert(pair, matcher.matches_value(text));
        }
        let is_kept = |pair: &Option<Pair>| pair.map_or(absent_matches, |pair| known[&pair]);
        let those = some.iter().zip(&pairs).filter(|(_, pair)| is_kept(pair));
        kept.extend(those.map(|(position, _)| *position));
    }
    kept
}

/// What is common to two sorted lists.
fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = long;
    let mut both = Vec::with_capacity(short.len());
    for position in short {
        let at = rest.partition_point(|other| other < position);
        rest = &rest[at..];
        if rest.first() == Some(position) {
            both.push(*position);
        }
    }
    both
}

/// Values copied out of the index.
#[derive(Default)]
struct Texts {
    pairs: Vec<(Pair, usize)>,
    text: String,
}

impl Texts {
    fn clear(&mut self) {
        self.pairs.clear();
        self.text.clear();
    }

    fn push(&mut self, pair: Pair, value: &str) {
        self.text.push_str(value);
        self.pairs.push((pair, self.text.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (Pair, &str)> {
        let starts = std::iter::once(0).chain(self.pairs.iter().map(|(_, end)| *end));
        starts.zip(&self.pairs).map(|(start, (pair, end))| (*pair, &self.text[start..*end]))
    }
}

#[cfg(test)]
mod tests {
    use promql::model::Labels;

    use super::{
        super::{Identity, Index},
        *,
    };
    use crate::model::{MetricId, PackId};

    fn index(series: &[&[(&str, &str)]]) -> RwLock<Index> {
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
        RwLock::new(index)
    }

    fn ids(index: &RwLock<Index>, matchers: &[(&str, MatchOp, &str)]) -> Vec<i64> {
        let matchers: Vec<Matcher> = matchers
            .iter()
            .map(|(name, op, value)| Matcher::new(name, *op, value).unwrap())
            .collect();
        select(index, &matchers, 1_000_000).into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn matchers() {
        let index = index(&[
            &[("__name__", "up"), ("job", "a"), ("env", "prod")],
            &[("__name__", "up"), ("job", "b")],
            &[("__name__", "down"), ("job", "a")],
        ]);
        let check = |matchers: &[(&str, MatchOp, &str)], expected: &[i64]| {
            assert_eq!(ids(&index, matchers), expected, "{matchers:?}");
        };
        use MatchOp::{Equal, NotEqual, NotRegexp, Regexp};
        check(&[], &[1, 2, 3]);
        check(&[("__name__", Equal, "up")], &[1, 2]);
        check(&[("__name__", Equal, "up"), ("job", Equal, "a")], &[1]);
        check(&[("job", Regexp, "a|b"), ("__name__", NotEqual, "up")], &[3]);
        check(&[("job", Regexp, "b|b|c")], &[2]);
        check(&[("job", Regexp, "[ab]"), ("job", NotEqual, "a")], &[2]);
        check(&[("env", Equal, "")], &[2, 3]);
        check(&[("env", NotEqual, "")], &[1]);
        check(&[("env", Regexp, ".+")], &[1]);
        check(&[("env", Regexp, "|prod")], &[1, 2, 3]);
        check(&[("env", NotRegexp, "p.*")], &[2, 3]);
        check(&[("absent", Equal, "x")], &[]);
        check(&[("absent", Regexp, "x|y")], &[]);
        check(&[("absent", NotEqual, "x")], &[1, 2, 3]);
        assert_eq!(select(&index, &[], 1).len(), 2);
    }

    /// Each way of finding series gives what looking at each of them does, also where it takes several locks.
    #[test]
    fn all_ways_agree() {
        let n = 3 * PER_LOCK;
        let all: Vec<[(&str, String); 3]> = (0..n)
            .map(|at| {
                let name = ["up", "down"][at % 2].to_owned();
                [("__name__", name), ("pod", format!("pod-{at}")), ("zone", (at % 7).to_string())]
            })
            .collect();
        let pairs: Vec<Vec<(&str, &str)>> = all
            .iter()
            .map(|series| series.iter().map(|(name, value)| (*name, value.as_str())).collect())
            .collect();
        let index = index(&pairs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        use MatchOp::{Equal, NotEqual, NotRegexp, Regexp};
        for matchers in [
            &[("pod", Regexp, "pod-.*7")][..],
            &[("__name__", Equal, "up"), ("pod", Regexp, "pod-1.*")],
            &[("__name__", Equal, "up"), ("zone", Regexp, "[1-3]")],
            &[("__name__", NotEqual, "up"), ("pod", NotRegexp, ".*[0-4]")],
            &[("zone", Regexp, "5|3|x"), ("pod", NotEqual, "pod-3")],
            &[("zone", NotEqual, "")],
            &[("zone", Regexp, ".*"), ("pod", Regexp, ".+")],
        ] {
            let of_each: Vec<Matcher> =
                matchers.iter().map(|(name, op, v)| Matcher::new(name, *op, v).unwrap()).collect();
            let satisfies = |pairs: &Vec<(&str, &str)>| {
                of_each.iter().all(|matcher| {
                    let found = pairs.iter().find(|(name, _)| *name == matcher.name());
                    matcher.matches_value(found.map_or("", |(_, value)| value))
                })
            };
            let expected: Vec<i64> =
                (1..).zip(&pairs).filter(|(_, pairs)| satisfies(pairs)).map(|(id, _)| id).collect();
            assert!(!expected.is_empty());
            assert_eq!(ids(&index, matchers), expected, "{matchers:?}");
        }
    }
}
