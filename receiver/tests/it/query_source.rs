//! The query engine over the storage answers as it does over the same samples in memory, wherever they lie.

use promql::{
    Features, Options, Outcome, Query, Times, evaluate,
    model::Labels,
    source::{Source, memory::MemorySource},
};
use receiver::{Config, Receiver, storage::Reader};

use crate::harness::{TestReceiver, now, series};

const STEP: i64 = 15_000;

/// The answers, sorted and with every bit of their values.
fn answers(source: &dyn Source, end: i64) -> Vec<String> {
    let queries = [
        "load",
        "load{instance=~\"i1.*\", mode!=\"m1\"}",
        "sum by (mode) (rate(load[2m]))",
        "count({__name__=~\".+\"})",
        "max_over_time(other[3m])",
        "topk(3, load) + on (instance, mode) group_left () load",
        "absent(load)",
        "absent(nothing)",
    ];
    let times = [Times::Instant(end), Times::Range { start: end - 40 * STEP, end, step: 2 * STEP }];
    let mut told = Vec::new();
    for text in queries {
        let query = Query::new(text, Features::default()).unwrap();
        for times in times {
            let answer = evaluate(&query, times, source, &Options::default(), &()).unwrap();
            let mut lines: Vec<String> = match answer.outcome {
                Outcome::Vector(elements) => {
                    elements.iter().map(|e| format!("{text} {} {:?}", e.labels, e.value)).collect()
                }
                outcome => format!("{text} {outcome:#?}").lines().map(str::to_owned).collect(),
            };
            if matches!(times, Times::Instant(_)) {
                lines.sort();
            }
            told.extend(lines);
        }
    }
    told
}

async fn answers_of(reader: &Reader, end: i64) -> Vec<String> {
    let reader = reader.clone();
    tokio::task::spawn_blocking(move || answers(&reader, end)).await.unwrap()
}

#[tokio::test]
async fn queries_see_the_same_in_head_and_blocks() {
    let test = TestReceiver::open().await;
    let end = now() / STEP * STEP;
    let mut memory = MemorySource::default();
    let names: Vec<Vec<(String, String)>> = (0..150)
        .map(|at| {
            let pair = |name: &str, value: String| (name.to_owned(), value);
            vec![
                pair("__name__", if at % 5 == 4 { "other" } else { "load" }.to_owned()),
                pair("instance", format!("i{}", at / 3)),
                pair("mode", format!("m{}", at % 3)),
            ]
        })
        .collect();
    for part in 0..4 {
        let mut request = Vec::new();
        for (at, labels) in names.iter().enumerate() {
            let pairs: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let samples: Vec<(i64, f64)> = (0..10)
                .map(|n| {
                    (
                        end - 40 * STEP + (part * 10 + n) * STEP,
                        (at as i64 * 7 + n * n) as f64 / 10.0,
                    )
                })
                // Some series end, and some have gaps.
                .filter(|(ts, _)| at % 11 != 0 || *ts < end - 20 * STEP)
                .filter(|(ts, _)| at % 7 != 0 || ts / STEP % 3 != 0)
                .collect();
            let stored = memory.series(Labels::from_pairs(pairs.iter().copied()).unwrap());
            samples.iter().for_each(|(ts, value)| stored.push(*ts, *value));
            if !samples.is_empty() {
                request.push(series(&pairs, &samples));
            }
        }
        assert_eq!(test.write(request).await.0, axum::http::StatusCode::NO_CONTENT);
        // The last part stays in the head, the second is in a block of its own.
        if part == 0 || part == 1 {
            test.receiver.storage().housekeep(now()).await.unwrap();
        }
        let expected = answers(&memory, end);
        let seen = answers_of(test.receiver.storage().reader(), end).await;
        if let Some(at) = (0..expected.len()).find(|at| seen.get(*at) != expected.get(*at)) {
            panic!("part {part}: {:?}\nexpected {:?}", seen.get(at), expected[at]);
        }
    }
}

/// What one receiver committed and did not flush yet is read through another one.
#[tokio::test]
async fn receivers_of_one_database_see_each_other() {
    let test = TestReceiver::open().await;
    let config = Config::new(test.url().to_owned());
    let (other, closing) = Receiver::open(config).await.unwrap();
    let ts = now();
    let labels = [("__name__", "shared"), ("job", "a")];
    test.write(vec![series(&labels, &[(ts - 1000, 1.0)])]).await;

    let matcher = promql::model::Matcher::equal("__name__", "shared");
    let reader = other.storage().reader().clone();
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids = reader.select(std::slice::from_ref(&matcher), 10);
        if !ids.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(ids.len(), 1, "a series of another receiver is known within seconds");
    let values = async || {
        let read = reader.read(&ids, i64::MIN, i64::MAX).await.unwrap();
        read[0].samples.iter().map(|sample| sample.value).collect::<Vec<_>>()
    };
    assert_eq!(values().await, [1.0]);
    // At once, without waiting for anything.
    test.write(vec![series(&labels, &[(ts, 2.0)])]).await;
    assert_eq!(values().await, [1.0, 2.0]);
    test.receiver.storage().housekeep(now()).await.unwrap();
    assert_eq!(values().await, [1.0, 2.0], "flushed by the one, read by the other");
    drop((reader, other));
    closing.finished().await;
}
