//! Agents over HTTP (`receiver/docs/agents.md`).
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v1/agents/register` | notes the agent; what is wanted of it, when that changes or after `wait` |
//! | `POST /api/v1/agents/live?instance=…` | shows samples to whoever watches; whether anybody does |
//! | `GET /api/v1/agents` | all agents |
//! | `POST /api/v1/agents/settings` | wants other intervals of one; 204, or 404 |
//! | `POST /api/v1/agents/forget` | takes one out; 204, or 404 |
//! | `GET /api/v1/sd` | those that do not push, as Prometheus' HTTP service discovery; `?all=true` with the others |

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Json, Query, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use promql::model::text::is_label_name;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::units::Span;
use tracing::warn;

use super::admin::refuse;
use crate::agents::{Agent, AgentError, Agents, Announcement, Heard};

/// Names, addresses, labels: what is longer is none.
const TEXT_CHARS_MAX: usize = 300;
const LABELS_MAX: usize = 32;
/// As `--scrape-timeout` of a Prometheus; less where the interval is shorter.
const SCRAPE_TIMEOUT_MS: i64 = 10_000;
const STORED_MS: std::ops::RangeInclusive<i64> = 1_000..=300_000;
const LIVE_MS: std::ops::RangeInclusive<i64> = 100..=10_000;

pub(crate) fn router(agents: Agents) -> Router {
    Router::new()
        .route("/api/v1/agents", get(list))
        .route("/api/v1/agents/register", post(register))
        .route("/api/v1/agents/live", post(live))
        .route("/api/v1/agents/settings", post(settings))
        .route("/api/v1/agents/forget", post(forget))
        .route("/api/v1/sd", get(discover))
        .with_state(agents)
}

/// What an agent says. Keys of newer agents are not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    program: String,
    instance: String,
    job: String,
    name: String,
    address: String,
    #[serde(default = "http")]
    scheme: String,
    #[serde(default = "metrics")]
    metrics_path: String,
    version: String,
    os: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    pushes: bool,
    stored_interval: Span,
    live_interval: Span,
    /// What the last answer said.
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    is_watched: bool,
    /// How long the answer may take when nothing changes.
    #[serde(default)]
    wait: Span,
}

fn http() -> String {
    "http".to_owned()
}

fn metrics() -> String {
    "/metrics".to_owned()
}

async fn register(
    State(agents): State<Agents>,
    said: Result<Json<Registration>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(said) = said.map_err(|err| bad_data(&err.body_text()))?;
    let heard = Heard { generation: said.generation, is_watched: said.is_watched };
    let wait = said.wait.0;
    let announcement = said.check().map_err(|problem| bad_data(&problem))?;
    let order = agents.announce(&announcement, heard, wait).await.map_err(failed)?;
    let data = json!({
        "generation": order.wanted.generation,
        "storedInterval": order.wanted.stored_ms.map(span),
        "liveInterval": order.wanted.live_ms.map(span),
        "isWatched": order.is_watched,
    });
    Ok(Json(json!({"status": "success", "data": data})).into_response())
}

impl Registration {
    fn check(self) -> Result<Announcement, String> {
        let texts = [
            ("program", &self.program),
            ("instance", &self.instance),
            ("job", &self.job),
            ("name", &self.name),
            ("address", &self.address),
            ("version", &self.version),
            ("os", &self.os),
        ];
        for (key, text) in texts {
            check_text(key, text)?;
        }
        if self.address.contains(['/', '?', '#', '@', ' ']) {
            return Err("`address` is a host and a port".to_owned());
        }
        if !["http", "https"].contains(&&*self.scheme) {
            return Err("`scheme` is http or https".to_owned());
        }
        if !self.metrics_path.starts_with('/') {
            return Err("`metricsPath` begins with /".to_owned());
        }
        check_text("metricsPath", &self.metrics_path)?;
        if self.labels.len() > LABELS_MAX {
            return Err(format!("there are more than {LABELS_MAX} labels"));
        }
        for (name, value) in &self.labels {
            let is_name = is_label_name(name) && !name.starts_with("__");
            if !is_name || name.len() > TEXT_CHARS_MAX {
                return Err("a label has a name that no label may have".to_owned());
            }
            check_text(name, value)?;
        }
        Ok(Announcement {
            stored_interval_ms: interval("storedInterval", self.stored_interval.0, STORED_MS)?,
            live_interval_ms: interval("liveInterval", self.live_interval.0, LIVE_MS)?,
            program: self.program,
            instance: self.instance,
            job: self.job,
            name: self.name,
            address: self.address,
            scheme: self.scheme,
            metrics_path: self.metrics_path,
            version: self.version,
            os: self.os,
            labels: self.labels,
            pushes: self.pushes,
        })
    }
}

fn check_text(key: &str, text: &str) -> Result<(), String> {
    let is_good =
        (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_good {
        return Ok(());
    }
    Err(format!("`{key}` has 1 to {TEXT_CHARS_MAX} characters, none of them a control character"))
}

fn interval(
    key: &str,
    given: Duration,
    bounds: std::ops::RangeInclusive<i64>,
) -> Result<i64, String> {
    let ms = i64::try_from(given.as_millis()).unwrap_or(i64::MAX);
    if bounds.contains(&ms) {
        return Ok(ms);
    }
    Err(format!("`{key}` is from {} to {}", span(*bounds.start()), span(*bounds.end())))
}

/// `15s`.
fn span(ms: i64) -> String {
    Span(Duration::from_millis(ms.unsigned_abs())).to_string()
}

#[derive(Deserialize)]
struct Instance {
    instance: String,
}

async fn live(
    State(agents): State<Agents>,
    Query(Instance { instance }): Query<Instance>,
    body: Bytes,
) -> Result<Response, Response> {
    let shown = tokio::task::spawn_blocking(move || agents.show(&instance, &body)).await;
    let is_watched = shown
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())?
        .map_err(|err| bad_data(&service::error::chain(&err)))?;
    Ok(Json(json!({"status": "success", "data": {"isWatched": is_watched}})).into_response())
}

async fn list(State(agents): State<Agents>) -> Result<Response, Response> {
    let all = agents.list().await.map_err(failed)?;
    let data: Vec<Value> = all.iter().map(as_json).collect();
    Ok(Json(json!({"status": "success", "data": data})).into_response())
}

fn as_json(agent: &Agent) -> Value {
    let Agent { said, wanted, registered_at, seen_at, is_here } = agent;
    json!({
        "program": said.program,
        "instance": said.instance,
        "job": said.job,
        "name": said.name,
        "address": said.address,
        "scheme": said.scheme,
        "metricsPath": said.metrics_path,
        "version": said.version,
        "os": said.os,
        "labels": said.labels,
        "pushes": said.pushes,
        "storedInterval": span(said.stored_interval_ms),
        "liveInterval": span(said.live_interval_ms),
        "wantedStoredInterval": wanted.stored_ms.map(span),
        "wantedLiveInterval": wanted.live_ms.map(span),
        "registeredAt": registered_at,
        "seenAt": seen_at,
        "isHere": is_here,
    })
}

/// Which agent is meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Settings {
    #[serde(default = "exporter")]
    program: String,
    instance: String,
    /// `null`, or not given: what its own flags say.
    stored_interval: Option<Span>,
    live_interval: Option<Span>,
}

fn exporter() -> String {
    "exporter".to_owned()
}

async fn settings(
    State(agents): State<Agents>,
    wanted: Result<Json<Settings>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(wanted) = wanted.map_err(|err| bad_data(&err.body_text()))?;
    let check = |key, given: Option<Span>, bounds| {
        given.map(|given| interval(key, given.0, bounds)).transpose()
    };
    let stored = check("storedInterval", wanted.stored_interval, STORED_MS);
    let stored = stored.map_err(|problem| bad_data(&problem))?;
    let live = check("liveInterval", wanted.live_interval, LIVE_MS);
    let live = live.map_err(|problem| bad_data(&problem))?;
    let found = agents.want(&wanted.program, &wanted.instance, stored, live).await;
    Ok(done(found.map_err(failed)?, &wanted.instance))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default = "exporter")]
    program: String,
    instance: String,
}

async fn forget(
    State(agents): State<Agents>,
    which: Result<Json<Which>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(which) = which.map_err(|err| bad_data(&err.body_text()))?;
    let found = agents.forget(&which.program, &which.instance).await.map_err(failed)?;
    Ok(done(found, &which.instance))
}

fn done(found: bool, instance: &str) -> Response {
    if found {
        return StatusCode::NO_CONTENT.into_response();
    }
    refuse(StatusCode::NOT_FOUND, "not_found", &format!("there is no agent `{instance}`"))
}

#[derive(Deserialize)]
struct Discovery {
    #[serde(default)]
    all: bool,
}

/// <https://prometheus.io/docs/prometheus/latest/http_sd/>
#[derive(Serialize)]
struct Group {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

/// An error is never an empty list: Prometheus keeps what it had.
async fn discover(
    State(agents): State<Agents>,
    Query(Discovery { all }): Query<Discovery>,
) -> Result<Response, Response> {
    let agents = agents.list().await.map_err(failed)?;
    let groups: Vec<Group> =
        agents.into_iter().filter(|agent| all || !agent.said.pushes).map(group).collect();
    Ok(Json(groups).into_response())
}

fn group(agent: Agent) -> Group {
    let Agent { said, wanted, .. } = agent;
    let interval_ms = wanted.stored_ms.unwrap_or(said.stored_interval_ms);
    let mut labels = said.labels;
    let ours = [
        ("job", said.job),
        ("instance", said.instance),
        ("__scheme__", said.scheme),
        ("__metrics_path__", said.metrics_path),
        ("__scrape_interval__", span(interval_ms)),
        ("__scrape_timeout__", span(interval_ms.min(SCRAPE_TIMEOUT_MS))),
        ("__meta_watchpost_name", said.name),
        ("__meta_watchpost_program", said.program),
        ("__meta_watchpost_version", said.version),
        ("__meta_watchpost_os", said.os),
    ];
    labels.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    Group { targets: [said.address], labels }
}

fn bad_data(problem: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "bad_data", problem)
}

fn failed(err: AgentError) -> Response {
    match err {
        AgentError::TooMany => refuse(StatusCode::INSUFFICIENT_STORAGE, "full", &err.to_string()),
        AgentError::Database { .. } => {
            warn!("{}", service::error::chain(&err));
            super::error::unavailable("the database did not answer in time\n".to_owned())
        }
    }
}
