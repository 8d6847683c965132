//! `pg_dump` with its defaults while samples arrive, are flushed and merged; restored into another database, every sample
//! that was acknowledged before the dump began must be there, bit for bit.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use receiver::db::testing;

use crate::harness::{TestReceiver, now, series};

const HOUR: i64 = 3_600_000;

/// PostgreSQL's own programs, beside the newest server that is installed or in PATH.
fn program(name: &str) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    places.sort();
    places.reverse();
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.into_iter().map(|place| place.join(name)).find(|path| path.exists())
}

fn pairs(stored: Vec<(String, i64, u64)>) -> std::collections::BTreeSet<(String, i64, u64)> {
    stored.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_taken_while_everything_moves_restores_every_acknowledged_sample() {
    let (Some(pg_dump), Some(pg_restore)) = (program("pg_dump"), program("pg_restore")) else {
        eprintln!(
            "SKIPPED: pg_dump and pg_restore are not installed; nothing about backups was tested"
        );
        return;
    };
    let test = TestReceiver::open().await;
    let start = now() - 30 * HOUR;
    let write = async |n: i64| {
        let mut sent = Vec::new();
        for instance in 0..8 {
            let name = format!("i{instance}");
            let value = match n % 10 {
                7 => f64::from_bits(proto::remote_write::STALE_MARKER_BITS),
                3 => -0.0,
                _ => (n * instance) as f64 / 8.0,
            };
            let samples: Vec<(i64, f64)> =
                (0..20).map(|i| (start + (n * 20 + i) * 15_000, value)).collect();
            sent.push(series(&[("__name__", "kept"), ("box", &name)], &samples));
        }
        test.write_surely(sent).await;
    };
    let mut clock = now();
    for n in 0..30 {
        write(n).await;
        if n % 5 == 4 {
            clock += HOUR;
            test.receiver.storage().housekeep(clock).await.unwrap();
        }
    }
    let before = pairs(test.stored("kept").await);
    assert_eq!(before.len(), 30 * 20 * 8);
    let folder = testing::folder();
    let file = folder.path().join("dump");
    let mut dump = Command::new(&pg_dump);
    dump.args(["--format=custom", "--dbname", test.url(), "--file"]).arg(&file);
    let is_over = AtomicBool::new(false);
    let dumping = async {
        let output = tokio::task::spawn_blocking(move || dump.output()).await.unwrap().unwrap();
        is_over.store(true, Ordering::Release);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let moving = async {
        let mut n = 30;
        while !is_over.load(Ordering::Acquire) || n < 40 {
            write(n).await;
            clock += 3 * HOUR;
            test.receiver.storage().housekeep(clock).await.unwrap();
            n += 1;
        }
    };
    tokio::join!(dumping, moving);
    let after = pairs(test.stored("kept").await);

    let restored = testing::database().await;
    let mut restore = Command::new(&pg_restore);
    restore.args(["--no-owner", "--exit-on-error", "--dbname", restored.url()]).arg(&file);
    let output = restore.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let copy = TestReceiver::on(restored, receiver::ingest::Limits::default()).await;
    let (sql, rust) = (pairs(copy.stored("kept").await), pairs(copy.read("kept").await));
    assert_eq!(sql.len(), rust.len());
    assert!(sql == rust, "SQL and our reader differ");
    assert!(sql.is_superset(&before), "{} of {} samples", sql.len(), before.len());
    assert!(sql.is_subset(&after), "samples that nobody sent");
    // It is a database as any other: it takes more, and its past becomes final.
    copy.write_surely(vec![series(&[("__name__", "kept"), ("box", "new")], &[(now(), 1.0)])]).await;
    for hours in [0, 4, 100] {
        copy.receiver.storage().housekeep(clock + hours * HOUR).await.unwrap();
    }
    assert_eq!(copy.stored("kept").await.len(), sql.len() + 1);
    copy.close().await;
    test.close().await;
}
