//! Judges tokens: from memory, which is read anew from PostgreSQL every few seconds while anybody asks.
//!
//! | what is in memory | a known token | an unknown one |
//! |---|---|---|
//! | read less than [`FRESH`] ago | judged at once | judged by a reading that began after it came |
//! | older, and the database answers | judged by a new reading | the same |
//! | older, and it does not | judged by the old reading, up to [`STALE_MAX`] | 503 |
//!
//! So ingest makes no query for a request, a revoked token stops within seconds, one that was just made works at once,
//! and a database that is away never makes a sender believe that its token is wrong: after 401 it would throw its samples
//! away. There is at most one reading a second, whatever is asked.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{PgPool, postgres::PgConnectOptions};
use subtle::ConstantTimeEq as _;
use tracing::{debug, warn};

use super::{Hash, Scope, store};

/// How old a reading may be that judges without a look at the database. A new one is begun at half of it, so that under
/// way nobody waits.
const FRESH: Duration = Duration::from_secs(5);
/// How old a reading may be while the database is away: longer than a failover.
const STALE_MAX: Duration = Duration::from_secs(300);
/// Between two readings.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than a healthy database ever takes for a small table, short enough to wait for.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How exactly it is kept when a token was last used, in milliseconds.
const USED_MS: i64 = 5 * 60 * 1000;

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keyring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: PgPool,
    reading: RwLock<Arc<Reading>>,
    /// Held while the database is asked, by one at a time.
    turn: tokio::sync::Mutex<()>,
    /// When the last try began that failed.
    failed: Mutex<Option<Instant>>,
}

/// All tokens at a time.
#[derive(Debug, Default)]
struct Reading {
    /// `None`: never read.
    begun: Option<Instant>,
    /// By the first 64 bits of their hashes. What an outsider could learn from the time of this look-up is something
    /// about hashes of tokens that he does not have.
    keys: HashMap<u64, Vec<Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: store::Key,
    /// When its use was noted, in milliseconds since the Unix epoch.
    noted: Arc<AtomicI64>,
}

/// What is said of a token.
#[derive(Clone, Debug)]
pub enum Verdict {
    Pass(Pass),
    /// There is no such token, or no longer.
    Unknown,
    /// The token is good and does not allow this.
    OutOfScope,
    /// Nobody can say: the database is away.
    Unavailable,
}

/// A right that was given, and can be looked after while it is used.
#[derive(Clone, Debug)]
pub struct Pass {
    keyring: Keyring,
    hash: Hash,
    scope: Scope,
}

impl Pass {
    /// Completes when the token is revoked or expires.
    pub async fn ended(&self) {
        loop {
            tokio::time::sleep(FRESH).await;
            match self.keyring.judge_hash(self.hash, self.scope).await {
                Verdict::Pass(_) | Verdict::Unavailable => {}
                Verdict::Unknown | Verdict::OutOfScope => return,
            }
        }
    }
}

/// The database did not answer.
#[derive(Debug)]
struct Away;

/// A reading that began since then is good enough.
fn a_little_before(asked: Instant) -> Instant {
    asked.checked_sub(FRESH / 2).unwrap_or(asked)
}

fn prefix(hash: &[u8; 32]) -> u64 {
    u64::from_be_bytes(*hash.first_chunk().expect("32 bytes are more than 8"))
}

impl Reading {
    fn find(&self, hash: &[u8; 32]) -> Option<&Entry> {
        let alike = self.keys.get(&prefix(hash))?;
        alike.iter().find(|entry| bool::from(entry.key.hash.ct_eq(hash)))
    }
}

impl Keyring {
    /// Connects when the first token is judged, with a connection of its own: those of the pool may all be busy with
    /// queries, and whoever is waiting for a token to be revoked should not wait for them.
    pub fn new(options: PgConnectOptions) -> Self {
        let db = crate::db::desk(options);
        Self(Arc::new(Inner {
            db,
            reading: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        }))
    }

    /// Judges a token as it came, for one scope.
    pub async fn judge(&self, token: &str, scope: Scope) -> Verdict {
        match Hash::of(token) {
            Some(hash) => self.judge_hash(hash, scope).await,
            None => Verdict::Unknown,
        }
    }

