//! What is stored when everything has calmed down, by both ways out, before and after everything is merged.

use std::{collections::HashMap, sync::Arc, time::Duration};

use promql::model::Matcher;
use receiver::{
    Config,
    model::Clock,
    storage::{
        Storage,
        commit::{Committed, Listener},
    },
};
use sqlx::{PgPool, Row};

use crate::{
    book::{Samples, Series},
    until,
};

/// Late enough that every day is final.
const LATER_MS: i64 = 10 * 86_400_000;
/// A flush is merged two buckets after its own.
const STEP_MS: i64 = 6 * 3_600_000;

struct Nobody;

impl Listener for Nobody {
    fn is_interested(&self) -> bool {
        false
    }

    fn committed(&self, _: Arc<Committed>) {}
}

type Stored = HashMap<(Series, i64), u64>;

pub(crate) async fn compare(cluster: &crate::cluster::Cluster, sent: &Samples) {
    let db = PgPool::connect(&cluster.url()).await.unwrap();
    check("SQL, as the receivers left it", sent, &by_sql(&db).await);

    let mut config = Config::new(cluster.url());
    config.storage.clock = Clock::System { ahead_ms: LATER_MS };
    config.storage.flush_every = Duration::from_secs(2);
    let (storage, closing) = Storage::open(config.storage, Arc::new(Nobody)).await.unwrap();
    check("the library, as the receivers left it", sent, &by_library(&storage).await);

    // Whoever was killed is adopted when its lease has run out.
    let mut later = Clock::System { ahead_ms: LATER_MS }.now_ms();
    until("everything is in final blocks", async || {
        let left: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM watchpost.batch b JOIN watchpost.writer w ON w.id = b.writer
                      WHERE b.seq > w.flushed_seq)
                  + (SELECT count(*) FROM watchpost.live_block WHERE age = 2)",
        )
        .fetch_one(&db)
        .await
        .unwrap();
        if left > 0 {
            later += STEP_MS;
            storage.housekeep(later).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            return None;
        }
        Some(())
    })
    .await;
    check("SQL, merged", sent, &by_sql(&db).await);
    check("the library, merged", sent, &by_library(&storage).await);
    let tables: Vec<(String, i64)> = sqlx::query_as(
        "SELECT CASE age WHEN 0 THEN 'final' WHEN 1 THEN 'window' ELSE 'recent' END, sum(n_samples)::bigint
           FROM watchpost.live_block GROUP BY age ORDER BY age",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    eprintln!("samples in blocks: {tables:?}");
    drop(storage);
    closing.finished().await;
    db.close().await;
}

async fn by_sql(db: &PgPool) -> Stored {
    let metrics: Vec<String> =
        sqlx::query_scalar("SELECT name FROM watchpost.metric").fetch_all(db).await.unwrap();
    let mut stored = Stored::new();
    for metric in metrics {
        let rows = sqlx::query(
            "SELECT (labels ->> 'series')::bigint AS series, ts_ms, bits FROM watchpost.samples_raw($1)",
        )
        .bind(&metric)
        .fetch_all(db)
        .await
        .unwrap();
        for row in rows {
            let series = Series(row.get::<i64, _>("series") as u32);
            let bits: i64 = row.get("bits");
            add(&mut stored, series, row.get("ts_ms"), bits.cast_unsigned());
        }
    }
    stored
}

async fn by_library(storage: &Storage) -> Stored {
    let reader = storage.reader();
    let ids = reader.select(&[Matcher::equal("series", "")], 0);
    assert_eq!(ids, [], "every series has its label");
    let mut stored = Stored::new();
    let all: Vec<_> = (0..7)
        .flat_map(|metric| {
            let matcher = Matcher::equal("__name__", &format!("ledger_{metric}"));
            reader.select(&[matcher], usize::MAX - 1)
        })
        .collect();
    for series in reader.read(&all, i64::MIN, i64::MAX).await.unwrap() {
        let labels = reader.labels(series.series).unwrap();
        let number = labels.iter().find(|label| &*label.name == "series").unwrap();
        let number = Series(number.value.parse().unwrap());
        for sample in series.samples {
            add(&mut stored, number, sample.ts, sample.value.to_bits());
        }
    }
    stored
}

fn add(stored: &mut Stored, series: Series, ts: i64, bits: u64) {
    let before = stored.insert((series, ts), bits);
    assert_eq!(before, None, "{series:?} at {ts} is there twice");
}

fn check(how: &str, sent: &Samples, stored: &Stored) {
    let mut wrong = Vec::new();
    for ((series, ts), acknowledged) in sent {
        match stored.get(&(*series, *ts)) {
            None if *acknowledged => wrong.push(format!("{series:?} at {ts} is lost")),
            Some(bits) if *bits != series.bits(*ts) => {
                wrong.push(format!("{series:?} at {ts}: {bits:x}, not {:x}", series.bits(*ts)));
            }
            _ => {}
        }
    }
    for sample in stored.keys() {
        if !sent.contains_key(sample) {
            wrong.push(format!("{sample:?} was never sent"));
        }
    }
    wrong.sort();
    assert!(
        wrong.is_empty(),
        "{how}: {} of {} samples are wrong:\n{}",
        wrong.len(),
        sent.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    eprintln!("{how}: {} samples, every acknowledged one among them", stored.len());
}
