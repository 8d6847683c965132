//! `status/*`, `rules` and `alerts`: what Prometheus says about itself, as far as it makes sense here.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use axum::{extract::State, response::Response};
use promql::model::{METRIC_NAME, time::Rfc3339};
use serde_json::{Value, json};

use super::{
    Api,
    answer::{self, ApiError},
    parameters::Parameters,
};
use crate::model;

/// The Prometheus whose API this is: Grafana and others decide by it what they may ask for.
const PROMETHEUS_VERSION: &str = "3.5.3";
/// Entries of each list of `status/tsdb`, and most that may be asked for.
const TOP: usize = 10;
const TOP_MAX: usize = 10_000;

/// What there is to tell about this server.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) started: SystemTime,
    pub(crate) host: String,
    /// Flags and their values, without dashes.
    pub(crate) flags: BTreeMap<&'static str, String>,
    /// As a duration, or empty if samples are kept for ever.
    pub(crate) retention: String,
}

/// No rules are evaluated here.
pub(super) async fn rules() -> Response {
    answer::success_value(&json!({"groups": []}))
}

pub(super) async fn alerts() -> Response {
    answer::success_value(&json!({"alerts": []}))
}

pub(super) async fn build_info() -> Response {
    answer::success_value(&json!({
        "version": PROMETHEUS_VERSION,
        "revision": service::version::REVISION,
        "branch": "watchpost",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": "watchpost",
        "applicationVersion": service::version::VERSION,
    }))
}

pub(super) async fn runtime_info(State(api): State<Api>) -> Response {
    let since = api.about.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let started = Rfc3339(since.as_millis() as i64).to_string();
    let folder = std::env::current_dir().unwrap_or_default();
    answer::success_value(&json!({
        "startTime": started,
        "CWD": folder.display().to_string(),
        "hostname": api.about.host,
        "serverTime": Rfc3339(model::now_ms()).to_string(),
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": api.about.retention,
    }))
}

pub(super) async fn flags(State(api): State<Api>) -> Response {
    answer::success_value(&json!(api.about.flags))
}

/// There is no configuration file: everything is a flag.
pub(super) async fn config() -> Response {
    answer::success_value(&json!({"yaml": ""}))
}

/// How many series, and which names and labels make them many.
pub(super) async fn tsdb(
    State(api): State<Api>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let top = match parameters.get("limit") {
        "" => TOP,
        text => match text.parse() {
            Ok(limit) if (1..=TOP_MAX).contains(&limit) => limit,
            Ok(0) | Err(_) => {
                return Err(ApiError::bad_data("limit must be a positive number"));
            }
            Ok(_) => return Err(ApiError::bad_data(format!("limit must not exceed {TOP_MAX}"))),
        },
    };
    let (data, _turn) = api
        .queries
        .in_turn(move |reader| {
            let range = reader.reader.head_range();
            let index = reader.reader.catalogue().index();
            let (mut by_metric, mut by_pair) = (Vec::new(), Vec::new());
            let mut values: HashMap<&str, (usize, usize)> = HashMap::new();
            let mut n_pairs = 0;
            for (name, value, n_series) in index.pair_counts() {
                n_pairs += 1;
                if name == METRIC_NAME {
                    by_metric.push((value.to_owned(), n_series));
                }
                by_pair.push((format!("{name}={value}"), n_series));
                let (n_values, n_bytes) = values.entry(name).or_default();
                *n_values += 1;
                *n_bytes += value.len() * n_series;
            }
            let of_values = |of: fn(&(usize, usize)) -> usize| {
                values.iter().map(|(name, counts)| ((*name).to_owned(), of(counts))).collect()
            };
            Ok(json!({
                "headStats": {
                    "numSeries": index.len(),
                    "numLabelPairs": n_pairs,
                    "chunkCount": 0,
                    "minTime": range.map_or(i64::MAX, |(t_min, _)| t_min),
                    "maxTime": range.map_or(i64::MIN, |(_, t_max)| t_max),
                },
                "seriesCountByMetricName": largest(by_metric, top),
                "labelValueCountByLabelName": largest(of_values(|counts| counts.0), top),
                "memoryInBytesByLabelName": largest(of_values(|counts| counts.1), top),
                "seriesCountByLabelValuePair": largest(by_pair, top),
            }))
        })
        .await?;
    Ok(answer::success_value(&data))
}

/// The largest first; of equal ones, by name.
fn largest(mut counted: Vec<(String, usize)>, top: usize) -> Vec<Value> {
    counted.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counted.truncate(top);
    counted.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}
