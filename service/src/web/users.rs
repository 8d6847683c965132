//! The `basic_auth_users` section: names with bcrypt hashes, checked without telling strangers which names exist.
//!
//! bcrypt is slow on purpose, and a scraper sends the same password each few seconds. So a password that was right
//! is remembered as a salted digest, which lives as long as the process and never matches another hash. Only so many
//! computations run at a time, outside of the async threads, and only so many requests wait for one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    str::FromStr as _,
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::Secret;

/// Right passwords remembered; more scrapers than this with different passwords only cost time.
const REMEMBERED_MAX: usize = 64;
/// Requests that wait for a computation; at the usual 70 ms each, the last of them waits some seconds.
const WAITING_MAX: usize = 64;
/// The work factor against which an unknown name is checked when no user is known.
const COST_DEFAULT: u32 = 10;

/// Names and hashes of one version of the file.
#[derive(Debug)]
pub(super) struct Users {
    hashes: BTreeMap<String, Secret>,
    /// Nobody's hash, at the work factor of the users': an unknown name takes as long as a known one.
    decoy: Secret,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the password of `{user}` in `basic_auth_users` is not a bcrypt hash: make one with `htpasswd -nBC 10 {user}`"
)]
pub struct HashError {
    user: String,
}

impl Users {
    pub(super) fn new(section: &BTreeMap<String, Secret>) -> Result<Self, HashError> {
        let mut cost_max = 0;
        let mut hashes = BTreeMap::new();
        for (user, hash) in section {
            let parts = bcrypt::HashParts::from_str(hash.expose())
                .map_err(|_| HashError { user: user.clone() })?;
            cost_max = parts.get_cost().max(cost_max);
            hashes.insert(user.clone(), hash.clone());
        }
        let cost = if hashes.is_empty() { COST_DEFAULT } else { cost_max };
        // A salt and a digest that no password is known for.
        let decoy = format!("$2b${cost:02}$......................{}", ".".repeat(31));
        Ok(Self { hashes, decoy: Secret::new(decoy) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// Why a request may not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No, wrong or malformed credentials.
    Unauthorized,
    /// Too many are being checked.
    Busy,
}

/// Checks passwords. One for the life of the server.
pub(super) struct Passwords {
    salt: [u8; 32],
    remembered: Mutex<VecDeque<[u8; 32]>>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

/// Shows nothing: what is inside helps only those who guess.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Default for Passwords {
    fn default() -> Self {
        let mut salt = [0; 32];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut salt)
            .expect("the operating system gives random bytes");
        // Half of the machine at most: whoever guesses passwords must not stop everything else.
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            salt,
            remembered: Mutex::default(),
            running: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }
}

impl Passwords {
    /// The name of the user whose credentials `authorization` holds (RFC 7617).
    pub(super) async fn check(
        &self,
        users: &Users,
        authorization: Option<&HeaderValue>,
    ) -> Result<String, Denied> {
        let (name, password) = authorization.and_then(credentials).ok_or(Denied::Unauthorized)?;
        let known = users.hashes.get(&name);
        let hash = known.unwrap_or(&users.decoy).clone();
        let digest = self.digest(&name, &hash, &password);
        if known.is_some() && self.remembers(&digest) {
            return Ok(name);
        }
        let is_right = self.compute(password, hash).await?;
        if is_right && known.is_some() {
            self.remember(digest);
            Ok(name)
        } else {
            Err(Denied::Unauthorized)
        }
    }

    async fn compute(&self, password: Secret, hash: Secret) -> Result<bool, Denied> {
        let _place = self.waiting.try_acquire().map_err(|_| Denied::Busy)?;
        let running = Arc::clone(&self.running);
        let turn = running.acquire_owned().await.expect("never closed");
        let computation = tokio::task::spawn_blocking(move || {
            // Given up only here: a client that goes away must not make room while its work still runs.
            let _turn = turn;
            bcrypt::verify(password.expose(), hash.expose()).unwrap_or(false)
        });
        Ok(computation.await.unwrap_or(false))
    }

    /// Bound to name and hash, so that a changed password is never let in by an old one.
    fn digest(&self, name: &str, hash: &Secret, password: &Secret) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.salt);
        for part in [name, hash.expose(), password.expose()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        let remembered = self.remembered.lock().expect("no holder panics");
        // All are compared, each in constant time, so that time tells nothing about them.
        remembered.iter().fold(false, |found, known| found | bool::from(known.ct_eq(digest)))
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut remembered = self.remembered.lock().expect("no holder panics");
        if remembered.len() == REMEMBERED_MAX {
            remembered.pop_front();
        }
        remembered.push_back(digest);
    }
}

/// Name and password of a `Basic` header.
fn credentials(header: &HeaderValue) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cheapest that bcrypt allows.
    fn users(pairs: &[(&str, &str)]) -> Users {
        let section = pairs
            .iter()
            .map(|(name, password)| {
                ((*name).to_owned(), Secret::new(bcrypt::hash(password, 4).unwrap()))
            })
            .collect();
        Users::new(&section).unwrap()
    }

