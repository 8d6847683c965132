//! Weeks in minutes: two receivers, backups that overlap, a transaction that stays open for a day, and retention.
//!
//! The number of tables stays small, nobody waits 200 ms for a lock, the disk and the memory do not grow, and vacuum has
//! nothing to do. `WATCHPOST_LONG_RUN_DAYS` (4) says for how long; with 30, samples are kept for 10 days.

use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use receiver::db::{
    managed::{Durability, Managed, ManagedConfig},
    testing,
};
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::{
    programs::program,
    simulated::{DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Simulated},
};

const SERIES: u32 = 1000;
const RECEIVERS: u32 = 2;
const SCRAPE_MS: i64 = MINUTE_MS;
/// Scrapes that one commit takes.
const SCRAPES_PER_COMMIT: i64 = 5;
const HOUSEKEEP_EVERY_MS: i64 = 30 * MINUTE_MS;
const RELATIONS_MAX: i64 = 1000;
/// How much larger than when retention began the disk may be.
const DISK_GROWTH_MAX: f64 = 1.25;
const RSS_GROWTH_MAX: u64 = 64 << 20;

fn days() -> i64 {
    env::var("WATCHPOST_LONG_RUN_DAYS").ok().map_or(4, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_and_nobody_waits() {
    let (days, started) = (days(), Instant::now());
    let retention = if days >= 20 { 10 } else { days / 2 };
    let folder = testing::folder();
    let config = ManagedConfig {
        durability: Durability::Throwaway,
        ..ManagedConfig::new(folder.path().join("postgres"))
    };
    let postgres = Managed::start(config, |_| {}).await.unwrap();
    log_lock_waits(&folder.path().join("postgres"));
    let db = PgPool::connect(&postgres.url()).await.unwrap();
    let clock = Arc::new(AtomicI64::new(START_MS));
    let url = postgres.url();
    let mut receivers = Vec::new();
    for _ in 0..RECEIVERS {
        receivers.push(Box::pin(Simulated::open(&url, &clock, Some(retention as u64))).await);
    }
    let mut backups = Backups::new(&url);
    let mut reader = PgConnection::connect(&url).await.unwrap();
    let (mut disk_then, mut rss_then) = (0, 0);
    for day in 0..days {
        for part in 0..DAY_MS / HOUSEKEEP_EVERY_MS {
            let from = START_MS + day * DAY_MS + part * HOUSEKEEP_EVERY_MS;
            for (n, receiver) in receivers.iter().enumerate() {
                scrape(receiver, n as u32, from).await;
            }
            clock.store(from + HOUSEKEEP_EVERY_MS, Ordering::Relaxed);
            for receiver in &receivers {
                receiver.housekeep().await;
            }
            if part % 4 == 0 {
                backups.another();
            }
        }
        if day == 1 {
            // Looks at everything, and keeps looking for a day.
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
            reader.execute("SELECT count(*) FROM watchpost.live_block").await.unwrap();
        } else if day == 2 {
            reader.execute("COMMIT").await.unwrap();
        }
        let (relations, disk, rss) = (relations(&db).await, disk(&db).await, rss());
        eprintln!(
            "day {day}: {relations} relations, {} kB on disk, {} MB resident, {} backups, {:?}",
            disk >> 10,
            rss >> 20,
            backups.finished,
            started.elapsed()
        );
        assert!(relations < RELATIONS_MAX, "{relations} relations");
        if day == retention + 1 {
            (disk_then, rss_then) = (disk, rss);
        }
    }
    backups.wait();
    assert!(backups.finished > 0, "no backup was made");
    for receiver in &receivers {
        receiver.housekeep().await;
        receiver.housekeep().await;
    }
    let (disk_now, rss_now) = (disk(&db).await, rss());
    assert!(
        disk_now as f64 <= disk_then as f64 * DISK_GROWTH_MAX,
        "{disk_then} bytes became {disk_now}"
    );
    assert!(rss_now <= rss_then + RSS_GROWTH_MAX, "{rss_then} bytes of memory became {rss_now}");
    retention_and_vacuum(&db, days, retention).await;
    let waits = lock_waits(&folder.path().join("postgres/log"));
    assert_eq!(waits, Vec::<String>::new(), "somebody waited 200 ms for a lock");
    eprintln!("{days} days of {SERIES} series in {:?}", started.elapsed());
    for receiver in receivers {
        receiver.close().await;
    }
    drop((db, reader));
    postgres.stop().await;
}

/// What its targets expose in half an hour.
async fn scrape(receiver: &Simulated, receiver_number: u32, from: i64) {
    let numbers: Vec<u32> = (0..SERIES).filter(|n| n % RECEIVERS == receiver_number).collect();
    let known = receiver.series(&numbers).await;
    let mut ts = from;
    while ts < from + HOUSEKEEP_EVERY_MS {
        receiver.clock.store(ts, Ordering::Relaxed);
        let mut samples = Vec::new();
        for _ in 0..SCRAPES_PER_COMMIT {
            for (known, n) in known.iter().zip(&numbers) {
                let counter = f64::from(*n) + (ts - START_MS) as f64 / 1000.0;
                let gauge =
                    ((i64::from(*n) * 7919 + ts / SCRAPE_MS * 104_729) % 1000) as f64 / 10.0;
                let value = if n % 5 < 3 { counter } else { gauge };
                samples.push((*known, ts, value.to_bits()));
            }
            ts += SCRAPE_MS;
        }
        receiver.append(&samples).await.unwrap();
    }
}

/// `pg_dump` with its defaults, several at a time.
struct Backups {
    url: String,
    running: Vec<Child>,
    finished: usize,
}

impl Backups {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), running: Vec::new(), finished: 0 }
    }

    fn another(&mut self) {
        self.collect(false);
        if self.running.len() < 3 {
            let mut command = program("pg_dump");
            command.arg(&self.url).stdin(Stdio::null()).stdout(Stdio::null());
            self.running.push(command.spawn().expect("pg_dump runs"));
        }
    }

    fn wait(&mut self) {
        self.collect(true);
    }

    fn collect(&mut self, wait: bool) {
        let finished = &mut self.finished;
        self.running.retain_mut(|child| {
            let ended = if wait { child.wait().map(Some) } else { child.try_wait() };
            let Some(status) = ended.unwrap() else { return true };
            assert!(status.success(), "pg_dump ended with {status}");
            *finished += 1;
            false
        });
    }
}

