//! Tokens in PostgreSQL: `watchpost.token`.

use service::Secret;
use sqlx::{PgPool, Row, postgres::PgRow};

use super::{Hash, Scope, generate};
use crate::db::sqlstate;

/// More than anybody has machines that write. It bounds what every receiver keeps in memory.
pub const TOKENS_MAX: i64 = 10_000;
/// In characters; the table checks it too.
const NAME_CHARS_MAX: usize = 100;

/// A token as it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: i64,
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Times are RFC 3339 in UTC.
    pub created_at: String,
    pub expires_at: Option<String>,
    /// To within some minutes.
    pub last_used_at: Option<String>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Seconds from now on, by the database's clock; for ever if not given.
    pub expires_in_s: Option<i64>,
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(
        "a token needs a name of 1 to {NAME_CHARS_MAX} characters, none of them a control character"
    )]
    Name,
    #[error("a token needs a scope: write, read or admin")]
    NoScope,
    #[error("a token must be valid for at least a second and at most a hundred years")]
    Lifetime,
    #[error("there is a token `{name}` already: choose another name, or revoke it first")]
    Exists { name: String },
    #[error("there are {TOKENS_MAX} tokens, the most there may be: revoke some")]
    TooMany,
    #[error("ask the database about tokens")]
    Database {
        #[from]
        source: sqlx::Error,
    },
}

const LIFETIME_S_MAX: i64 = 100 * 366 * 86_400;

/// Makes a token. The secret is told here and never again.
pub async fn create(db: &PgPool, new: &NewToken) -> Result<(Token, Secret), TokenError> {
    let n_chars = new.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&n_chars) || new.name.chars().any(char::is_control) {
        return Err(TokenError::Name);
    }
    if new.scopes.is_empty() {
        return Err(TokenError::NoScope);
    }
    if new.expires_in_s.is_some_and(|seconds| !(1..=LIFETIME_S_MAX).contains(&seconds)) {
        return Err(TokenError::Lifetime);
    }
    let mut scopes = new.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let secret = generate();
    let hash = Hash::of(secret.expose()).expect("just made");
    let created = sqlx::query(
        "INSERT INTO watchpost.token (name, scopes, hash, expires_at)
         SELECT $1, $2, $3, now() + $4::bigint * interval '1 second'
          WHERE (SELECT count(*) FROM watchpost.token) < $5
         RETURNING id, name, scopes,
                   to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS created_at,
                   to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS expires_at,
                   NULL::text AS last_used_at",
    )
    .bind(&new.name)
    .bind(&words)
    .bind(&hash.bytes()[..])
    .bind(new.expires_in_s)
    .bind(TOKENS_MAX)
    .fetch_optional(db)
    .await
    .map_err(|source| {
        if sqlstate::is(&source, sqlstate::UNIQUE_VIOLATION) {
            TokenError::Exists { name: new.name.clone() }
        } else {
            TokenError::Database { source }
        }
    })?;
    Ok((token(&created.ok_or(TokenError::TooMany)?)?, secret))
}

/// All tokens, in the order in which they were made.
pub async fn list(db: &PgPool) -> Result<Vec<Token>, TokenError> {
    let rows = sqlx::query(
        "SELECT id, name, scopes,
                to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS created_at,
                to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS expires_at,
                to_char(last_used_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS last_used_at
           FROM watchpost.token ORDER BY id LIMIT $1",
    )
    .bind(TOKENS_MAX)
    .fetch_all(db)
    .await?;
    Ok(rows.iter().map(token).collect::<Result<_, _>>()?)
}

/// Which token is meant.
#[derive(Clone, Debug)]
pub enum Which {
    Id(i64),
    Name(String),
}

/// Takes a token out. `None`: there is no such token. Receivers refuse it within seconds.
pub async fn revoke(db: &PgPool, which: &Which) -> Result<Option<String>, TokenError> {
    let (id, name) = match which {
        Which::Id(id) => (Some(*id), None),
        Which::Name(name) => (None, Some(name)),
    };
    let name =
        sqlx::query_scalar("DELETE FROM watchpost.token WHERE id = $1 OR name = $2 RETURNING name")
            .bind(id)
            .bind(name)
            .fetch_optional(db)
            .await?;
    Ok(name)
}

/// What is needed to judge a token.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: i64,
    pub(super) hash: [u8; 32],
    pub(super) scopes: Vec<Scope>,
    /// Milliseconds since the Unix epoch.
    pub(super) expires_at: Option<i64>,
}

/// All tokens that have not expired.
pub(super) async fn keys(db: &PgPool) -> Result<Vec<Key>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, hash, scopes, (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at
           FROM watchpost.token WHERE expires_at IS NULL OR expires_at > now() LIMIT $1",
    )
    .bind(TOKENS_MAX)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let hash: Vec<u8> = row.try_get("hash")?;
            let hash =
                hash.try_into().map_err(|_| sqlx::Error::Decode("a hash of 32 bytes".into()))?;
            let (id, expires_at) = (row.try_get("id")?, row.try_get("expires_at")?);
            Ok(Key { id, hash, scopes: scopes(row)?, expires_at })
        })
        .collect()
}

/// Notes that tokens were used.
pub(super) async fn used(db: &PgPool, ids: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE watchpost.token SET last_used_at = now() WHERE id = ANY($1)")
        .bind(ids)
        .execute(db)
        .await
        .map(drop)
}

fn token(row: &PgRow) -> Result<Token, sqlx::Error> {
    Ok(Token {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        scopes: scopes(row)?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}

/// A word of a newer program gives no right in this one.
fn scopes(row: &PgRow) -> Result<Vec<Scope>, sqlx::Error> {
    let words: Vec<String> = row.try_get("scopes")?;
    Ok(words.iter().filter_map(|word| word.parse().ok()).collect())
}
