//! `GET /api/v1/status/storage`: what takes how much space, as JSON.
//!
//! `limit_bytes`, such as the size of the disk, makes it tell the days left; `top` says how many metrics and jobs.

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Json, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    db::sqlstate::{self, Outlook},
    storage::{
        Reader,
        report::{self, Part, Report},
    },
};

const TOP: i32 = 20;

#[derive(Debug, Deserialize)]
struct Parameters {
    limit_bytes: Option<i64>,
    top: Option<i32>,
}

pub(crate) fn router(reader: Reader) -> Router {
    Router::new().route("/api/v1/status/storage", get(storage)).with_state(reader)
}

async fn storage(
    State(reader): State<Reader>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Value>, Response> {
    let top = parameters.top.unwrap_or(TOP);
    let report = report::report(reader.db(), parameters.limit_bytes, top).await.map_err(|err| {
        warn!("report on the storage: {err}");
        match sqlstate::outlook(&err) {
            Outlook::MayPass => {
                super::error::unavailable("the database did not answer in time\n".to_owned())
            }
            Outlook::NeverPasses => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    })?;
    Ok(Json(json!({"status": "success", "data": as_json(&report)})))
}

/// The report as it is served, and as `watchpost storage report --output=json` prints it.
pub fn as_json(report: &Report) -> Value {
    let parts = |parts: &[Part]| -> Vec<Value> {
        let part = |part: &Part| {
            json!({
                "name": part.name,
                "series": part.series,
                "samplesEstimate": part.samples,
                "bytesEstimate": part.bytes,
            })
        };
        parts.iter().map(part).collect()
    };
    json!({
        "totalBytes": report.total_bytes,
        "bytes": {
            "final": report.final_bytes,
            "merged": report.merged_bytes,
            "recent": report.recent_bytes,
            "log": report.log_bytes,
            "catalogue": report.catalogue_bytes,
            "rollup": report.rollup_bytes,
            "other": report.other_bytes,
        },
        "series": report.series,
        "samples": report.samples,
        "bytesPerSample": report.bytes_per_sample,
        "oldest": report.oldest,
        "newest": report.newest,
        "finalDays": report.final_days,
        "bytesPerDay": report.bytes_per_day,
        "samplesPerDay": report.samples_per_day,
        "daysLeft": report.days_left,
        "byMetric": parts(&report.by_metric),
        "byJob": parts(&report.by_job),
    })
}
