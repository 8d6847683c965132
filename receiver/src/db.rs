//! PostgreSQL: where it comes from ([`managed`]), connecting, migrating, and what its errors mean for a sender.

mod args;
pub mod managed;
pub mod sqlstate;
#[cfg(feature = "testing")]
pub mod testing;

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::debug;

pub use self::args::{Args, ArgsError};

/// Below the 30 s after which a sender gives up and sends again.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// Of a statement that reads samples: those of a query have its deadline besides.
const READING_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a server looks whether somebody still waits for a statement that reads; some systems cannot.
const WATCHED_EVERY: Duration = Duration::from_secs(1);
/// Reading, creating series and housekeeping share these; the committer has a connection of its own.
const POOL_SIZE: u32 = 8;
/// Reading samples: more at once would not be faster, and a database has other users.
const READING_POOL_SIZE: u32 = 4;
/// Queries wait for each other's statements, and have deadlines of their own.
const READING_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Of connecting a desk: its users have something to say meanwhile.
const DESK_TIMEOUT: Duration = Duration::from_secs(5);
/// Writing, merging and loading blocks: a day of many series takes minutes, and whatever takes longer has failed.
const WORK_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long a start waits for a moment in which nobody reads what a migration changes.
const MIGRATE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a statement that changes tables waits for its lock. Whoever comes meanwhile queues behind it, so this is also
/// how long we make anybody wait: below 200 ms, which is the promise.
pub const LOCK_TIMEOUT: Duration = Duration::from_millis(120);

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "`--database-url` is not a PostgreSQL address (postgres://user:password@host:5432/database)"
    )]
    Url {
        #[source]
        source: sqlx::Error,
    },
    #[error("connect to PostgreSQL at {host}")]
    Connect {
        host: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("PostgreSQL {version} is too old: Watchpost needs 14 or newer")]
    TooOld { version: i32 },
    #[error("prepare the schema `watchpost`; the role needs CREATE on its database")]
    Schema {
        #[source]
        source: sqlx::Error,
    },
    #[error("migrate the schema `watchpost`")]
    Migrate {
        #[source]
        source: MigrateError,
    },
}

/// A database that is reachable and migrated.
pub async fn open(url: &str) -> Result<PgPool, OpenError> {
    let options = connect_options(url)?;
    let host = options.get_host().to_owned();
    let db = PgPoolOptions::new()
        .max_connections(POOL_SIZE)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|source| OpenError::Connect { host, source })?;
    migrate(&db).await?;
    Ok(db)
}

/// Connections to the same server for reading samples, opened when they are needed.
///
/// Each statement is a transaction of its own that has one snapshot from its planning to its end, so it takes one round
/// trip. Its plan is made once for a connection: with hundreds of partitions, planning takes longer than most reading.
pub fn reading(db: &PgPool) -> PgPool {
    let timeout = format!("{}ms", READING_TIMEOUT.as_millis());
    let options =
        db.connect_options().as_ref().clone().application_name("watchpost-query").options([
            // Of two settings of one name the later counts.
            ("statement_timeout", timeout.as_str()),
            ("default_transaction_isolation", "repeatable read"),
            ("default_transaction_read_only", "on"),
            ("plan_cache_mode", "force_generic_plan"),
        ]);
    PgPoolOptions::new()
        .max_connections(READING_POOL_SIZE)
        .acquire_timeout(READING_ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                let interval = WATCHED_EVERY.as_millis();
                let watched = format!("SET client_connection_check_interval = {interval}");
                if let Err(err) = connection.execute(AssertSqlSafe(watched)).await {
                    debug!("abandoned statements run until their time is over: {err}");
                }
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

/// Options of every connection: a name that shows in `pg_stat_activity`, and a bound on every statement.
pub fn connect_options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let timeout = format!("{}ms", STATEMENT_TIMEOUT.as_millis());
    Ok(PgConnectOptions::from_str(url)
        .map_err(|source| OpenError::Url { source })?
        .application_name("watchpost")
        .extra_float_digits(None)
        .options([
            ("statement_timeout", timeout.as_str()),
            ("idle_in_transaction_session_timeout", "60s"),
            // The planner's guesses about our rows are never off by enough for JIT to pay.
            ("jit", "off"),
        ]))
}

/// A connection of its own for work that takes longer than a statement may: the same server, other bounds.
pub async fn work(db: &PgPool) -> Result<PgConnection, sqlx::Error> {
    let timeout = format!("{}ms", WORK_TIMEOUT.as_millis());
    // Of two settings of one name the later counts.
    let options =
        db.connect_options().as_ref().clone().options([("statement_timeout", timeout.as_str())]);
    options.connect().await
}

/// A pool of one connection, made when it is needed, for those who must not wait behind queries.
pub fn desk(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(DESK_TIMEOUT)
        .idle_timeout(Duration::from_secs(60))
        .connect_lazy_with(options)
}

/// To be executed in a transaction before statements that change tables.
pub fn set_local_lock_timeout() -> String {
    format!("SET LOCAL lock_timeout = '{}ms'", LOCK_TIMEOUT.as_millis())
}

/// To be executed on a connection of its own before statements that change tables.
pub fn set_lock_timeout() -> String {
    format!("SET lock_timeout = '{}ms'", LOCK_TIMEOUT.as_millis())
}

/// Waits a moment that differs from try to try, so that two do not meet again and again.
pub async fn pause_before_retry() {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(20 + u64::from(now.subsec_micros() % 80))).await;
}

async fn migrate(db: &PgPool) -> Result<(), OpenError> {
    let schema = |source| OpenError::Schema { source };
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(db)
        .await
        .map_err(schema)?;
    if version < 140_000 {
        return Err(OpenError::TooOld { version: version / 10_000 });
    }
    db.execute("CREATE SCHEMA IF NOT EXISTS watchpost").await.map_err(schema)?;
    let mut migrator = sqlx::migrate!("./migrations");
    // Not in `public`, which belongs to whoever else uses this database.
    migrator.dangerous_set_table_name("watchpost.migration");
    // Other receivers may be writing: a migration that has to wait for a reader would make them wait behind it.
    let mut connection = work(db).await.map_err(schema)?;
    connection.execute(AssertSqlSafe(set_lock_timeout())).await.map_err(schema)?;
    let started = std::time::Instant::now();
    loop {
        match migrator.run(&mut connection).await {
            Err(err) if lock_is_taken(&err) && started.elapsed() < MIGRATE_PATIENCE => {
                pause_before_retry().await;
            }
            outcome => {
                let _ = connection.close().await;
                return outcome.map_err(|source| OpenError::Migrate { source });
            }
        }
    }
}

fn lock_is_taken(err: &MigrateError) -> bool {
    let source = match err {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source,
        _ => return false,
    };
    sqlstate::is(source, sqlstate::LOCK_NOT_AVAILABLE)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_an_abandoned_statement_for_long() {
        let database = testing::database().await;
        let db = open(database.url()).await.unwrap();
        let reading = reading(&db);
        let sleeping = async {
            let mut connection = reading.acquire().await.unwrap();
            connection.close_on_drop();
            sqlx::query("SELECT pg_sleep(60)").execute(&mut *connection).await.unwrap();
        };
        assert!(tokio::time::timeout(Duration::from_millis(300), sleeping).await.is_err());
        let begun = Instant::now();
        loop {
            let running: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)' AND state = 'active'",
            )
            .fetch_one(&db)
            .await
            .unwrap();
            if running == 0 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "still running");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        reading.close().await;
        db.close().await;
    }
}
