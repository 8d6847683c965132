//! `/logs`: what a past probe told.

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;

use super::{App, plain};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    id: Option<String>,
    target: Option<String>,
    module: Option<String>,
}

pub(super) async fn logs(State(app): State<App>, Query(which): Query<Which>) -> Response {
    let bad = |message: &str| plain(StatusCode::BAD_REQUEST, format!("{message}\n"));
    let history = app.blackbox.history();
    let found = match (&which.id, &which.target) {
        (Some(_), Some(_)) => return bad("Probe id and target can't be defined at the same time"),
        (Some(id), None) => match id.parse() {
            Ok(id) => history.by_id(id),
            Err(_) => return bad("Invalid probe id"),
        },
        (None, Some(target)) => history.by_target(target, which.module.as_deref()),
        (None, None) if which.module.is_some() => {
            return bad("Target must be defined together with module");
        }
        (None, None) => return bad("Probe id or target must be defined as http query parameters"),
    };
    match found {
        Some(entry) => plain(StatusCode::OK, entry.debug_text()),
        None if which.id.is_some() => {
            plain(StatusCode::NOT_FOUND, "Probe id not found\n".to_owned())
        }
        None => plain(StatusCode::NOT_FOUND, "Probe target not found\n".to_owned()),
    }
}
