//! `query` and `query_range`: evaluated in turn, encoded on a thread that may block, sent piece by piece.

use std::fmt::Write as _;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use promql::{Outcome, Query, Times, ast::ValueType};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Api,
    answer::{self, ApiError, Notes},
    csv,
    encode::{self, Gone, Sink},
    parameters::Parameters,
};
use crate::{
    model,
    query::{Evaluated, QueryError, Request},
};

/// Points of one series in an answer, as Prometheus allows.
const POINTS_MAX: i128 = 11_000;
/// An answer larger than this is sent in pieces of this size.
const PIECE_BYTES: usize = 128 << 10;
/// Pieces that wait for a client.
const PIECES: usize = 2;

/// Which format the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl Format {
    /// The first in `Accept` that we have.
    fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let kinds = accept.unwrap_or("").split(',').map(str::trim);
        for kind in kinds {
            if kind.starts_with("application/json") {
                return Self::Json;
            }
            if kind.starts_with("text/csv") {
                return Self::Csv;
            }
        }
        Self::Json
    }
}

pub(super) async fn query(
    State(api): State<Api>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let limit = parameters.limit()?;
    let ts = parameters.optional_time("time")?.unwrap_or_else(model::now_ms);
    let timeout = parameters.timeout()?;
    let lookback_ms = parameters.lookback_ms()?;
    let query = parse(&api, parameters.get("query"))?;
    let request = Request { query, times: Times::Instant(ts), lookback_ms, timeout };
    answer(&api, request, limit, &parameters, Format::accepted(&headers)).await
}

pub(super) async fn query_range(
    State(api): State<Api>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let limit = parameters.limit()?;
    let (start, end) = (parameters.time("start")?, parameters.time("end")?);
    if end < start {
        let why = "end timestamp must not be before start time";
        return Err(ApiError::parameter("end", why));
    }
    let step_ns = parameters.duration_ns("step")?;
    if step_ns <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", why));
    }
    let n_steps = (i128::from(end) - i128::from(start)) * 1_000_000 / i128::from(step_ns);
    if n_steps > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let timeout = parameters.timeout()?;
    let lookback_ms = parameters.lookback_ms()?;
    let query = parse(&api, parameters.get("query"))?;
    let kind = query.expr.value_type();
    if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
        let why = format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            kind.name()
        );
        return Err(ApiError::parameter("query", why));
    }
    let times = Times::Range { start, end, step: (step_ns / 1_000_000).max(1) };
    let request = Request { query, times, lookback_ms, timeout };
    answer(&api, request, limit, &parameters, Format::accepted(&headers)).await
}

fn parse(api: &Api, text: &str) -> Result<Query, ApiError> {
    Query::new(text, api.queries.limits().features).map_err(|err| ApiError::parameter("query", err))
}

async fn answer(
    api: &Api,
    request: Request,
    limit: usize,
    parameters: &Parameters,
    format: Format,
) -> Result<Response, ApiError> {
    let mut evaluated = api.queries.evaluate(request).await?;
    let annotations = &evaluated.answer.annotations;
    let mut notes = Notes { warnings: annotations.warnings(), infos: annotations.infos() };
    if truncate(&mut evaluated.answer.outcome, limit) {
        notes.warnings.push("results truncated due to limit".to_owned());
    }
    let stats = match parameters.get("stats") {
        "" => String::new(),
        _ => stats(&evaluated),
    };
    deliver(evaluated, format, stats, notes).await
}

/// Drops results beyond the limit; says whether there were any.
fn truncate(outcome: &mut Outcome, limit: usize) -> bool {
    let (n, cut): (usize, &mut dyn FnMut(usize)) = match outcome {
        Outcome::Vector(elements) => (elements.len(), &mut |limit| elements.truncate(limit)),
        Outcome::Matrix(series) => (series.len(), &mut |limit| series.truncate(limit)),
        Outcome::Scalar { .. } | Outcome::String { .. } => return false,
    };
    let is_more = limit > 0 && n > limit;
    if is_more {
        cut(limit);
    }
    is_more
}