    fn basic(text: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap()
    }

    #[tokio::test]
    async fn the_right_ones_pass_at_once_the_second_time() {
        let users = users(&[("ada", "pass:word"), ("bob", "")]);
        let passwords = Passwords::default();
        for _ in 0..2 {
            let header = basic("ada:pass:word");
            assert_eq!(passwords.check(&users, Some(&header)).await, Ok("ada".to_owned()));
        }
        assert_eq!(passwords.remembered.lock().unwrap().len(), 1);
        assert_eq!(passwords.check(&users, Some(&basic("bob:"))).await, Ok("bob".to_owned()));
    }

    #[tokio::test]
    async fn all_others_do_not() {
        let users = users(&[("ada", "secret")]);
        let passwords = Passwords::default();
        for text in ["ada:wrong", "ada:", "eve:secret", ":secret", "ada", ""] {
            let denied = passwords.check(&users, Some(&basic(text))).await;
            assert_eq!(denied, Err(Denied::Unauthorized), "{text}");
        }
        for header in ["Basic", "Basic ", "Basic !!!", "Bearer YWRhOnNlY3JldA==", ""] {
            let header = HeaderValue::from_str(header).unwrap();
            assert_eq!(passwords.check(&users, Some(&header)).await, Err(Denied::Unauthorized));
        }
        assert_eq!(passwords.check(&users, None).await, Err(Denied::Unauthorized));
        assert!(passwords.remembered.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_old_password_is_forgotten_with_its_hash() {
        let passwords = Passwords::default();
        let header = basic("ada:old");
        assert!(passwords.check(&users(&[("ada", "old")]), Some(&header)).await.is_ok());
        assert!(passwords.check(&users(&[("ada", "new")]), Some(&header)).await.is_err());
        assert!(passwords.check(&users(&[("bob", "old")]), Some(&header)).await.is_err());
    }

    #[tokio::test]
    async fn what_is_remembered_and_who_waits_is_bounded() {
        let passwords = Passwords::default();
        for n in 0..100 {
            passwords.remember([n; 32]);
        }
        assert_eq!(passwords.remembered.lock().unwrap().len(), REMEMBERED_MAX);
        assert!(passwords.remembers(&[99; 32]) && !passwords.remembers(&[0; 32]));
        let all = passwords.waiting.acquire_many(WAITING_MAX as u32).await.unwrap();
        let users = users(&[("ada", "x")]);
        assert_eq!(passwords.check(&users, Some(&basic("ada:x"))).await, Err(Denied::Busy));
        drop(all);
        assert!(passwords.check(&users, Some(&basic("ada:x"))).await.is_ok());
    }

    #[test]
    fn the_decoy_costs_what_the_users_cost() {
        let decoy = users(&[("ada", "x")]).decoy;
        assert_eq!(bcrypt::HashParts::from_str(decoy.expose()).unwrap().get_cost(), 4);
        assert_eq!(bcrypt::verify("", decoy.expose()).ok(), Some(false));
        let section = BTreeMap::from([("eve".to_owned(), Secret::new("plain"))]);
        let err = Users::new(&section).unwrap_err().to_string();
        assert!(err.contains("`eve`") && err.contains("htpasswd"), "{err}");
        assert!(!err.contains("plain"));
    }
}
