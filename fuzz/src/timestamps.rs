//! Vectors of timestamps: read, written and read again; and any ascending ones.

use receiver::storage::codec::{
    timestamps::{Dictionary, Vectors},
    varint::Reader,
};

pub fn target(data: &[u8]) {
    if let Ok(vectors) = Vectors::decode(&mut Reader::new(data), 0) {
        let vectors: Vec<&[i64]> = (0..vectors.len()).filter_map(|id| vectors.get(id)).collect();
        if vectors.iter().all(|vector| vector.is_sorted_by(|a, b| a < b)) {
            round_trip(&vectors);
        }
    }
    let mut times: Vec<i64> = data
        .chunks_exact(8)
        .map(|bytes| i64::from_le_bytes(bytes.try_into().expect("eight")))
        .collect();
    times.sort_unstable();
    times.dedup();
    if !times.is_empty() {
        round_trip(&[&times, &times[..1], &times]);
    }
}

fn round_trip(vectors: &[&[i64]]) {
    let mut dictionary = Dictionary::default();
    let ids: Vec<u32> = vectors.iter().map(|vector| dictionary.intern(vector)).collect();
    let base = vectors.iter().map(|vector| vector[0]).min().unwrap_or(0);
    let mut bytes = Vec::new();
    dictionary.encode(base, &mut bytes);
    let mut reader = Reader::new(&bytes);
    let again = Vectors::decode(&mut reader, base).expect("what was written can be read");
    assert!(reader.is_at_end());
    for (id, vector) in ids.iter().zip(vectors) {
        assert_eq!(again.get(*id as usize), Some(*vector));
    }
}