async fn relations(db: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_class WHERE relnamespace IN ('watchpost'::regnamespace, 'pg_toast'::regnamespace)",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

async fn disk(db: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
          WHERE relnamespace = 'watchpost'::regnamespace AND relkind = 'r'",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

/// What this process holds, in bytes.
fn rss() -> u64 {
    let pages: u64 = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok())
        .unwrap_or_default();
    pages * 4096
}

/// The server tells in its log of everybody who waits for longer than the promise.
fn log_lock_waits(postgres: &Path) {
    let settings = postgres.join("data/postgresql.auto.conf");
    let mut settings = fs::File::options().append(true).open(settings).unwrap();
    settings
        .write_all(b"log_lock_waits = on\ndeadlock_timeout = 200ms\nautovacuum_naptime = 1s\n")
        .unwrap();
    let pid = fs::read_to_string(postgres.join("data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap();
    assert!(Command::new("kill").args(["-s", "HUP", pid]).status().unwrap().success());
}

fn lock_waits(logs: &Path) -> Vec<String> {
    let mut waits = Vec::new();
    for entry in fs::read_dir(logs).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        waits.extend(text.lines().filter(|l| l.contains("still waiting for")).map(str::to_owned));
    }
    waits
}

async fn retention_and_vacuum(db: &PgPool, days: i64, retention: i64) {
    let blocks: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT c.relname::text, s.vacuum_count, s.autovacuum_count
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_stat_all_tables s ON s.relid = c.oid
          WHERE i.inhparent = 'watchpost.block'::regclass ORDER BY 1",
    )
    .fetch_all(db)
    .await
    .unwrap();
    // All days that are kept but the last one or two.
    let expected = retention.min(days) - 2..=retention + 1;
    assert!(expected.contains(&(blocks.len() as i64)), "{blocks:?}");
    for (name, vacuums, autovacuums) in blocks {
        assert_eq!((vacuums, autovacuums), (0, 0), "{name} was vacuumed");
        db.execute(sqlx::AssertSqlSafe(format!("ANALYZE watchpost.\"{name}\""))).await.unwrap();
        let (pages, visible): (i32, i32) =
            sqlx::query_as("SELECT relpages, relallvisible FROM pg_class WHERE relname = $1")
                .bind(&name)
                .fetch_one(db)
                .await
                .unwrap();
        assert!(pages > 0 && pages == visible, "{name}: {visible} of {pages} pages are visible");
    }
    let oldest: i64 = sqlx::query_scalar(
        "SELECT min(ts_ms) FROM watchpost.samples_raw('sim_0', '{\"n\": \"0\"}')",
    )
    .fetch_one(db)
    .await
    .unwrap();
    let kept = START_MS + (days - retention) * DAY_MS;
    assert!((kept - DAY_MS..=kept + HOUR_MS).contains(&oldest), "{oldest}, not near {kept}");
}
