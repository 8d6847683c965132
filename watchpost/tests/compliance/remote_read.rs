//! A Prometheus without samples of its own that reads ours answers as one that has them; and what it is sent are the
//! samples, bit by bit.

use std::collections::BTreeMap;

use proto::{
    remote_read::{LabelMatcher, MatcherType, Query, ReadRequest, ReadResponse, ResponseType},
    remote_write::Message,
    snappy,
};

use crate::{
    compare::{self, Words},
    pair::{self, Pair, Reference},
    samples, tolerated,
};

const ANSWER_BYTES_MAX: usize = 256 << 20;

const QUERIES: &[&str] = &[
    "shop_memory_bytes",
    "shop_memory_bytes{type!=\"free\",instance=~\".*[01]\"}",
    "rate(shop_cpu_seconds_total[1m])",
    "sum by (le) (rate(shop_request_seconds_bucket[2m]))",
    "histogram_quantile(0.9, sum by (le, path) (rate(shop_request_seconds_bucket[5m])))",
    "shop_intermittent",
    "count_over_time(shop_intermittent[10m])",
    "shop_odd",
    "changes(shop_odd[10m])",
    "shop_text",
    "count({__name__=~\"shop_.+\"}) by (__name__)",
    "shop_native_seconds",
    "histogram_count(increase(shop_native_seconds[10m]))",
    "histogram_quantile(0.5, sum(rate(shop_native_seconds[2m])))",
    "no_such_metric",
    "max_over_time(sum(shop_cpus)[5m:30s])",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_reads_from_us_answers_as_one_that_has_the_samples() {
    let Some(mut pair) = Pair::start().await else { return };
    let end = receiver::model::now_ms() / 60_000 * 60_000;
    pair.write(&samples::requests(end)).await;
    let remote =
        format!("remote_read: [{{url: \"{}/api/v1/read\", read_recent: true}}]\n", pair.url);
    let reading = Reference::start(&remote).await.expect("one has started before");
    // Asked in our place.
    pair.url.clone_from(&reading.url);
    let seconds = |ts: i64| (ts as f64 / 1000.0).to_string();
    let (start, until) = (seconds(end - 30 * 60_000), seconds(end));
    let mut differences = Vec::new();
    for query in QUERIES {
        let range = [("query", *query), ("start", &start), ("end", &until), ("step", "15")];
        let instant = [("query", *query), ("time", &until)];
        for (path, parameters) in [("query_range", &range[..]), ("query", &instant[..])] {
            let (reference, ours) = pair.post(path, parameters).await;
            let found = compare::difference(&reference, &ours, Words::Exact);
            if let Some(found) = found.filter(|_| !tolerated::is(query, &reference, &ours)) {
                differences.push(format!("{path} {query}\n    {found}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_are_sent_bit_by_bit() {
    let Some(pair) = Pair::start().await else { return };
    let end = receiver::model::now_ms() / 60_000 * 60_000;
    let requests = samples::requests(end);
    pair.write(&requests).await;
    let matchers = vec![LabelMatcher {
        r#type: MatcherType::Re.into(),
        name: "__name__".to_owned(),
        value: "shop_.*".to_owned(),
    }];
    let request = ReadRequest {
        queries: vec![Query { start_timestamp_ms: 0, end_timestamp_ms: end, matchers }],
        accepted_response_types: vec![ResponseType::Samples.into()],
    };
    let answer = pair::client()
        .post(format!("{}/api/v1/read", pair.url))
        .body(snappy::compress(&request.encode_to_vec()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-encoding"], "snappy");
    let mut message = Vec::new();
    snappy::decompress(&answer.bytes().await.unwrap(), ANSWER_BYTES_MAX, &mut message).unwrap();
    let answer = ReadResponse::decode(&message[..]).unwrap();
    type All = BTreeMap<String, Vec<(i64, u64)>>;
    let add = |all: &mut All, series: &proto::remote_write::v1::TimeSeries| {
        let labels: Vec<_> =
            series.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
        let samples = all.entry(format!("{labels:?}")).or_default();
        // A protobuf message leaves out what equals 0, and −0 does.
        let bits = |value: f64| if value == 0.0 { 0 } else { value.to_bits() };
        samples.extend(series.samples.iter().map(|s| (s.timestamp, bits(s.value))));
        // Their buckets are compared by queries.
        samples.extend(series.histograms.iter().map(|h| (h.timestamp, bits(h.sum))));
    };
    let (mut sent, mut read) = (All::new(), All::new());
    requests.iter().flat_map(|request| &request.timeseries).for_each(|s| add(&mut sent, s));
    assert_eq!(answer.results.len(), 1);
    let labels = |series: &proto::remote_write::v1::TimeSeries| {
        series.labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect::<Vec<_>>()
    };
    assert!(answer.results[0].timeseries.is_sorted_by_key(labels));
    answer.results[0].timeseries.iter().for_each(|series| add(&mut read, series));
    assert_eq!(sent.keys().collect::<Vec<_>>(), read.keys().collect::<Vec<_>>());
    for (series, samples) in &sent {
        assert!(read[series] == *samples, "{series}");
    }
}
