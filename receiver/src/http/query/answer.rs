//! How the query API answers: `{"status": "success", "data": …}`, or an error with its kind.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use promql::EvalError;
use tracing::warn;

use super::encode;
use crate::{db::sqlstate::Outlook, query::QueryError};

/// Annotations of one kind that an answer carries.
const ANNOTATIONS_MAX: usize = 10;

/// What is not only the data.
#[derive(Debug, Default)]
pub(in crate::http) struct Notes {
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

impl Notes {
    /// The text behind the data, up to the end of the answer.
    pub(super) fn tail(&self) -> String {
        let mut text = String::new();
        for (name, notes, kind) in
            [("warnings", &self.warnings, "warning"), ("infos", &self.infos, "info")]
        {
            if notes.is_empty() {
                continue;
            }
            text.push_str(&format!(",\"{name}\":["));
            for (at, note) in notes.iter().take(ANNOTATIONS_MAX).enumerate() {
                if at > 0 {
                    text.push(',');
                }
                encode::escaped(note, &mut text);
            }
            if notes.len() > ANNOTATIONS_MAX {
                let n_more = notes.len() - ANNOTATIONS_MAX;
                text.push_str(&format!(",\"{n_more} more {kind} annotations omitted\""));
            }
            text.push(']');
        }
        text.push('}');
        text
    }
}

/// How a successful answer begins.
pub(super) const HEAD: &str = "{\"status\":\"success\",\"data\":";

/// A successful answer; `data` is JSON.
pub(in crate::http) fn success(data: &str, notes: &Notes) -> Response {
    json(StatusCode::OK, Body::from(format!("{HEAD}{data}{}", notes.tail())))
}

/// A successful answer made of a value. Characters with a meaning in HTML are escaped, as Prometheus does.
pub(super) fn success_value(data: &serde_json::Value) -> Response {
    let mut text = String::new();
    for character in data.to_string().chars() {
        // They only occur inside strings.
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", character as u32));
            }
            other => text.push(other),
        }
    }
    success(&text, &Notes::default())
}

/// A list of strings as data.
pub(super) fn success_strings(strings: &[String], notes: &Notes) -> Response {
    let mut data = String::from("[");
    for (at, string) in strings.iter().enumerate() {
        if at > 0 {
            data.push(',');
        }
        encode::escaped(string, &mut data);
    }
    data.push(']');
    success(&data, notes)
}

pub(super) fn json(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Why there is no answer, in the words of Prometheus.
#[derive(Debug)]
pub(in crate::http) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

/// What nginx answers to somebody who has gone, and Prometheus as well.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl ApiError {
    pub(in crate::http) fn bad_data(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "bad_data", message: message.into() }
    }

    /// A parameter that cannot be understood.
    pub(super) fn parameter(name: &str, message: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {message}"))
    }

    fn new(status: StatusCode, kind: &'static str, message: impl std::fmt::Display) -> Self {
        Self { status, kind, message: message.to_string() }
    }
}

impl From<QueryError> for ApiError {
    fn from(err: QueryError) -> Self {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match &err {
            QueryError::Busy => Self::new(unavailable, "unavailable", err),
            QueryError::TimedOutWaiting | QueryError::Evaluation(EvalError::TimedOut) => {
                Self::new(unavailable, "timeout", err)
            }
            QueryError::Evaluation(EvalError::Parse(_) | EvalError::BadRequest(_)) => {
                Self::parameter("query", err)
            }
            QueryError::Evaluation(EvalError::Cancelled) => {
                let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("three digits");
                Self::new(status, "canceled", err)
            }
            QueryError::Evaluation(EvalError::Execution(_) | EvalError::TooManySamples) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", err)
            }
            QueryError::Evaluation(EvalError::Source(_))
            | QueryError::Storage(_)
            | QueryError::Panicked => {
                warn!("query: {}", service::error::chain(&err));
                match err.outlook() {
                    Outlook::MayPass => {
                        let text = "the database did not answer in time";
                        Self::new(unavailable, "unavailable", text)
                    }
                    Outlook::NeverPasses => {
                        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", err)
                    }
                }
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut text = format!("{{\"status\":\"error\",\"errorType\":\"{}\",\"error\":", self.kind);
        encode::escaped(&self.message, &mut text);
        text.push('}');
        json(self.status, Body::from(text))
    }
}
