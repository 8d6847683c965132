//! The private PostgreSQL: started, stopped, killed, and refused, each test in a folder of its own.

use std::{fs, path::Path, time::Duration};

use receiver::db::{
    managed::{Durability, Managed, ManagedConfig, ManagedError, Progress},
    testing,
};
use sqlx::{Connection, Executor, PgConnection};

fn config(folder: &Path) -> ManagedConfig {
    ManagedConfig::new(folder.join("postgres"))
}

async fn start(folder: &Path) -> Managed {
    Managed::start(config(folder), |_| {}).await.unwrap()
}

async fn refusal(config: ManagedConfig) -> ManagedError {
    match Managed::start(config, |_| {}).await {
        Ok(_) => panic!("it should have been refused"),
        Err(err) => {
            let text = service::error::chain(&err);
            assert!(!text.contains('\n'), "one line: {text}");
            err
        }
    }
}

async fn connect(managed: &Managed) -> PgConnection {
    PgConnection::connect(&managed.url()).await.unwrap()
}

/// The number in `postmaster.pid`.
fn postmaster(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("postgres/data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().to_owned()
}

fn kill(signal: &str, pid: &str) {
    assert!(
        std::process::Command::new("kill").args(["-s", signal, pid]).status().unwrap().success()
    );
}

/// Waits for what must come true; the test runner's own time limit is the bound.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("30 s passed and not yet: {what}");
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("cwd").read_link().is_ok()
}

#[tokio::test]
async fn data_survives_a_stop_and_a_crash() {
    let folder = testing::folder();
    let managed = start(folder.path()).await;
    let mut db = connect(&managed).await;
    db.execute("CREATE TABLE kept (x int)").await.unwrap();
    db.execute("INSERT INTO kept VALUES (1)").await.unwrap();
    let synchronous: String =
        sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut db).await.unwrap();
    let tcp: String = sqlx::query_scalar("SHOW listen_addresses").fetch_one(&mut db).await.unwrap();
    let superuser: bool =
        sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!((synchronous.as_str(), tcp.as_str(), superuser), ("on", "", false));
    // A connection that stays open must not hold up the stop.
    managed.stop().await;
    assert!(!folder.path().join("postgres/data/postmaster.pid").exists(), "stopped cleanly");

    let managed = start(folder.path()).await;
    let mut db = connect(&managed).await;
    db.execute("INSERT INTO kept VALUES (2)").await.unwrap();
    let pid = postmaster(folder.path());
    kill("KILL", &pid);
    until("the killed server is gone", || !is_alive(&pid)).await;
    drop(managed);

    let managed = start(folder.path()).await;
    let mut db = connect(&managed).await;
    let sum: i64 = sqlx::query_scalar("SELECT sum(x) FROM kept").fetch_one(&mut db).await.unwrap();
    assert_eq!(sum, 3);
    managed.stop().await;
}

#[tokio::test]
async fn a_server_that_died_is_revived() {
    let folder = testing::folder();
    let mut managed = start(folder.path()).await;
    let url = managed.url();
    let pid = postmaster(folder.path());
    kill("KILL", &pid);
    until("the killed server is gone", || !is_alive(&pid)).await;
    managed.revive(|_| {}).await.unwrap();
    assert!(managed.is_running());
    assert_eq!(managed.url(), url);
    connect(&managed).await.ping().await.unwrap();
    managed.stop().await;
}

#[tokio::test]
async fn dropping_it_stops_the_server() {
    let folder = testing::folder();
    let managed = start(folder.path()).await;
    let pid = postmaster(folder.path());
    drop(managed);
    until("the dropped server is gone", || !is_alive(&pid)).await;
}

/// The processes below `parent`, by `/proc/<pid>/stat`.
#[cfg(target_os = "linux")]
fn children(parent: &str) -> Vec<String> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(parent)
    })
    .collect()
}

/// Even if somebody shoots our whole process tree except PostgreSQL itself.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_left_behind_is_stopped_first() {
    let folder = testing::folder();
    let managed = start(folder.path()).await;
    let pid = postmaster(folder.path());
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let supervisor = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().to_owned();
    kill("KILL", &supervisor);
    for child in children(&supervisor).iter().filter(|child| **child != pid) {
        kill("KILL", child);
    }
    drop(managed);
    assert!(is_alive(&pid));
    let steps = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = steps.clone();
    let managed =
        Managed::start(config(folder.path()), move |step| told.lock().unwrap().push(step))
            .await
            .unwrap();
    let expected = Progress::StoppingOrphan { pid: pid.parse().unwrap() };
    assert_eq!(*steps.lock().unwrap(), [expected]);
    assert!(!is_alive(&pid) && postmaster(folder.path()) != pid);
    managed.stop().await;
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_left_alone() {
    let folder = testing::folder();
    let managed = start(folder.path()).await;
    let err = refusal(config(folder.path())).await;
    let me = format!("in use by another watchpost (pid {})", std::process::id());
    assert!(err.to_string().contains(&me), "{err}");
    connect(&managed).await.ping().await.unwrap();
    managed.stop().await;
}

