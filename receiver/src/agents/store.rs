//! Agents in PostgreSQL.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use sqlx::{PgPool, Row, postgres::PgRow};

use super::AGENTS_MAX;

/// How exactly it is known when an agent was there last: each note is a write.
const SEEN_EVERY_S: i64 = 30;

/// What an agent says of itself. All texts are checked by `http::agents`.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    pub(crate) program: String,
    pub(crate) instance: String,
    pub(crate) job: String,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) scheme: String,
    pub(crate) metrics_path: String,
    pub(crate) version: String,
    pub(crate) os: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) pushes: bool,
    pub(crate) stored_interval_ms: i64,
    pub(crate) live_interval_ms: i64,
}

/// What somebody wants of an agent; `None` is what its own flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) generation: i64,
    pub(crate) stored_ms: Option<i64>,
    pub(crate) live_ms: Option<i64>,
}

/// One of the list.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) said: Announcement,
    pub(crate) wanted: Wanted,
    pub(crate) registered_at: String,
    pub(crate) seen_at: String,
    /// Seen in the last two minutes.
    pub(crate) is_here: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("there are {AGENTS_MAX} agents, the most there may be: forget some")]
    TooMany,
    #[error("ask the database about agents")]
    Database {
        #[from]
        source: sqlx::Error,
    },
}

/// Writes a row only where something changed or the last note is old.
pub(super) async fn note(db: &PgPool, agent: &Announcement) -> Result<Wanted, AgentError> {
    let labels = serde_json::to_value(&agent.labels).unwrap_or_default();
    sqlx::query(
        "INSERT INTO watchpost.agent AS known
                (program, instance, job, name, address, scheme, metrics_path, version, os, labels, pushes,
                 stored_interval_ms, live_interval_ms)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13
          WHERE EXISTS (SELECT FROM watchpost.agent WHERE program = $1 AND instance = $2)
             OR (SELECT count(*) FROM watchpost.agent) < $14
         ON CONFLICT (program, instance) DO UPDATE
            SET job = excluded.job, name = excluded.name, address = excluded.address, scheme = excluded.scheme,
                metrics_path = excluded.metrics_path, version = excluded.version, os = excluded.os,
                labels = excluded.labels, pushes = excluded.pushes,
                stored_interval_ms = excluded.stored_interval_ms, live_interval_ms = excluded.live_interval_ms,
                seen_at = now()
          WHERE known.seen_at < now() - $15 * interval '1 second'
             OR (known.job, known.name, known.address, known.scheme, known.metrics_path, known.version, known.os,
                 known.labels, known.pushes, known.stored_interval_ms, known.live_interval_ms)
                IS DISTINCT FROM
                (excluded.job, excluded.name, excluded.address, excluded.scheme, excluded.metrics_path,
                 excluded.version, excluded.os, excluded.labels, excluded.pushes, excluded.stored_interval_ms,
                 excluded.live_interval_ms)",
    )
    .bind(&agent.program)
    .bind(&agent.instance)
    .bind(&agent.job)
    .bind(&agent.name)
    .bind(&agent.address)
    .bind(&agent.scheme)
    .bind(&agent.metrics_path)
    .bind(&agent.version)
    .bind(&agent.os)
    .bind(labels)
    .bind(agent.pushes)
    .bind(agent.stored_interval_ms)
    .bind(agent.live_interval_ms)
    .bind(AGENTS_MAX)
    .bind(SEEN_EVERY_S)
    .execute(db)
    .await?;
    wanted(db, &agent.program, &agent.instance).await
}

/// Without a row there was no room for one.
pub(super) async fn wanted(
    db: &PgPool,
    program: &str,
    instance: &str,
) -> Result<Wanted, AgentError> {
    let row = sqlx::query(
        "SELECT generation, wanted_stored_ms, wanted_live_ms FROM watchpost.agent
          WHERE program = $1 AND instance = $2",
    )
    .bind(program)
    .bind(instance)
    .fetch_optional(db)
    .await?;
    Ok(wanted_of(&row.ok_or(AgentError::TooMany)?)?)
}