    async fn judge_hash(&self, hash: Hash, scope: Scope) -> Verdict {
        let asked = Instant::now();
        let reading = self.reading();
        let age = reading.begun.map(|begun| asked.saturating_duration_since(begun));
        if reading.find(hash.bytes()).is_none() {
            return match self.read_since(asked).await {
                Ok(fresh) => self.by(&fresh, hash, scope),
                Err(Away) => Verdict::Unavailable,
            };
        }
        match age {
            Some(age) if age < FRESH => {
                if age > FRESH / 2 {
                    self.read_soon();
                }
                self.by(&reading, hash, scope)
            }
            _ => match self.read_since(a_little_before(asked)).await {
                Ok(fresh) => self.by(&fresh, hash, scope),
                Err(Away) if age.is_some_and(|age| age < STALE_MAX) => {
                    self.by(&reading, hash, scope)
                }
                Err(Away) => Verdict::Unavailable,
            },
        }
    }

    /// What a reading says.
    fn by(&self, reading: &Reading, hash: Hash, scope: Scope) -> Verdict {
        let now = crate::model::now_ms();
        let Some(entry) = reading.find(hash.bytes()) else { return Verdict::Unknown };
        if entry.key.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Verdict::Unknown;
        }
        if !entry.key.scopes.contains(&scope) {
            return Verdict::OutOfScope;
        }
        self.note(entry, now);
        Verdict::Pass(Pass { keyring: self.clone(), hash, scope })
    }

    /// Writes down that a token is in use, once in some minutes.
    fn note(&self, entry: &Entry, now: i64) {
        let noted = entry.noted.load(Ordering::Relaxed);
        if now - noted < USED_MS
            || entry
                .noted
                .compare_exchange(noted, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let (db, id) = (self.0.db.clone(), entry.key.id);
        tokio::spawn(async move {
            if let Err(err) = store::used(&db, &[id]).await {
                debug!("note that token {id} is in use: {err}");
            }
        });
    }

    /// Makes what was just changed count here at once.
    pub async fn changed(&self) {
        // Elsewhere it counts within seconds, and so it does here if this fails.
        let _ = self.read_since(Instant::now()).await;
    }

    fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.0.reading.read().expect("no holder panics"))
    }

    /// Begins a reading that nobody waits for, unless there is one.
    fn read_soon(&self) {
        if self.0.turn.try_lock().is_ok() {
            let (this, asked) = (self.clone(), Instant::now());
            tokio::spawn(async move { this.read_since(a_little_before(asked)).await.map(drop) });
        }
    }

    /// A reading that began at `since` or later. Those who wait at the same time get the same one.
    async fn read_since(&self, since: Instant) -> Result<Arc<Reading>, Away> {
        let _turn = self.0.turn.lock().await;
        let before = self.reading();
        if before.begun.is_some_and(|begun| begun >= since) {
            return Ok(before);
        }
        let failed = *self.0.failed.lock().expect("no holder panics");
        if failed.is_some_and(|failed| failed + PAUSE >= since) {
            return Err(Away);
        }
        if let Some(begun) = before.begun {
            tokio::time::sleep_until((begun + PAUSE).into()).await;
        }
        let begun = Instant::now();
        match tokio::time::timeout(READ_TIMEOUT, store::keys(&self.0.db)).await {
            Ok(Ok(keys)) => {
                let fresh = Arc::new(Reading::new(begun, keys, &before));
                *self.0.reading.write().expect("no holder panics") = Arc::clone(&fresh);
                *self.0.failed.lock().expect("no holder panics") = None;
                Ok(fresh)
            }
            outcome => {
                if failed.is_none() {
                    let reason = match outcome {
                        Ok(Err(err)) => service::error::chain(&err),
                        _ => "no answer in time".to_owned(),
                    };
                    warn!("read tokens: {reason}; known ones pass for {} s", STALE_MAX.as_secs());
                }
                *self.0.failed.lock().expect("no holder panics") = Some(Instant::now());
                Err(Away)
            }
        }
    }
}

impl Reading {
    fn new(begun: Instant, keys: Vec<store::Key>, before: &Self) -> Self {
        let mut fresh = Self { begun: Some(begun), keys: HashMap::with_capacity(keys.len()) };
        for key in keys {
            let noted = before.find(&key.hash).map(|entry| Arc::clone(&entry.noted));
            let entry = Entry { noted: noted.unwrap_or_default(), key };
            fresh.keys.entry(prefix(&entry.key.hash)).or_default().push(entry);
        }
        fresh
    }
}
