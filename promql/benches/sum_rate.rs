//! How long `sum by (group) (rate(x[5m]))` takes for each series and step, from samples in memory to the result.
//!
//! `cargo bench -p promql`

#![expect(clippy::print_stdout, reason = "a bench reports to whoever runs it")]

use std::time::Instant;

use promql::model::{Labels, Samples};
use promql::source::{Select, SeriesSet, Source, SourceError};
use promql::{Features, Options, Query, Times, evaluate};

const N_SERIES: usize = 3_000;
const N_GROUPS: usize = 100;
const SCRAPE_MS: i64 = 15_000;
const STEP_MS: i64 = 15_000;
const N_STEPS: i64 = 720;

/// Series whose samples are copied out as a store would decode them.
struct Counters {
    labels: Vec<Labels>,
    samples: Samples,
}

impl Source for Counters {
    fn select<'s>(&'s self, _: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        Ok(Box::new(Found(self)))
    }
}

struct Found<'s>(&'s Counters);

impl SeriesSet for Found<'_> {
    fn labels(&self) -> &[Labels] {
        &self.0.labels
    }

    fn read(&mut self, _: usize, samples: &mut Samples) -> Result<(), SourceError> {
        samples.clear();
        samples.timestamps.extend_from_slice(&self.0.samples.timestamps);
        samples.values.extend_from_slice(&self.0.samples.values);
        Ok(())
    }
}

fn main() {
    let labels = (0..N_SERIES).map(|n| {
        let pairs = [
            ("__name__", "x_total".to_owned()),
            ("group", (n % N_GROUPS).to_string()),
            ("n", n.to_string()),
        ];
        Labels::from_pairs(pairs).expect("names are given once")
    });
    let mut samples = Samples::default();
    for n in 0..N_STEPS * STEP_MS / SCRAPE_MS + 40 {
        // A counter that is reset every hundred samples.
        samples.push(n * SCRAPE_MS, (n % 100 * 7) as f64);
    }
    let mut labels: Vec<Labels> = labels.collect();
    labels.sort();
    let source = Counters { labels, samples };
    let start = 40 * SCRAPE_MS;
    let times = Times::Range { start, end: start + (N_STEPS - 1) * STEP_MS, step: STEP_MS };
    for text in [
        "sum by (group) (rate(x_total[5m]))",
        "sum by (group) (x_total)",
        "max by (group) (max_over_time(x_total[5m]))",
    ] {
        let query = Query::new(text, Features::default()).expect("query is valid");
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let began = Instant::now();
            let answer = evaluate(&query, times, &source, &Options::default(), &())
                .expect("query has an answer");
            let took = began.elapsed();
            assert!(answer.samples_read > 0);
            best = best.min(took.as_secs_f64() * 1e9 / (N_SERIES as f64 * N_STEPS as f64));
        }
        println!("{text}: {best:.1} ns for each series and step");
    }
}
