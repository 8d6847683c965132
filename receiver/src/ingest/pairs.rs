//! The key of a label set that is made of references: from the keys of its strings, without looking at the strings again.
//!
//! A string is hashed once in a request, to 128 random-looking bits ([`SymbolKeys`]); a series costs two multiplications a
//! label. That is NH, the hash of UMAC (<https://www.rfc-editor.org/rfc/rfc4418#section-5.2>), on words of 64 bits, twice
//! over with other secrets: two different lists of keys meet in one of the sums with a probability of 2⁻⁶⁴, and the two
//! sums know nothing of each other. Each sum is then folded to 64 bits by one more multiplication, as XXH3 does it. The
//! secrets are of this process, so nobody can craft two label sets that meet.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use crate::storage::catalogue::{RawHasher, RawKey};

/// Labels that are hashed this way: as many as a series may have unless somebody allows more.
pub(super) const PAIRS_MAX: usize = 64;

/// The hashes of a request's strings, by their numbers: their halves apart, for the two sums.
#[derive(Debug, Default)]
pub(super) struct SymbolKeys {
    low: Vec<u64>,
    high: Vec<u64>,
}

impl SymbolKeys {
    pub(super) fn of<'a>(
        symbols: impl ExactSizeIterator<Item = &'a [u8]>,
        hasher: &RawHasher,
    ) -> Self {
        let n = symbols.len();
        let mut keys = Self { low: Vec::with_capacity(n), high: Vec::with_capacity(n) };
        for symbol in symbols {
            let RawKey(key) = hasher.key(symbol);
            keys.low.push(key as u64);
            keys.high.push((key >> 64) as u64);
        }
        keys
    }

    pub(super) fn get(&self, reference: u32) -> Option<[u8; 16]> {
        let at = reference as usize;
        let (low, high) = (*self.low.get(at)?, *self.high.get(at)?);
        Some((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }
}

/// See the [module](self). Cheap to clone.
#[derive(Clone)]
pub(super) struct PairHasher(Arc<Secrets>);

struct Secrets {
    /// For the name and the value of a label, in either sum.
    pairs: [[u64; 4]; PAIRS_MAX],
    folds: [u64; 4],
}

impl std::fmt::Debug for PairHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PairHasher")
    }
}

impl PairHasher {
    pub(super) fn new() -> Self {
        // The standard library draws its keys from the operating system, and each state differs.
        let four = || [(); 4].map(|()| RandomState::new().build_hasher().finish());
        let mut pairs = [[0; 4]; PAIRS_MAX];
        pairs.fill_with(four);
        Self(Arc::new(Secrets { pairs, folds: four() }))
    }

    /// The key of the labels with these references, name after value, at most [`PAIRS_MAX`] of them; `None` if one leads
    /// nowhere.
    #[inline]
    pub(super) fn key(&self, symbols: &SymbolKeys, refs: &[u32]) -> Option<RawKey> {
        debug_assert!(refs.len().is_multiple_of(2) && refs.len() <= 2 * PAIRS_MAX);
        let (mut first, mut second) = (0_u128, 0_u128);
        let (low, high) = (&symbols.low[..], &symbols.high[..symbols.low.len()]);
        for (pair, secrets) in refs.chunks_exact(2).zip(&self.0.pairs) {
            let (name, value) = (pair[0] as usize, pair[1] as usize);
            let (name_low, value_low) = (*low.get(name)?, *low.get(value)?);
            let (name_high, value_high) = (high[name], high[value]);
            let [a, b, c, d] = *secrets;
            let of_low = product(name_low.wrapping_add(a), value_low.wrapping_add(b));
            let of_high = product(name_high.wrapping_add(c), value_high.wrapping_add(d));
            first = first.wrapping_add(of_low);
            second = second.wrapping_add(of_high);
        }
        let [a, b, c, d] = self.0.folds;
        // A shorter list is another one, even if what it lacks adds nothing.
        let n = refs.len() as u64;
        let (high, low) = (fold(first, a.wrapping_add(n), b), fold(second, c.wrapping_add(n), d));
        Some(RawKey(u128::from(high) << 64 | u128::from(low)))
    }
}

#[inline]
fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[inline]
fn fold(sum: u128, a: u64, b: u64) -> u64 {
    let mixed = product(sum as u64 ^ a, (sum >> 64) as u64 ^ b);
    mixed as u64 ^ (mixed >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::LazyLock};

    use super::*;

    fn symbols(numbers: impl Iterator<Item = u32>) -> SymbolKeys {
        static HASHER: LazyLock<RawHasher> = LazyLock::new(RawHasher::new);
        let texts: Vec<String> = numbers.map(|n| n.to_string()).collect();
        SymbolKeys::of(texts.iter().map(|text| text.as_bytes()), &HASHER)
    }

    #[test]
    fn the_numbers_of_strings_do_not_matter() {
        let (hasher, keys) = (PairHasher::new(), symbols(0..100));
        let backwards = symbols((0..100).rev());
        let refs = [3, 14, 15, 92, 65, 35];
        let other = refs.map(|reference| 99 - reference);
        assert_eq!(hasher.key(&keys, &refs), hasher.key(&backwards, &other));
        assert_ne!(hasher.key(&keys, &refs), hasher.key(&keys, &other));
        assert_eq!(hasher.key(&keys, &[3, 100]), None);
        assert!(hasher.key(&keys, &[99; 2 * PAIRS_MAX]).is_some());
    }

    /// Of each half of the key, for tables look at either.
    #[test]
    fn no_two_lists_meet() {
        let (hasher, keys) = (PairHasher::new(), symbols(0..40));
        let (mut high, mut low, mut lists) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut add = |refs: &[u32]| {
            let RawKey(key) = hasher.key(&keys, refs).unwrap();
            if lists.insert(refs.to_vec()) {
                assert!(high.insert((key >> 64) as u64) && low.insert(key as u64), "{refs:?}");
            }
        };
        add(&[]);
        for a in 0..40 {
            for b in 0..40 {
                add(&[a, b]);
                // One pair twice, and pairs in another order.
                add(&[a, b, a, b]);
                add(&[a, b, 1, 2]);
                add(&[1, 2, 3, 4, a, b, a, b]);
                add(&[5, 6, a, b]);
            }
        }
        assert!(lists.len() > 7_000);
    }

    /// As many keys in each part of a table, whichever bits choose it.
    #[test]
    fn keys_are_spread() {
        let (hasher, keys) = (PairHasher::new(), symbols(0..300));
        let mut counts = vec![[0_u32; 256]; 16];
        let n = 300 * 299;
        for (a, b) in (0..300).flat_map(|a| (0..300).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            let RawKey(key) = hasher.key(&keys, &[0, 1, a, b]).unwrap();
            for (byte, counts) in key.to_le_bytes().into_iter().zip(&mut counts) {
                counts[usize::from(byte)] += 1;
            }
        }
        let expected = f64::from(n) / 256.0;
        for (byte, counts) in counts.iter().enumerate() {
            let squares = counts.iter().map(|n| (f64::from(*n) - expected).powi(2));
            let chi2 = squares.sum::<f64>() / expected;
            // 255 degrees of freedom: beyond 400 in one of ten million tries.
            assert!(chi2 < 400.0, "byte {byte}: {chi2}");
        }
    }
}
