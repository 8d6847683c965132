//! The storage against a map: whatever is appended, in whatever order, however it is flushed, merged, made final,
//! forgotten, taken over and read back, both ways out show what the map holds; also while all this is going on.
//!
//! `WATCHPOST_PROPERTY_SEED` repeats a run, `WATCHPOST_PROPERTY_STEPS` makes it longer (80).

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use receiver::{db::testing, storage::commit::AppendError};
use sqlx::PgPool;

use crate::simulated::{
    DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Samples, Simulated, assert_same, by_sql, expire_leases,
};

const RECEIVERS: u32 = 2;
const SERIES: u32 = 12;
const RETENTION_DAYS: i64 = 5;
/// Reads beside one pass of housekeeping.
const READS_BESIDE: usize = 3;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

struct Machine {
    random: Random,
    clock: Arc<AtomicI64>,
    url: String,
    db: PgPool,
    receivers: Vec<Simulated>,
    model: Samples,
}

/// Series belong to receivers: two receivers that get different values for one time do not know which came first.
fn series_of(receiver: usize) -> Vec<u32> {
    (0..SERIES).filter(|n| n % RECEIVERS == receiver as u32).collect()
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test]
async fn reads_show_what_was_appended_whatever_happened_since() {
    let seed = number("WATCHPOST_PROPERTY_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    });
    let steps = number("WATCHPOST_PROPERTY_STEPS").unwrap_or(80);
    eprintln!("WATCHPOST_PROPERTY_SEED={seed}");
    let database = testing::database().await;
    let clock = Arc::new(AtomicI64::new(START_MS));
    let mut machine = Machine {
        random: Random(seed),
        url: database.url().to_owned(),
        db: PgPool::connect(database.url()).await.unwrap(),
        receivers: Vec::new(),
        model: Samples::new(),
        clock,
    };
    for _ in 0..RECEIVERS {
        let receiver = machine.open().await;
        machine.receivers.push(receiver);
    }
    for step in 0..steps {
        machine.step(step).await;
    }
    machine.advance(3 * DAY_MS);
    expire_leases(&machine.db).await;
    for n in 0..machine.receivers.len() {
        machine.housekeep(n).await;
        machine.housekeep(n).await;
    }
    machine.compare("in the end").await;
    eprintln!("{} samples compared after each of {steps} steps", machine.model.len());
    for receiver in machine.receivers {
        receiver.close().await;
    }
}

impl Machine {
    async fn open(&self) -> Simulated {
        Simulated::open(&self.url, &self.clock, Some(RETENTION_DAYS as u64)).await
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn advance(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    async fn step(&mut self, step: u64) {
        let receiver = self.random.below(u64::from(RECEIVERS)) as usize;
        let what = match self.random.below(20) {
            0..9 => {
                self.append(receiver).await;
                "append"
            }
            9..14 => {
                self.advance(self.random.0.cast_signed().rem_euclid(3 * HOUR_MS));
                self.housekeep(receiver).await;
                "housekeep"
            }
            14 => {
                self.advance(DAY_MS);
                self.housekeep(receiver).await;
                "a day passes"
            }
            15..17 => {
                // Whoever lives renews its lease in some seconds, unless it was taken over.
                expire_leases(&self.db).await;
                self.housekeep(receiver).await;
                "take over"
            }
            17 => {
                let new = self.open().await;
                std::mem::replace(&mut self.receivers[receiver], new).crash();
                "crash and restart"
            }
            _ => {
                let new = self.open().await;
                std::mem::replace(&mut self.receivers[receiver], new).close().await;
                "another one takes its place"
            }
        };
        self.compare(&format!("step {step}, {what}, receiver {receiver}")).await;
    }

    /// New, late, repeated and conflicting samples.
    async fn append(&mut self, receiver: usize) {
        let numbers = series_of(receiver);
        let known = self.receivers[receiver].series(&numbers).await;
        let mut samples = Vec::new();
        for _ in 0..=self.random.below(40) {
            let at = self.random.below(numbers.len() as u64) as usize;
            let back = match self.random.below(4) {
                0 => self.random.below(40 * HOUR_MS as u64) as i64,
                _ => self.random.below(10 * MINUTE_MS as u64) as i64,
            };
            let ts = (self.now() - back) / 15_000 * 15_000;
            let bits = match self.random.below(6) {
                0 => 0x7ff0_0000_0000_0002,
                1 => (-0.0f64).to_bits(),
                2 => 0x7ff8_0000_dead_beef,
                _ => (self.random.below(1000) as f64 / 8.0).to_bits(),
            };
            samples.push((known[at], ts, bits));
            let stored = self.model.entry((numbers[at], ts)).or_insert(bits);
            if self.random.below(8) == 0 {
                // Repeated as it is stored.
                samples.push((known[at], ts, *stored));
            }
        }
        // While it is registered anew nothing is taken.
        while let Err(err) = self.receivers[receiver].append(&samples).await {
            assert!(matches!(err, AppendError::Fenced | AppendError::Unavailable), "{err}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Does what is due, and reads meanwhile.
    async fn housekeep(&self, receiver: usize) {
        let reading = async {
            for _ in 0..READS_BESIDE {
                self.compare("beside housekeeping").await;
            }
        };
        tokio::join!(self.receivers[receiver].housekeep(), reading);
    }

    async fn compare(&self, how: &str) {
        // Before this day samples may be there or gone.
        let kept = (self.now() / DAY_MS - RETENTION_DAYS) * DAY_MS;
        let recent = |samples: Samples| -> Samples {
            samples.into_iter().filter(|((_, ts), _)| *ts >= kept).collect()
        };
        let model = recent(self.model.clone());
        assert_same(&format!("{how}: SQL"), &model, &recent(by_sql(&self.db).await));
        // Each reader sees what the others have not flushed yet, too.
        let numbers: Vec<u32> = (0..SERIES).collect();
        for (n, receiver) in self.receivers.iter().enumerate() {
            let read = recent(receiver.read(&numbers).await);
            assert_same(&format!("{how}: reader {n}"), &model, &read);
        }
    }
}