/// The number of the newest change of what is wanted of anybody.
pub(super) async fn newest(db: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(generation), 0) FROM watchpost.agent")
        .fetch_one(db)
        .await
}

pub(super) async fn want(
    db: &PgPool,
    program: &str,
    instance: &str,
    stored_ms: Option<i64>,
    live_ms: Option<i64>,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE watchpost.agent
            SET wanted_stored_ms = $3, wanted_live_ms = $4, generation = nextval('watchpost.agent_generation')
          WHERE program = $1 AND instance = $2
         RETURNING generation",
    )
    .bind(program)
    .bind(instance)
    .bind(stored_ms)
    .bind(live_ms)
    .fetch_optional(db)
    .await
}

pub(super) async fn forget(
    db: &PgPool,
    program: &str,
    instance: &str,
) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query("DELETE FROM watchpost.agent WHERE program = $1 AND instance = $2")
        .bind(program)
        .bind(instance)
        .execute(db)
        .await?;
    Ok(gone.rows_affected() > 0)
}

/// Takes out who was not seen for so long, and returns how many that were.
pub(super) async fn sweep(db: &PgPool, after: Duration) -> Result<u64, sqlx::Error> {
    let gone =
        sqlx::query("DELETE FROM watchpost.agent WHERE seen_at < now() - $1 * interval '1 second'")
            .bind(i64::try_from(after.as_secs()).unwrap_or(i64::MAX))
            .execute(db)
            .await?;
    Ok(gone.rows_affected())
}

/// How many are here, and how many are away and not forgotten.
pub(super) async fn count(db: &PgPool) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE is_here), count(*) FILTER (WHERE NOT is_here)
           FROM (SELECT seen_at > now() - interval '2 minutes' AS is_here FROM watchpost.agent
                  WHERE seen_at >= now() - $1 * interval '1 second') known",
    )
    .bind(i64::try_from(super::FORGOTTEN_AFTER.as_secs()).unwrap_or(i64::MAX))
    .fetch_one(db)
    .await
}

/// All of them, in the order of their names.
pub(super) async fn list(db: &PgPool) -> Result<Vec<Agent>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT program, instance, job, name, address, scheme, metrics_path, version, os, labels, pushes,
                stored_interval_ms, live_interval_ms, wanted_stored_ms, wanted_live_ms, generation,
                to_char(registered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS registered_at,
                to_char(seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS seen_at,
                seen_at > now() - interval '2 minutes' AS is_here
           FROM watchpost.agent
          WHERE seen_at >= now() - $1 * interval '1 second'
          ORDER BY program, instance LIMIT $2",
    )
    .bind(i64::try_from(super::FORGOTTEN_AFTER.as_secs()).unwrap_or(i64::MAX))
    .bind(AGENTS_MAX)
    .fetch_all(db)
    .await?;
    rows.iter().map(agent).collect()
}

fn wanted_of(row: &PgRow) -> Result<Wanted, sqlx::Error> {
    Ok(Wanted {
        generation: row.try_get("generation")?,
        stored_ms: row.try_get("wanted_stored_ms")?,
        live_ms: row.try_get("wanted_live_ms")?,
    })
}

fn agent(row: &PgRow) -> Result<Agent, sqlx::Error> {
    let labels: Value = row.try_get("labels")?;
    Ok(Agent {
        said: Announcement {
            program: row.try_get("program")?,
            instance: row.try_get("instance")?,
            job: row.try_get("job")?,
            name: row.try_get("name")?,
            address: row.try_get("address")?,
            scheme: row.try_get("scheme")?,
            metrics_path: row.try_get("metrics_path")?,
            version: row.try_get("version")?,
            os: row.try_get("os")?,
            labels: serde_json::from_value(labels).unwrap_or_default(),
            pushes: row.try_get("pushes")?,
            stored_interval_ms: row.try_get("stored_interval_ms")?,
            live_interval_ms: row.try_get("live_interval_ms")?,
        },
        wanted: wanted_of(row)?,
        registered_at: row.try_get("registered_at")?,
        seen_at: row.try_get("seen_at")?,
        is_here: row.try_get("is_here")?,
    })
}
