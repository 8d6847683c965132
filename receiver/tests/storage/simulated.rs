//! A storage whose clock the test sets, and samples to put into it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use promql::model::{Labels, METRIC_NAME, Matcher};
use receiver::{
    model::{Clock, Sample, SeriesId},
    storage::{
        Closing, HousekeepingError, Options, Storage,
        catalogue::Known,
        commit::{AppendError, Committed, Incoming, Listener},
        flush::{FlushError, Flushed},
    },
};
use sqlx::{PgPool, Row};

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// Midnight, long ago: nothing here depends on the real present.
pub(crate) const START_MS: i64 = 19_000 * DAY_MS;

struct Nobody;

impl Listener for Nobody {
    fn is_interested(&self) -> bool {
        false
    }

    fn committed(&self, _: Arc<Committed>) {}
}

pub(crate) struct Simulated {
    pub(crate) storage: Storage,
    closing: Closing,
    pub(crate) clock: Arc<AtomicI64>,
}

/// Series and times to the 64 bits of their values.
pub(crate) type Samples = BTreeMap<(u32, i64), u64>;

impl Simulated {
    /// Housekeeping happens only when the test says so.
    pub(crate) async fn open(
        url: &str,
        clock: &Arc<AtomicI64>,
        retention_days: Option<u64>,
    ) -> Self {
        let options = Options {
            database_url: url.to_owned(),
            host: "simulated".to_owned(),
            retention: receiver::storage::retention::Retention {
                all: retention_days.map(|days| Duration::from_secs(days * 86_400)),
                rules: Vec::new(),
            },
            rollups: retention_days.map(|days| Duration::from_secs(days * 86_400)),
            flush_every: Duration::from_secs(86_400),
            clock: Clock::Manual(Arc::clone(clock)),
        };
        let (storage, closing) = Storage::open(options, Arc::new(Nobody)).await.unwrap();
        Self { storage, closing, clock: Arc::clone(clock) }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) async fn series(&self, numbers: &[u32]) -> Vec<Known> {
        let labels: Vec<Labels> = numbers.iter().map(|n| labels(*n)).collect();
        let unknown: Vec<&Labels> = labels.iter().collect();
        self.storage.catalogue().resolve(&unknown).await.unwrap()
    }

    pub(crate) async fn append(&self, samples: &[(Known, i64, u64)]) -> Result<(), AppendError> {
        let incoming = samples
            .iter()
            .map(|(known, ts, bits)| Incoming {
                known: *known,
                sample: Sample { ts: *ts, value: f64::from_bits(*bits) },
            })
            .collect();
        self.storage.append(incoming).await.map(drop)
    }

    /// Does what is due now. That another receiver took over is no failure: what this one held is not lost by it.
    pub(crate) async fn housekeep(&self) -> Flushed {
        match Box::pin(self.storage.housekeep(self.now())).await {
            Ok(flushed) => flushed,
            Err(HousekeepingError::Flush { source: FlushError::Fenced { .. } }) => {
                Flushed::default()
            }
            Err(err) => panic!("{}", service::error::chain(&err)),
        }
    }

    /// Everything that this receiver's reader has of these series.
    pub(crate) async fn read(&self, numbers: &[u32]) -> Samples {
        self.storage.catalogue().refresh().await.unwrap();
        let reader = self.storage.reader();
        let mut ids: Vec<(u32, SeriesId)> = Vec::new();
        for n in numbers {
            let label = n.to_string();
            let found = reader.select(&[Matcher::equal("n", &label)], 1);
            ids.extend(found.into_iter().map(|id| (*n, id)));
        }
        let wanted: Vec<SeriesId> = ids.iter().map(|(_, id)| *id).collect();
        let read = reader.read(&wanted, i64::MIN, i64::MAX).await.unwrap();
        let mut samples = Samples::new();
        for ((n, _), series) in ids.iter().zip(read) {
            for sample in series.samples {
                let before = samples.insert((*n, sample.ts), sample.value.to_bits());
                assert_eq!(before, None, "series {n} at {} is there twice", sample.ts);
            }
        }
        samples
    }

    pub(crate) async fn close(self) {
        drop(self.storage);
        self.closing.finished().await;
    }

    /// Ends without a word to anybody.
    pub(crate) fn crash(self) {}
}

fn labels(n: u32) -> Labels {
    let pairs = [(METRIC_NAME, format!("sim_{}", n % 3)), ("n", n.to_string())];
    Labels::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value))).unwrap()
}

/// Everything that SQL shows.
pub(crate) async fn by_sql(db: &PgPool) -> Samples {
    let mut samples = Samples::new();
    for metric in ["sim_0", "sim_1", "sim_2"] {
        let rows = sqlx::query(
            "SELECT (labels ->> 'n')::bigint AS n, ts_ms, bits FROM watchpost.samples_raw($1)",
        )
        .bind(metric)
        .fetch_all(db)
        .await
        .unwrap();
        for row in rows {
            let key = (row.get::<i64, _>("n") as u32, row.get("ts_ms"));
            let before = samples.insert(key, row.get::<i64, _>("bits").cast_unsigned());
            assert_eq!(before, None, "{key:?} is there twice");
        }
    }
    samples
}

/// Fails with the first differences.
pub(crate) fn assert_same(how: &str, expected: &Samples, found: &Samples) {
    let mut wrong: Vec<String> = Vec::new();
    for (key, bits) in expected {
        if found.get(key) != Some(bits) {
            wrong.push(format!("{key:?}: {bits:x} expected, {:x?} found", found.get(key)));
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(key)) {
        wrong.push(format!("{key:?}: nothing expected, {:x} found", found[key]));
    }
    assert!(
        wrong.is_empty(),
        "{how}: {} of {} samples are wrong:\n{}",
        wrong.len(),
        expected.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
}

/// As if nobody had renewed any lease for long.
pub(crate) async fn expire_leases(db: &PgPool) {
    for table in ["writer", "lease"] {
        let statement = format!("UPDATE watchpost.{table} SET lease_until = '-infinity'");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(db).await.unwrap();
    }
}
