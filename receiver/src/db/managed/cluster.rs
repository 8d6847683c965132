//! Making a data folder, waiting until its server answers, and making our database in it.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process_group};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError},
};
use tracing::warn;

use super::{
    Durability, ManagedError, Progress,
    account::Account,
    binaries::Binaries,
    folder::Folder,
    process::{Postmaster, clean_environment},
    settings,
};

/// The role that `initdb` makes. Ours is an ordinary one, as on every hosted PostgreSQL.
pub(super) const SUPERUSER: &str = "postgres";

/// How long the socket may stay silent before we call the start failed. Recovery answers, so it is not counted.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// SQLSTATE `cannot_connect_now`: starting up, recovering or shutting down.
const CANNOT_CONNECT_NOW: &str = "57P03";
/// Lines of a log that are searched for the reason of a failure.
const LOG_BYTES_MAX: usize = 64 * 1024;

/// Makes `data/`, complete or not at all.
pub(super) async fn create(
    binaries: &Binaries,
    folder: &Folder,
    account: Option<&Account>,
    durability: Durability,
) -> Result<(), ManagedError> {
    let data_new = folder.data_new();
    let mut command = Command::new(binaries.initdb());
    command.arg("-D").arg(&data_new).args(["-U", SUPERUSER]);
    // Reached through the socket only, and its folder decides who may.
    command.args(["--auth-local=trust", "--auth-host=reject"]);
    // Byte order: no index ever depends on the collations of an operating system that may be upgraded.
    command.args(["--encoding=UTF8", "--locale=C", "--data-checksums"]);
    if durability == Durability::Throwaway {
        command.arg("--no-sync");
    }
    clean_environment(&mut command);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    let failed = |source| ManagedError::Spawn { program: binaries.initdb(), source };
    let errors = tempfile::tempfile().map_err(failed)?;
    command.stderr(errors.try_clone().map_err(failed)?);
    let mut initdb = Unfinished(command.spawn().map_err(failed)?);
    let status = loop {
        match initdb.0.try_wait().map_err(failed)? {
            Some(status) => break status,
            None => tokio::time::sleep(POLL).await,
        }
    };
    if !status.success() {
        return Err(ManagedError::InitDb { reason: reason(&read_start(errors)) });
    }
    settings::include(&data_new)?;
    fs::rename(&data_new, folder.data())
        .map_err(|source| ManagedError::Folder { path: data_new, source })
}

/// An `initdb` and its children: killed when a start is given up, or they would go on in a folder that nobody wants.
struct Unfinished(Child);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }
}

