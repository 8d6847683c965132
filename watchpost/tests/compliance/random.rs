//! Queries that nobody has thought of.

use std::{env, path::PathBuf};

use serde_json::Value;

use crate::{
    capture,
    compare::{self, Words},
    generator::Generator,
    pair::Pair,
    samples, tolerated,
};

/// Without a wish; some seconds.
const QUERIES: usize = 500;
/// Where they begin, the same in every build.
const SEED: u64 = 1;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_random_queries_are_those_of_prometheus() {
    let Some(pair) = Pair::start().await else { return };
    let end = receiver::model::now_ms() / 60_000 * 60_000;
    let requests = match env::var_os("WATCHPOST_COMPLIANCE_CAPTURE") {
        Some(path) => capture::read(&PathBuf::from(path), end),
        None => samples::requests(end),
    };
    pair.write(&requests).await;
    let n_queries = number("WATCHPOST_COMPLIANCE_RANDOM").map_or(QUERIES, |n| n as usize);
    let seed = number("WATCHPOST_COMPLIANCE_SEED").unwrap_or(SEED);
    let mut generator = Generator::new(seed, &requests);
    let mut differences = Vec::new();
    let (mut n_full, mut n_errors, mut n_tolerated) = (0, 0, 0);
    for _ in 0..n_queries {
        let query = generator.query();
        let back = generator.random().below(240) as i64;
        let seconds = |ts: i64| (ts / 1000).to_string();
        let (start, until) = (seconds(end - (back + 180) * 1000), seconds(end - back * 1000));
        let step = ["5", "13", "30", "60"][generator.random().below(4)];
        let range = [("query", query.as_str()), ("start", &start), ("end", &until), ("step", step)];
        let instant = [("query", query.as_str()), ("time", &until)];
        for (path, parameters) in [("query_range", &range[..]), ("query", &instant[..])] {
            let (reference, ours) = pair.post(path, parameters).await;
            match &reference.json["data"]["result"] {
                Value::Array(result) if !result.is_empty() => n_full += 1,
                Value::Null => n_errors += 1,
                _ => {}
            }
            let Some(found) = compare::difference(&reference, &ours, Words::Kind) else { continue };
            if tolerated::is(&query, &reference, &ours) {
                n_tolerated += 1;
            } else {
                differences.push(format!("{path} {parameters:?}\n    {found}"));
            }
        }
    }
    eprintln!(
        "{n_queries} random queries from seed {seed}, each over a range and at one time: {n_full} answers with series, \
         {n_errors} errors, {n_tolerated} tolerated differences"
    );
    assert!(
        differences.is_empty(),
        "{} of {} answers differ:\n{}",
        differences.len(),
        2 * n_queries,
        differences.iter().take(25).cloned().collect::<Vec<_>>().join("\n")
    );
    // A grammar that only makes empty answers would compare nothing.
    assert!(n_full > n_queries / 2, "only {n_full} answers had series");
}
