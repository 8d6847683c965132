//! Bearer tokens: made, kept as hashes, judged.
//!
//! A token is `wpt_` and 256 random bits in base64url. PostgreSQL has its SHA-256 only ([`store`]); a slow hash would
//! make guessing dear, and 256 random bits cannot be guessed. [`Keyring`] judges tokens without a query for each
//! request; [`command`] is `watchpost token`.

pub mod command;
mod keyring;
pub mod store;

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use service::Secret;
use sha2::{Digest as _, Sha256};

pub use self::keyring::{Keyring, Pass, Verdict};

/// Marks a token as ours for people and for programs that look for secrets where none should be.
const PREFIX: &str = "wpt_";
const SECRET_BYTES: usize = 32;

/// What the holder of a token may do. None contains another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Scope {
    /// Remote write
    Write,
    /// Queries, live updates, console, status, own metrics
    Read,
    /// Deletion, tokens, reload and quit
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Admin];

    /// The word in the database, on the command line and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope `{0}`; there are write, read and admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == word);
        known.ok_or_else(|| UnknownScope(word.to_owned()))
    }
}

/// What is kept of a token, and compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Shows nothing: a hash is of no use in a log.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

impl Hash {
    /// `None` for a text that cannot be a token of ours, which nobody need be asked about.
    pub fn of(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        (bytes.len() == SECRET_BYTES).then(|| Self(Sha256::digest(token).into()))
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A new token. What this returns is shown once and kept nowhere.
pub fn generate() -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_and_hashed() {
        let (one, other) = (generate(), generate());
        assert_eq!(one.expose().len(), 47);
        assert_eq!(Hash::of(one.expose()), Hash::of(one.expose()));
        assert_ne!(Hash::of(one.expose()), Hash::of(other.expose()));
        for wrong in
            ["", "wpt_", "hunter2", "wpt_YQ", &one.expose()[4..], &format!("{}A", one.expose())]
        {
            assert!(Hash::of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn scopes_are_words() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        let said = "root".parse::<Scope>().unwrap_err().to_string();
        assert_eq!(said, "there is no scope `root`; there are write, read and admin");
    }
}
