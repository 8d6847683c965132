//! What changes stored data: `POST` or `PUT /api/v1/admin/tsdb/delete_series`, as Prometheus has it.
//!
//! `match[]` (repeatable), `start` and `end` (RFC 3339 or Unix seconds) in the query or in a form; 204 when it is deleted.
//! `dry_run=true` deletes nothing and answers how much it would be. As in Prometheus the endpoint has to be enabled: any
//! web page that its user looks at can send such a request.

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Json, Response},
    routing::post,
};
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    db::sqlstate::{self, Outlook},
    storage::{
        Storage,
        delete::{self, DeleteError},
    },
};

/// Selectors are short: a form that is longer is none of ours.
const FORM_BYTES_MAX: usize = 64 << 10;

#[derive(Clone)]
struct Admin {
    storage: Storage,
    enabled: Enabled,
}

/// Whether `--web.enable-admin-api` was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enabled(pub(crate) bool);

/// What is asked for is switched off.
pub(crate) struct Disabled;

impl Enabled {
    pub(crate) fn check(self) -> Result<(), Disabled> {
        if self.0 { Ok(()) } else { Err(Disabled) }
    }
}

impl From<Disabled> for Response {
    fn from(_: Disabled) -> Self {
        let text = "admin APIs disabled: start with --web.enable-admin-api";
        refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
    }
}

/// The endpoints that change data.
pub(crate) fn router(storage: Storage, enabled: Enabled) -> Router {
    Router::new()
        .route("/api/v1/admin/tsdb/delete_series", post(delete_series).put(delete_series))
        .with_state(Admin { storage, enabled })
}

async fn delete_series(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Response> {
    admin.enabled.check()?;
    let mut pairs = pairs_of(query.as_deref().unwrap_or("").as_bytes()).map_err(bad_data)?;
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if is_form {
        let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX)
            .await
            .map_err(|err| bad_data(format!("read the form: {err}")))?;
        pairs.extend(pairs_of(&body).map_err(bad_data)?);
    }
    let (mut selectors, mut from, mut to, mut is_dry) = (Vec::new(), i64::MIN, i64::MAX, false);
    for (name, value) in pairs {
        match &*name {
            "match[]" => selectors.push(value),
            "start" => from = time(&name, &value).map_err(bad_data)?,
            "end" => to = time(&name, &value).map_err(bad_data)?,
            "dry_run" => is_dry = value == "true" || value == "1",
            // Prometheus takes no offence at others either.
            _ => {}
        }
    }
    let request = delete::Request::new(selectors, from, to)
        .map_err(|err| bad_data(service::error::chain(&err)))?;
    if is_dry {
        let preview = admin.storage.preview_deletion(&request).await.map_err(failed)?;
        let data = json!({
            "series": preview.series,
            "samples": preview.samples,
            "samplesExact": preview.is_exact,
            "bytesEstimate": preview.bytes,
        });
        return Ok(Json(json!({"status": "success", "data": data})).into_response());
    }
    admin.storage.delete(&request).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn pairs_of(text: &[u8]) -> Result<Vec<(String, String)>, String> {
    serde_urlencoded::from_bytes(text).map_err(|err| format!("read parameters: {err}"))
}

fn time(name: &str, text: &str) -> Result<i64, String> {
    crate::time::parse(text).ok_or_else(|| {
        format!(
            "invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp: RFC 3339 or Unix seconds"
        )
    })
}

fn failed(err: DeleteError) -> Response {
    warn!("delete: {}", service::error::chain(&err));
    let may_pass = matches!(
        &err,
        DeleteError::Database { source } if matches!(sqlstate::outlook(source), Outlook::MayPass)
    );
    if may_pass {
        return super::error::unavailable("the database did not answer in time\n".to_owned());
    }
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", &err.to_string())
}

fn bad_data(message: impl ToString) -> Response {
    refuse(StatusCode::BAD_REQUEST, "bad_data", &message.to_string())
}

pub(crate) fn refuse(status: StatusCode, kind: &str, message: &str) -> Response {
    let body: Value = json!({"status": "error", "errorType": kind, "error": message});
    (status, Json(body)).into_response()
}
