//! `GET /api/v1/metadata`: what exporters say about their metrics, as Prometheus answers it.
//!
//! `metric` names one, `limit` says how many. There is one description of each, so `limit_per_metric` changes nothing.

use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use serde::Deserialize;
use sqlx::Row;

use super::query::{
    answer::{self, ApiError, Notes},
    encode,
};
use crate::{
    query::QueryError,
    storage::{ReadError, Reader},
};

/// Metrics of one answer: a few MiB.
const METRICS_MAX: i64 = 20_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    metric: String,
    limit: String,
    limit_per_metric: String,
}

pub(crate) fn router(reader: Reader) -> Router {
    Router::new().route("/api/v1/metadata", get(metadata)).with_state(reader)
}

async fn metadata(
    State(reader): State<Reader>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, ApiError> {
    let number = |name: &str, text: &str| match text {
        "" => Ok(-1),
        text => {
            text.parse::<i64>().map_err(|_| ApiError::bad_data(format!("{name} must be a number")))
        }
    };
    let limit = number("limit", &parameters.limit)?;
    number("limit_per_metric", &parameters.limit_per_metric)?;
    let limit = if limit < 0 { METRICS_MAX } else { limit.min(METRICS_MAX) };
    let rows = sqlx::query(
        "SELECT name, type, coalesce(unit, ''), coalesce(help, '') FROM watchpost.metric
          WHERE type IS NOT NULL AND ($1 = '' OR name = $1)
          ORDER BY name LIMIT $2",
    )
    .bind(&parameters.metric)
    .bind(limit)
    .fetch_all(reader.db())
    .await
    .map_err(|err| QueryError::from(ReadError::from(err)))?;
    let mut data = String::from("{");
    for row in &rows {
        if data.len() > 1 {
            data.push(',');
        }
        encode::escaped(row.get(0), &mut data);
        for (at, name) in [(1, ":[{\"type\":"), (2, ",\"unit\":"), (3, ",\"help\":")] {
            data.push_str(name);
            encode::escaped(row.get(at), &mut data);
        }
        data.push_str("}]");
    }
    data.push('}');
    Ok(answer::success(&data, &Notes::default()))
}
