//! Prometheus' query API under `/api/v1`, as Grafana and everybody else calls it.
//!
//! | endpoint | what |
//! |---|---|
//! | `GET`, `POST /query`, `/query_range` | a query at one time, or over a range ([`evaluate`]) |
//! | `GET`, `POST /series`, `/labels`; `GET /label/<name>/values` | which series there are ([`series`]) |
//! | `GET`, `POST /format_query`, `/parse_query` | a query formatted, or as a tree ([`tree`]) |
//! | `GET`, `POST /query_exemplars` | exemplars of the series that a query looks at ([`exemplars`]) |
//! | `GET /rules`, `/alerts` | nothing yet, in the right shape |
//! | `GET /status/buildinfo`, `…/runtimeinfo`, `…/tsdb`, `…/flags`, `…/config` | about this server ([`status`]) |
//!
//! Parameters come in the query string or in a form. Answers are those of Prometheus 3.5, byte for byte where clients may
//! look; what differs stands in `receiver/docs/query-api.md`. Numbers of JSON are written by [`encode`], because nothing
//! else writes them as Prometheus does.

pub(super) mod answer;
mod csv;
pub(super) mod encode;
mod evaluate;
mod exemplars;
mod parameters;
mod series;
mod status;
mod tree;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    routing::{get, options},
};
use tower_http::compression::CompressionLayer;

pub(crate) use self::status::About;
use crate::query::Queries;

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
struct Api {
    queries: Queries,
    about: Arc<About>,
}

/// All routes of the query API.
pub(crate) fn router(queries: Queries, about: About) -> Router {
    let no_content = || options(async || StatusCode::NO_CONTENT);
    Router::new()
        .route("/api/v1/query", get(evaluate::query).post(evaluate::query).merge(no_content()))
        .route(
            "/api/v1/query_range",
            get(evaluate::query_range).post(evaluate::query_range).merge(no_content()),
        )
        .route("/api/v1/format_query", get(tree::format_query).post(tree::format_query))
        .route("/api/v1/parse_query", get(tree::parse_query).post(tree::parse_query))
        .route("/api/v1/series", get(series::series).post(series::series).merge(no_content()))
        .route("/api/v1/labels", get(series::labels).post(series::labels).merge(no_content()))
        .route("/api/v1/label/{name}/values", get(series::label_values).merge(no_content()))
        .route(
            "/api/v1/query_exemplars",
            get(exemplars::query_exemplars).post(exemplars::query_exemplars).merge(no_content()),
        )
        .route("/api/v1/rules", get(status::rules))
        .route("/api/v1/alerts", get(status::alerts))
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/api/v1/status/runtimeinfo", get(status::runtime_info))
        .route("/api/v1/status/tsdb", get(status::tsdb))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/config", get(status::config))
        .layer(CompressionLayer::new())
        .with_state(Api { queries, about: Arc::new(about) })
}