#[tokio::test]
async fn a_stale_pid_file_of_a_recycled_number_is_removed() {
    let folder = testing::folder();
    start(folder.path()).await.stop().await;
    // A number that is alive and that PostgreSQL may signal, but which is no PostgreSQL.
    let data = folder.path().join("postgres/data");
    let mut bystander = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let text = format!("{}\n{}\n0\n5432\n\n\n", bystander.id(), data.display());
    fs::write(data.join("postmaster.pid"), text).unwrap();
    let managed = start(folder.path()).await;
    managed.stop().await;
    assert!(bystander.try_wait().unwrap().is_none(), "it was not touched");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn another_version_s_data_is_refused_and_left_alone() {
    let folder = testing::folder();
    start(folder.path()).await.stop().await;
    let version = folder.path().join("postgres/data/PG_VERSION");
    let original = fs::read_to_string(&version).unwrap();
    fs::write(&version, "13\n").unwrap();
    let err = refusal(config(folder.path())).await;
    assert!(matches!(err, ManagedError::WrongMajor { found: 13, .. }), "{err}");
    assert!(err.to_string().contains("--storage.path"), "{err}");
    fs::write(&version, original).unwrap();
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused() {
    let folder = testing::folder();
    let data = folder.path().join("postgres/data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("precious"), "x").unwrap();
    assert!(matches!(refusal(config(folder.path())).await, ManagedError::Foreign { .. }));
    assert!(data.join("precious").exists());
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let err = refusal(config(&file)).await;
    assert!(matches!(err, ManagedError::Folder { .. }), "{err}");
}

/// Whatever it was doing at that moment.
#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_running() {
    for patience_ms in [30, 150, 400, 700, 1000] {
        let folder = testing::folder();
        let starting = Managed::start(config(folder.path()), |_| {});
        let _ = tokio::time::timeout(Duration::from_millis(patience_ms), starting).await;
        until("nothing runs in the folder", || {
            let mut pids = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            !pids.any(|pid| {
                let arguments = fs::read(pid.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&arguments).contains(folder.path().to_str().unwrap())
            })
        })
        .await;
        start(folder.path()).await.stop().await;
    }
}

#[tokio::test]
async fn half_a_data_folder_is_made_anew() {
    let folder = testing::folder();
    let data_new = folder.path().join("postgres/data.new.1");
    fs::create_dir_all(&data_new).unwrap();
    fs::write(data_new.join("PG_VERSION"), "15\n").unwrap();
    let steps = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = steps.clone();
    let managed =
        Managed::start(config(folder.path()), move |step| told.lock().unwrap().push(step))
            .await
            .unwrap();
    assert!(matches!(steps.lock().unwrap().as_slice(), [Progress::Creating { .. }]));
    managed.stop().await;
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let folder = testing::folder();
    start(folder.path()).await.stop().await;
    let conf = folder.path().join("postgres/data/postgresql.auto.conf");
    fs::write(conf, "shared_buffers = 'plenty'\n").unwrap();
    let err = refusal(config(folder.path())).await;
    assert!(err.to_string().contains("shared_buffers"), "{err}");
}

#[tokio::test]
async fn a_long_path_gets_a_short_socket() {
    let folder = testing::folder();
    let long = folder.path().join("x".repeat(100));
    let config = ManagedConfig { durability: Durability::Throwaway, ..config(&long) };
    let managed = Managed::start(config, |_| {}).await.unwrap();
    assert!(managed.url().contains("host=/tmp/"), "{}", managed.url());
    connect(&managed).await.ping().await.unwrap();
    managed.stop().await;
    assert!(!long.join("postgres/data").exists(), "throwaway data is removed");
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (first, second) = (testing::database().await, testing::database().await);
    assert_ne!(first.url(), second.url());
    let mut db = PgConnection::connect(first.url()).await.unwrap();
    db.execute("CREATE TABLE only_here (x int)").await.unwrap();
    let mut other = PgConnection::connect(second.url()).await.unwrap();
    assert!(other.execute("SELECT * FROM only_here").await.is_err());
    drop(first);
    assert!(db.ping().await.is_err(), "dropping a database cuts its connections");
}