/// What a program wrote, as far as anybody would read it.
fn read_start(mut file: File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind();
    let _ = file.take(LOG_BYTES_MAX as u64).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until the server takes connections.
pub(super) async fn wait_until_ready(
    postmaster: &mut Postmaster,
    folder: &Folder,
    progress: &impl Fn(Progress),
) -> Result<(), ManagedError> {
    let started = SystemTime::now();
    let options = connect_options(folder, SUPERUSER)?;
    let mut heard = Instant::now();
    let mut told_recovering = false;
    loop {
        if postmaster.exited().is_some() {
            return Err(start_failed(folder, started));
        }
        match PgConnection::connect_with(&options).await {
            Ok(connection) => {
                let _ = connection.close().await;
                break;
            }
            Err(sqlx::Error::Database(err))
                if err.code().as_deref() == Some(CANNOT_CONNECT_NOW) =>
            {
                heard = Instant::now();
                // PostgreSQL says so from version 14 on; a clean start passes too quickly to be seen.
                let text = err.downcast_ref::<PgDatabaseError>().message();
                if text.contains("recovery") && !told_recovering {
                    progress(Progress::Recovering);
                    told_recovering = true;
                }
            }
            Err(_) if heard.elapsed() < SILENCE_MAX => {}
            Err(_) => return Err(start_failed(folder, started)),
        }
        tokio::time::sleep(POLL).await;
    }
    if let Err(err) = folder.note_started(folder.running_pid()) {
        warn!(
            "the next start may not know this PostgreSQL as ours: write {}: {err}",
            folder.path().display()
        );
    }
    Ok(())
}

/// Makes the role and the database `name` if they are not there yet.
pub(super) async fn create_database(folder: &Folder, name: &str) -> Result<(), ManagedError> {
    let options = connect_options(folder, SUPERUSER)?;
    let mut db =
        PgConnection::connect_with(&options).await.map_err(ManagedError::CreateDatabase)?;
    let made = make_role_and_database(&mut db, name).await;
    let _ = db.close().await;
    made.map_err(ManagedError::CreateDatabase)
}

/// `name` is one of our own constants: neither statement takes parameters.
async fn make_role_and_database(db: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let role: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_roles WHERE rolname = $1")
        .bind(name)
        .fetch_optional(&mut *db)
        .await?;
    if role.is_none() {
        db.execute(AssertSqlSafe(format!("CREATE ROLE {name} LOGIN IN ROLE pg_monitor"))).await?;
    }
    let database: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_optional(&mut *db)
        .await?;
    if database.is_none() {
        db.execute(AssertSqlSafe(format!("CREATE DATABASE {name} OWNER {name}"))).await?;
    }
    Ok(())
}

fn connect_options(folder: &Folder, role: &str) -> Result<PgConnectOptions, ManagedError> {
    PgConnectOptions::from_str(&folder.url(role, "postgres")).map_err(ManagedError::CreateDatabase)
}

fn start_failed(folder: &Folder, since: SystemTime) -> ManagedError {
    let mut text = newest_log(&folder.log_dir(), since).unwrap_or_default();
    text.push_str(&tail(&folder.start_log()));
    ManagedError::Start { reason: reason(&text), log: folder.log_dir() }
}

/// The end of the log that was written to last, if that was since `since`.
fn newest_log(dir: &Path, since: SystemTime) -> Option<String> {
    let entries = fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let (path, modified) = entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.modified().ok()?)))
        .max_by_key(|(_, modified)| *modified)?;
    (modified + Duration::from_secs(1) >= since).then(|| tail(&path))
}

fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_BYTES_MAX)..]).into_owned()
}

/// The last line that names an error, without time stamps and process numbers, and its hint.
fn reason(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_error = |line: &&str| {
        ["PANIC:", "FATAL:", "ERROR:", "error:"].iter().any(|word| line.contains(word))
    };
    let Some(at) = lines.iter().rposition(is_error) else {
        return lines.last().map_or("it said nothing".to_owned(), |line| (*line).to_owned());
    };
    let text = |line: &str| {
        let start = ["PANIC:", "FATAL:", "ERROR:", "error:", "LOG:", "HINT:", "DETAIL:"]
            .iter()
            .find_map(|word| Some(line.find(word)? + word.len()))
            .unwrap_or(0);
        line[start..].trim().to_owned()
    };
    let mut reason = text(lines[at]);
    // "configuration file … contains errors" is preceded by what they are.
    if reason.contains("contains errors") && at > 0 {
        reason = format!("{}; {reason}", text(lines[at - 1]));
    }
    let explanations =
        lines[at + 1..].iter().filter(|l| l.contains("HINT:") || l.contains("DETAIL:"));
    for line in explanations {
        reason.push_str("; ");
        reason.push_str(&text(line));
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_one_line() {
        for (log, expected) in [
            (
                "2026-01-01 00:00:00.000 UTC [7] LOG:  starting PostgreSQL\n\
                 2026-01-01 00:00:00.000 UTC [7] FATAL:  could not create lock file \"x\": Permission denied\n\
                 2026-01-01 00:00:00.001 UTC [7] HINT:  Look at it.\n2026-01-01 [7] LOG:  database system is shut down\n",
                "could not create lock file \"x\": Permission denied; Look at it.",
            ),
            ("initdb: error: invalid locale name \"xx\"\n", "invalid locale name \"xx\""),
            ("something odd\n\n", "something odd"),
            ("", "it said nothing"),
        ] {
            assert_eq!(reason(log), expected);
        }
    }
}
