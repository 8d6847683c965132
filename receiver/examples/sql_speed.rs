//! How fast plain SQL decodes: scrapes of a few days ago, stored by the library, merged until they are final, and read
//! back by `watchpost.samples` in one session. Prints samples per second of each kind of series.
//!
//! ```text
//! cargo run --release -p receiver --example sql_speed -- postgres://user@host/an_empty_database
//! ```

use std::{io::Write, sync::Arc, time::Instant};

use promql::model::Labels;
use receiver::{
    model::{Sample, now_ms},
    storage::{
        Options, Storage,
        commit::{Committed, Incoming, Listener},
    },
};
use sqlx::{Connection, PgConnection};

const DAY_MS: i64 = 86_400_000;
const STEP_MS: i64 = 15_000;
const STEPS: i64 = DAY_MS / STEP_MS;

struct Nobody;

impl Listener for Nobody {
    fn is_interested(&self) -> bool {
        false
    }

    fn committed(&self, _: Arc<Committed>) {}
}

/// A few numbers without rhyme: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Metrics, how many series each has, and how the next value follows from the one before.
type Next = fn(&mut Dice, f64) -> f64;
const METRICS: [(&str, usize, Next); 6] = [
    ("speed_constant", 128, |_, value| value),
    ("speed_load1", 128, |dice, value| {
        ((value * 100.0 + dice.roll(21) as f64 - 10.0).abs().round()) / 100.0
    }),
    ("speed_memory_bytes", 128, |dice, value| {
        if dice.roll(3) == 0 { value } else { value + 4096.0 * (dice.roll(400) as f64 - 200.0) }
    }),
    ("speed_requests_total", 128, |dice, value| value + dice.roll(60) as f64),
    ("speed_cpu_seconds_total", 128, |dice, value| {
        ((value * 100.0).round() + 1400.0 + dice.roll(80) as f64) / 100.0
    }),
    ("speed_network_bytes_total", 128, |dice, value| value + 1e6 + dice.roll(500_000) as f64),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("name a database"))?;
    let options = Options::new(url.clone(), "sql_speed".to_owned());
    let (storage, closing) = Storage::open(options, Arc::new(Nobody)).await?;
    let mut dice = Dice(7);
    let mut series = Vec::new();
    for (metric, n_series, next) in METRICS {
        for n in 0..n_series {
            let instance = format!("host-{n:04}:9100");
            let pairs = [("__name__", metric), ("instance", &*instance), ("job", "speed")];
            let labels = Labels::from_pairs(pairs)?;
            let known = storage.catalogue().resolve(&[&labels]).await?[0];
            series.push((known, next, 1e6 + dice.roll(1000) as f64));
        }
    }
    let start = (now_ms() / DAY_MS - 3) * DAY_MS;
    for hour in 0..24 {
        let mut samples = Vec::new();
        for step in hour * STEPS / 24..(hour + 1) * STEPS / 24 {
            for (known, next, value) in &mut series {
                *value = next(&mut dice, *value);
                let sample = Sample { ts: start + step * STEP_MS, value: *value };
                samples.push(Incoming { known: *known, sample });
            }
        }
        for part in samples.chunks(100_000) {
            storage.append(part.to_vec()).await?;
        }
        storage.housekeep(now_ms()).await?;
    }
    for hours in [6, 60] {
        storage.housekeep(now_ms() + hours * 3_600_000).await?;
    }
    drop(storage);
    closing.finished().await;

    let mut db = PgConnection::connect(&url).await?;
    sqlx::query("SET max_parallel_workers_per_gather = 0").execute(&mut db).await?;
    let mut out = std::io::stdout();
    for (metric, ..) in METRICS {
        let mut best = f64::INFINITY;
        let mut n = 0;
        for _ in 0..3 {
            let begun = Instant::now();
            (n, _) = sqlx::query_as::<_, (i64, f64)>(
                "SELECT count(*), sum(value) FROM watchpost.samples($1)",
            )
            .bind(metric)
            .fetch_one(&mut db)
            .await?;
            best = best.min(begun.elapsed().as_secs_f64());
        }
        let speed = n as f64 / best / 1e6;
        writeln!(out, "{metric:28} {n} samples in {best:.3} s: {speed:.2} M samples/s")?;
    }
    Ok(())
}
