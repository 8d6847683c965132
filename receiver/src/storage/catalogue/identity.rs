//! The two keys of a series: a quick one for this process, a lasting one for the database.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use promql::model::Labels;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128_with_secret;

/// What identifies a series in the database: the first 128 bits of SHA-256 over its sorted labels, each name and value
/// closed by a byte that no UTF-8 text holds.
///
/// In SQL: `encode(sha256(...), 'hex')`; see `receiver/docs/format/catalogue.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u128);

impl Identity {
    pub fn of(labels: &Labels) -> Self {
        let mut hash = Sha256::new();
        for label in labels {
            hash.update(label.name.as_bytes());
            hash.update([0xff]);
            hash.update(label.value.as_bytes());
            hash.update([0xff]);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(u128::from_be_bytes(digest[..16].try_into().expect("sixteen of thirty-two")))
    }

    pub fn uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }
}

/// The hash of a series' label bytes exactly as a request holds them. Means something in this process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawKey(pub u128);

/// Bytes of a secret of XXH3 that serve inputs of every length.
const SECRET_BYTES: usize = 192;

/// Hashes raw label bytes with a secret of this process, so that nobody can craft two label sets that meet. Cheap to clone.
#[derive(Clone)]
pub struct RawHasher {
    // A seed would be stretched to such a secret for every long input.
    secret: Arc<[u8; SECRET_BYTES]>,
}

impl fmt::Debug for RawHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawHasher")
    }
}

impl RawHasher {
    pub fn new() -> Self {
        let mut secret = [0; SECRET_BYTES];
        for piece in secret.chunks_exact_mut(8) {
            // The standard library draws its keys from the operating system, and each state differs.
            let random = RandomState::new().build_hasher().finish();
            piece.copy_from_slice(&random.to_le_bytes());
        }
        Self { secret: Arc::new(secret) }
    }

    #[inline]
    pub fn key(&self, bytes: &[u8]) -> RawKey {
        RawKey(xxh3_128_with_secret(bytes, &*self.secret))
    }
}

impl Default for RawHasher {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored in databases: must never change.
    #[test]
    fn golden_identity() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")]).unwrap();
        let mut hash = Sha256::new();
        hash.update(b"__name__\xffup\xffjob\xffnode\xff");
        let digest: [u8; 32] = hash.finalize().into();
        assert_eq!(Identity::of(&labels).0.to_be_bytes(), digest[..16]);
        assert_eq!(format!("{:032x}", Identity::of(&labels).0), "98d994527137a6ec514311301ec0cdb8");
    }

    #[test]
    fn no_two_label_sets_share_their_bytes() {
        let a = Labels::from_pairs([("a", "bc"), ("d", "e")]).unwrap();
        let b = Labels::from_pairs([("a", "b"), ("cd", "e")]).unwrap();
        assert_ne!(Identity::of(&a), Identity::of(&b));
    }
}