/// How long the parts of the evaluation took, and what it read.
fn stats(evaluated: &Evaluated) -> String {
    let (took, waited) = (evaluated.took.as_secs_f64(), evaluated.waited.as_secs_f64());
    let samples = evaluated.answer.samples_read;
    let mut text = String::from(",\"stats\":{\"timings\":{");
    for (name, seconds) in [
        ("evalTotalTime", took),
        ("resultSortTime", 0.0),
        ("queryPreparationTime", 0.0),
        ("innerEvalTime", took),
        ("execQueueTime", waited),
        ("execTotalTime", took),
    ] {
        let _ = write!(text, "\"{name}\":{seconds},");
    }
    text.pop();
    let _ = write!(
        text,
        "}},\"samples\":{{\"totalQueryableSamples\":{samples},\"peakSamples\":{samples}}}}}"
    );
    text
}

/// Encodes and sends. Until everything is sent or the deadline has come, the query keeps its turn: so the memory of all
/// answers is bounded, however slowly they are taken.
async fn deliver(
    evaluated: Evaluated,
    format: Format,
    stats: String,
    notes: Notes,
) -> Result<Response, ApiError> {
    let deadline = evaluated.deadline;
    let (pieces, mut taken) = mpsc::channel(PIECES);
    let encoding = tokio::task::spawn_blocking(move || {
        let mut sink = Pieces(pieces);
        let mut out = String::new();
        let outcome = &evaluated.answer.outcome;
        let all = match format {
            Format::Json => {
                out.push_str(answer::HEAD);
                encode::outcome(outcome, &mut out, &mut sink).map(|()| {
                    out.push_str(&stats);
                    out.push('}');
                    out.push_str(&notes.tail());
                })
            }
            Format::Csv => csv::outcome(outcome, &mut out, &mut sink),
        };
        // Whoever left first did not want the rest.
        if all.is_ok() {
            let _ = sink.0.blocking_send(Piece { bytes: out.into(), is_last: true });
        }
        drop(evaluated.turn);
    });
    let Some(first) = taken.recv().await else {
        // It ended before it said anything.
        let _ = encoding.await;
        return Err(QueryError::Panicked.into());
    };
    let body = if first.is_last {
        Body::from(first.bytes)
    } else {
        Body::from_stream(rest(first, taken, deadline))
    };
    let kind = match format {
        Format::Json => "application/json",
        Format::Csv => "text/csv; charset=utf-8; header=present",
    };
    let mut response = answer::json(StatusCode::OK, body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    Ok(response)
}

/// All pieces; an answer that ends without its last piece is broken off, so that nobody takes it for the whole.
fn rest(
    first: Piece,
    taken: mpsc::Receiver<Piece>,
    deadline: Instant,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    let state = Some((Some(first), taken));
    stream::unfold(state, move |state| async move {
        let (first, mut taken) = state?;
        let piece = match first {
            Some(first) => Ok(Some(first)),
            None => tokio::time::timeout_at(deadline, taken.recv()).await,
        };
        match piece {
            Ok(Some(Piece { bytes, is_last: true })) => Some((Ok(bytes), None)),
            Ok(Some(piece)) => Some((Ok(piece.bytes), Some((None, taken)))),
            Ok(None) => Some((Err(std::io::Error::other("encoding ended early")), None)),
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

struct Piece {
    bytes: Bytes,
    is_last: bool,
}

/// Sends what has become large enough.
struct Pieces(mpsc::Sender<Piece>);

impl Sink for Pieces {
    fn pass_on(&mut self, out: &mut String) -> Result<(), Gone> {
        if out.len() < PIECE_BYTES {
            return Ok(());
        }
        let bytes = std::mem::take(out).into();
        self.0.blocking_send(Piece { bytes, is_last: false }).map_err(|_| Gone)
    }
}
