//! Vectors of timestamps: the scrapes of one target, shared by all its series.
//!
//! A vector is stored as its length, its first timestamp, and runs of equal steps, so that a perfectly regular one of
//! any length takes a handful of bytes. The byte diagram is in `receiver/docs/format/group.md`.

use hashbrown::HashTable;

use super::{
    CodecError,
    varint::{self, Reader},
};

/// The most samples one series may have in one batch or block; bounds what damaged bytes can allocate.
pub const VECTOR_LEN_MAX: usize = 1 << 20;

/// The distinct timestamp vectors of one batch or block, while it is being built.
#[derive(Debug, Default)]
pub struct Dictionary {
    /// All vectors, one after the other.
    flat: Vec<i64>,
    /// Where each vector ends in `flat`.
    ends: Vec<usize>,
    /// Numbers of vectors, by their hashes.
    index: HashTable<(u64, u32)>,
    /// The number given out last: neighbours often share their timestamps.
    last: u32,
}

impl Dictionary {
    /// Forgets all vectors and keeps the memory.
    pub fn clear(&mut self) {
        self.flat.clear();
        self.ends.clear();
        self.index.clear();
        self.last = 0;
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn vector(&self, id: u32) -> &[i64] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.flat[start..self.ends[id]]
    }

    /// The number of a vector, which is strictly ascending and not empty.
    pub fn intern(&mut self, vector: &[i64]) -> u32 {
        debug_assert!(!vector.is_empty() && vector.is_sorted_by(|a, b| a < b));
        assert!(vector.len() <= VECTOR_LEN_MAX, "the caller splits longer vectors");
        if !self.is_empty() && self.vector(self.last) == vector {
            return self.last;
        }
        let hash = mix(vector);
        let found = self.index.find(hash, |(of, id)| *of == hash && self.vector(*id) == vector);
        if let Some((_, id)) = found {
            self.last = *id;
            return self.last;
        }
        let id = self.ends.len() as u32;
        self.flat.extend_from_slice(vector);
        self.ends.push(self.flat.len());
        self.index.insert_unique(hash, (hash, id), |(of, _)| *of);
        self.last = id;
        id
    }

    /// Appends all vectors: their number, then each relative to `base`, the smallest timestamp of all.
    pub fn encode(&self, base: i64, out: &mut Vec<u8>) {
        varint::put(out, self.ends.len() as u64);
        for id in 0..self.ends.len() as u32 {
            encode_vector(self.vector(id), base, out);
        }
    }
}

fn mix(vector: &[i64]) -> u64 {
    // Not from the network's hands alone and compared in full afterwards: a simple multiplicative mix will do.
    let mut hash = vector.len() as u64;
    for ts in vector {
        hash = (hash ^ *ts as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    // The table looks at the highest bits and the lowest ones.
    hash ^ hash >> 32
}

fn encode_vector(vector: &[i64], base: i64, out: &mut Vec<u8>) {
    varint::put(out, vector.len() as u64);
    varint::put(out, vector[0].wrapping_sub(base) as u64);
    let mut steps = vector.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as u64);
    let mut run = steps.next().map(|step| (step, 1u64));
    while let Some((step, n)) = run {
        match steps.next() {
            Some(next) if next == step => run = Some((step, n + 1)),
            next => {
                varint::put(out, step);
                varint::put(out, n);
                run = next.map(|next| (next, 1));
            }
        }
    }
}

/// The timestamp vectors of one batch or block, as read.
#[derive(Clone, Debug, Default)]
pub struct Vectors {
    flat: Vec<i64>,
    ends: Vec<usize>,
}

impl Vectors {
    /// Reads what [`Dictionary::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>, base: i64) -> Result<Self, CodecError> {
        let n = reader.bounded("the number of timestamp vectors", VECTOR_LEN_MAX)?;
        let mut vectors = Self::default();
        for _ in 0..n {
            let len = reader.bounded("the length of a timestamp vector", VECTOR_LEN_MAX)?;
            let at = reader.position();
            if len == 0 || vectors.flat.len() + len > 16 * VECTOR_LEN_MAX {
                return Err(CodecError::Malformed {
                    what: "a timestamp vector is empty or too long",
                    at,
                });
            }
            let mut ts = base.wrapping_add(reader.varint()? as i64);
            vectors.flat.push(ts);
            let mut left = len - 1;
            while left > 0 {
                let step = reader.varint()?;
                let repeat = reader.bounded("a run of equal steps", left)?;
                // Readers rely on times that grow.
                let last = i128::from(ts) + i128::from(step) * repeat as i128;
                if repeat == 0 || step == 0 || i64::try_from(last).is_err() {
                    return Err(CodecError::Malformed {
                        what: "a run of steps is empty or too long",
                        at: reader.position(),
                    });
                }
                for _ in 0..repeat {
                    ts = ts.wrapping_add(step as i64);
                    vectors.flat.push(ts);
                }
                left -= repeat;
            }
            vectors.ends.push(vectors.flat.len());
        }
        Ok(vectors)
    }

    pub fn get(&self, id: usize) -> Option<&[i64]> {
        let end = *self.ends.get(id)?;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        Some(&self.flat[start..end])
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(vectors: &[Vec<i64>]) -> usize {
        let mut dictionary = Dictionary::default();
        let ids: Vec<u32> = vectors.iter().map(|vector| dictionary.intern(vector)).collect();
        let base = vectors.iter().map(|vector| vector[0]).min().unwrap_or(0);
        let mut bytes = Vec::new();
        dictionary.encode(base, &mut bytes);
        let mut reader = Reader::new(&bytes);
        let back = Vectors::decode(&mut reader, base).unwrap();
        assert!(reader.is_at_end());
        for (id, vector) in ids.iter().zip(vectors) {
            assert_eq!(back.get(*id as usize), Some(&vector[..]));
        }
        bytes.len()
    }

    #[test]
    fn regular_scrapes_take_a_handful_of_bytes() {
        let regular: Vec<i64> = (0..480).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        assert!(round_trip(&[regular.clone(), regular]) <= 10);
        round_trip(&[vec![i64::MIN, i64::MAX], vec![0], vec![5, 6, 8]]);
        round_trip(&[]);
    }

    proptest! {
        #[test]
        fn any_ascending_vectors(steps in prop::collection::vec(prop::collection::vec(1i64..100_000, 0..50), 1..20), start in any::<i32>()) {
            let ascending = |steps: &Vec<i64>| {
                let mut ts = i64::from(start);
                let mut vector = vec![ts];
                for step in steps {
                    ts += step;
                    vector.push(ts);
                }
                vector
            };
            let vectors: Vec<Vec<i64>> = steps.iter().map(ascending).collect();
            round_trip(&vectors);
        }

        #[test]
        fn garbage_never_panics_and_times_grow(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let vectors = Vectors::decode(&mut Reader::new(&bytes), 0).unwrap_or_default();
            for id in 0..vectors.len() {
                assert!(vectors.get(id).unwrap().is_sorted_by(|a, b| a < b));
            }
        }
    }
}
