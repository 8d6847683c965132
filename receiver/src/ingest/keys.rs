//! What is known of label bytes by their hash: which series they mean, or that it is not wanted.
//!
//! The same series can be spelled in any number of ways: labels in another order, an empty one more, other fields between
//! them. So the map is bounded by forgetting, not by the number of series: it has two halves, and when the young one is
//! full it becomes the old one, and what was old is gone. Whatever is asked for in the old half moves to the young one.
//! A key that was forgotten costs one look at its labels, and no sample.
//!
//! Senders send their series in much the same order again and again, and a look at a place in a large table is mostly a
//! wait for memory. So it is remembered, too, which series came after which ([`Sequence`]): series that come together
//! were created together, and lie side by side there.

use std::sync::{
    RwLock, RwLockReadGuard,
    atomic::{AtomicU32, Ordering},
};

use hashbrown::HashTable;
use prometheus_client::metrics::counter::Counter;

use super::replicas::Peer;
use crate::storage::catalogue::{Position, RawKey};

/// A half may hold this many keys whatever is stored: 16 MiB.
const KEYS_MIN: usize = 1 << 20;
/// And this many for each series that is stored, so that all of them and a second spelling fit.
const KEYS_PER_SERIES: usize = 2;

/// What label bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A series, and which replica spells it so.
    Series(Position, Peer),
    /// A series of a replica that was not leading when it came, so that nothing was looked up.
    Standby(Peer),
    /// The rules drop it.
    Dropped,
}

/// A 128-bit key of which 64 bits choose the place and 16 more are compared: 16 bytes an entry instead of 32. Among ten
/// million keys two meet with a probability of 10⁻¹⁰, and nobody can make them.
#[derive(Clone, Copy, Debug)]
struct Entry {
    high: u64,
    low: u16,
    peer: u16,
    position: u32,
}

/// Stand for [`Meaning::Dropped`] and [`Meaning::Standby`]: memory ends long before there are as many series.
const DROPPED: u32 = u32::MAX;
const STANDBY: u32 = u32::MAX - 1;

impl Entry {
    fn new(key: RawKey, meaning: Meaning) -> Self {
        let (position, peer) = match meaning {
            Meaning::Series(position, peer) => (position.0, peer.0),
            Meaning::Standby(peer) => (STANDBY, peer.0),
            Meaning::Dropped => (DROPPED, 0),
        };
        Self { high: (key.0 >> 64) as u64, low: key.0 as u16, peer, position }
    }

    #[inline]
    fn is(&self, key: RawKey) -> bool {
        self.high == (key.0 >> 64) as u64 && self.low == key.0 as u16
    }

    fn meaning(self) -> Meaning {
        match self.position {
            DROPPED => Meaning::Dropped,
            STANDBY => Meaning::Standby(Peer(self.peer)),
            position => Meaning::Series(Position(position), Peer(self.peer)),
        }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Keys {
    halves: RwLock<Halves>,
}

#[derive(Debug, Default)]
pub(super) struct Halves {
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    sequence: Sequence,
}

/// Both by position.
#[derive(Debug, Default)]
struct Sequence {
    /// A key that means this series; [`NOBODY`] if there is none.
    keys: Vec<Entry>,
    /// Which series came next the last time that this one came.
    next: Vec<AtomicU32>,
}

const NOBODY: Entry = Entry { high: 0, low: 0, peer: 0, position: DROPPED };

impl Sequence {
    /// What a key means, if it is that of the series that came next the last time.
    #[inline]
    fn guess(&self, before: Position, key: RawKey) -> Option<Meaning> {
        let next = self.next.get(before.0 as usize)?.load(Ordering::Relaxed);
        let entry = self.keys.get(next as usize)?;
        (entry.position == next && entry.is(key)).then(|| entry.meaning())
    }

    fn learn(&self, before: Position, position: Position) {
        if let Some(next) = self.next.get(before.0 as usize) {
            next.store(position.0, Ordering::Relaxed);
        }
    }

    fn put(&mut self, position: Position, entry: Entry) {
        let at = position.0 as usize;
        if self.keys.len() <= at {
            self.keys.resize(at + 1, NOBODY);
            // As good a guess as any.
            self.next.extend((self.next.len()..=at).map(|at| AtomicU32::new(at as u32 + 1)));
        }
        self.keys[at] = entry;
    }

    /// What was said of a key is no longer so.
    fn forget(&mut self, entry: Entry) {
        if let Some(known) = self.keys.get_mut(entry.position as usize)
            && (known.high, known.low) == (entry.high, entry.low)
        {
            *known = NOBODY;
        }
    }
}

/// Where a key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Young(Meaning),
    /// To be remembered anew, or it will be forgotten.
    Old(Meaning),
    Nowhere,
}

impl Halves {
    /// What a key means that came after that of another series.
    #[inline]
    pub(super) fn find_after(&self, before: Option<Position>, key: RawKey) -> Found {
        let Some(before) = before else { return self.find(key) };
        if let Some(meaning) = self.sequence.guess(before, key) {
            return Found::Young(meaning);
        }
        let found = self.find(key);
        if let Found::Young(Meaning::Series(position, _))
        | Found::Old(Meaning::Series(position, _)) = found
        {
            self.sequence.learn(before, position);
        }
        found
    }

