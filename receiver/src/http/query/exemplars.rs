//! `query_exemplars`: the exemplars of all series that a query looks at.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use promql::{
    Query,
    model::{Labels, Matcher},
};

use super::{
    Api,
    answer::{self, ApiError, Notes},
    encode,
    parameters::Parameters,
};
use crate::{query::QueryError, storage::ReadError};

/// Exemplars of one answer; more are left out, and the answer says so.
const EXEMPLARS_MAX: usize = 10_000;

pub(super) async fn query_exemplars(
    State(api): State<Api>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let start = parameters.optional_time("start")?.unwrap_or(i64::MIN);
    let end = parameters.optional_time("end")?.unwrap_or(i64::MAX);
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let query = Query::new(parameters.get("query"), api.queries.limits().features)
        .map_err(|err| ApiError::bad_data(err.to_string()))?;
    let selectors: Vec<Vec<Matcher>> =
        query.expr.selectors().into_iter().map(|selector| selector.matchers.clone()).collect();
    let (series, _turn) = api
        .queries
        .in_turn(move |reader| {
            let series_max = reader.bounds.series_max;
            let mut found = BTreeMap::new();
            for matchers in &selectors {
                for series in reader.reader.select(matchers, series_max) {
                    if let Some(labels) = reader.reader.labels(series) {
                        found.insert(series, labels);
                    }
                }
                if found.len() > series_max {
                    return Err(ReadError::TooManySeries);
                }
            }
            Ok(found)
        })
        .await?;
    let ids: Vec<_> = series.keys().copied().collect();
    let reading = api.queries.reader().exemplars(&ids, start, end, EXEMPLARS_MAX + 1);
    let mut found = reading.await.map_err(QueryError::from)?;
    let mut notes = Notes::default();
    if found.iter().map(|of_series| of_series.exemplars.len()).sum::<usize>() > EXEMPLARS_MAX {
        notes.warnings.push(format!("more than {EXEMPLARS_MAX} exemplars: ask for less"));
        if let Some(last) = found.last_mut() {
            last.exemplars.pop();
        }
    }
    found.retain(|of_series| !of_series.exemplars.is_empty());
    found.sort_by(|a, b| series[&a.series].cmp(&series[&b.series]));
    let mut data = String::from("[");
    for (at, of_series) in found.iter().enumerate() {
        data.push_str(if at == 0 { "{\"seriesLabels\":" } else { ",{\"seriesLabels\":" });
        encode::labels(&series[&of_series.series], &mut data);
        data.push_str(",\"exemplars\":[");
        for (at, exemplar) in of_series.exemplars.iter().enumerate() {
            if at > 0 {
                data.push(',');
            }
            one(&exemplar.labels, exemplar.value, exemplar.ts, &mut data);
        }
        data.push_str("]}");
    }
    data.push(']');
    Ok(answer::success(&data, &notes))
}

fn one(labels: &Labels, value: f64, ts: i64, out: &mut String) {
    out.push_str("{\"labels\":");
    encode::labels(labels, out);
    out.push_str(",\"value\":");
    encode::float(value, out);
    out.push_str(",\"timestamp\":");
    encode::timestamp(ts, out);
    out.push('}');
}