    fn find(&self, key: RawKey) -> Found {
        if let Some(meaning) = look(&self.young, key) {
            return Found::Young(meaning);
        }
        look(&self.old, key).map_or(Found::Nowhere, Found::Old)
    }
}

#[inline]
fn look(table: &HashTable<Entry>, key: RawKey) -> Option<Meaning> {
    table.find((key.0 >> 64) as u64, |entry| entry.is(key)).map(|entry| entry.meaning())
}

impl Keys {
    /// For many look-ups under one lock. Drop it before anything is awaited.
    pub(super) fn halves(&self) -> RwLockReadGuard<'_, Halves> {
        self.halves.read().expect("no holder panics")
    }

    /// Keeps what keys mean. `n_series` is how many series are stored; what has to be forgotten is counted.
    pub(super) fn remember(
        &self,
        keys: impl IntoIterator<Item = (RawKey, Meaning)>,
        n_series: usize,
        forgotten: &Counter,
    ) {
        self.remember_within(keys, (KEYS_PER_SERIES * n_series).max(KEYS_MIN), forgotten);
    }

    fn remember_within(
        &self,
        keys: impl IntoIterator<Item = (RawKey, Meaning)>,
        max: usize,
        forgotten: &Counter,
    ) {
        let mut halves = self.halves.write().expect("no holder panics");
        for (key, meaning) in keys {
            let Halves { young, sequence, .. } = &mut *halves;
            let entry = Entry::new(key, meaning);
            // A replica that takes over: what it spells is looked up at last.
            let known = young.find_mut(entry.high, |known| known.is(key));
            let is_known = known.is_some();
            if let Some(known) = known {
                sequence.forget(std::mem::replace(known, entry));
            }
            if let Meaning::Series(position, _) = meaning {
                sequence.put(position, entry);
            }
            if is_known {
                continue;
            }
            if halves.young.len() >= max {
                let young = std::mem::take(&mut halves.young);
                let gone = std::mem::replace(&mut halves.old, young);
                forgotten.inc_by(gone.len() as u64);
            }
            halves.young.insert_unique(entry.high, entry, |entry| entry.high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> RawKey {
        // As a hash would be: all bits differ.
        let spread = u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        RawKey(spread << 64 | u128::from(n))
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let (keys, forgotten) = (Keys::default(), Counter::default());
        let wanted = Meaning::Series(Position(7), Peer(3));
        let put = |keys: &Keys, n: u64, meaning| {
            keys.remember_within([(key(n), meaning)], 100, &forgotten);
        };
        put(&keys, 0, wanted);
        put(&keys, 1, Meaning::Dropped);
        assert_eq!(keys.halves().find(key(1)), Found::Young(Meaning::Dropped));
        for n in 2..10_000 {
            put(&keys, n, Meaning::Series(Position(n as u32), Peer::NOBODY));
            let found = keys.halves().find(key(0));
            match found {
                Found::Young(meaning) => assert_eq!(meaning, wanted),
                Found::Old(meaning) => put(&keys, 0, meaning),
                Found::Nowhere => panic!("forgotten after {n}"),
            }
            let halves = keys.halves();
            assert!(halves.young.len() <= 100 && halves.old.len() <= 100);
        }
        assert_eq!(keys.halves().find(key(1)), Found::Nowhere);
        assert!(forgotten.get() > 9_000);
    }

    #[test]
    fn what_comes_after_what_is_a_guess_and_never_more() {
        let (keys, forgotten) = (Keys::default(), Counter::default());
        let series = |n: u64| Meaning::Series(Position(n as u32), Peer::NOBODY);
        keys.remember((0..100).map(|n| (key(n), series(n))), 100, &forgotten);
        // A second spelling of the same series.
        keys.remember([(key(1000), series(50))], 100, &forgotten);
        keys.remember([(key(2000), Meaning::Dropped)], 100, &forgotten);
        let halves = keys.halves();
        for round in 0..3 {
            let mut before = None;
            // As a sender would in some order of its own.
            for n in (0..100).map(|n| n * 37 % 100) {
                assert_eq!(halves.find_after(before, key(n)), Found::Young(series(n)), "{round}");
                let again = before.and_then(|before| halves.sequence.guess(before, key(n)));
                let is_first = before.is_none() || n == 50;
                assert!(is_first || again == Some(series(n)), "{round}: {n} is guessed");
                before = Some(Position(n as u32));
            }
        }
        for before in [None, Some(Position(13)), Some(Position(u32::MAX))] {
            assert_eq!(halves.find_after(before, key(50)), Found::Young(series(50)));
            assert_eq!(halves.find_after(before, key(1000)), Found::Young(series(50)));
            assert_eq!(halves.find_after(before, key(2000)), Found::Young(Meaning::Dropped));
            assert_eq!(halves.find_after(before, key(3000)), Found::Nowhere);
        }
        drop(halves);
        // What a key means may change.
        keys.remember([(key(7), series(8))], 100, &forgotten);
        for before in 0..100 {
            let found = keys.halves().find_after(Some(Position(before)), key(7));
            assert_eq!(found, Found::Young(series(8)));
        }
    }
}
