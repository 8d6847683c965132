//! `POST /api/v1/read`: Prometheus remote read, so that a Prometheus answers queries over what it no longer has itself.
//!
//! A client that understands a stream of chunks gets one: series sorted by labels, some of them in memory at a time.
//! Others get all samples in one message, of bounded size. Reading takes the same turns as queries and has the same limits.

mod select;
mod write;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::stream;
use promql::model::{MatchOp, Matcher};
use proto::{
    remote_read::{
        self, LabelMatcher, MatcherType, Query, ReadRequest, ResponseType, SAMPLES_CONTENT_TYPE,
        STREAMED_CONTENT_TYPE,
    },
    remote_write::Message,
    snappy,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::warn;

use self::select::Selection;
use crate::{
    db::sqlstate::Outlook,
    query::{Queries, QueryError},
    storage::{BoundedReader, ReadError},
};

/// Matchers take bytes, with long lists of alternatives some thousands; compressed and not.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Queries of one request: Prometheus sends one.
const QUERIES_MAX: usize = 32;
/// Pieces of a stream that wait for a client.
const PIECES: usize = 2;

pub(crate) fn router(queries: Queries) -> Router {
    Router::new().route("/api/v1/read", post(read)).with_state(queries)
}

/// What goes wrong before the first byte is sent.
#[derive(Debug)]
enum Refusal {
    Bad(String),
    Failed(QueryError),
}

impl From<QueryError> for Refusal {
    fn from(err: QueryError) -> Self {
        Self::Failed(err)
    }
}

impl From<ReadError> for Refusal {
    fn from(err: ReadError) -> Self {
        match err {
            ReadError::TooManySamples | ReadError::TooManySeries => Self::Bad(err.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
            Self::Failed(err) => {
                warn!("remote read: {}", service::error::chain(&err));
                let may_pass = err.outlook() == Outlook::MayPass
                    || matches!(err, QueryError::Evaluation(promql::EvalError::TimedOut));
                if may_pass {
                    return super::error::unavailable(format!("{err}\n"));
                }
                (StatusCode::INTERNAL_SERVER_ERROR, format!("{err}\n")).into_response()
            }
        }
    }
}

async fn read(State(queries): State<Queries>, request: Request) -> Result<Response, Refusal> {
    let body = axum::body::to_bytes(request.into_body(), REQUEST_BYTES_MAX).await;
    let body = body.map_err(|err| Refusal::Bad(format!("read the body: {err}")))?;
    let mut message = Vec::new();
    snappy::decompress(&body, REQUEST_BYTES_MAX, &mut message)
        .map_err(|err| Refusal::Bad(err.to_string()))?;
    let request = ReadRequest::decode(&message[..])
        .map_err(|err| Refusal::Bad(format!("no prometheus.ReadRequest: {err}")))?;
    if request.queries.len() > QUERIES_MAX {
        return Err(Refusal::Bad(format!("more than {QUERIES_MAX} queries")));
    }
    let kind = negotiate(&request).ok_or_else(|| {
        let known = "SAMPLES and STREAMED_XOR_CHUNKS";
        Refusal::Bad(format!("none of the accepted response types is known: {known} are"))
    })?;
    let selections = request.queries.iter().map(selection).collect::<Result<Vec<_>, _>>()?;
    match kind {
        ResponseType::Samples => samples(&queries, selections).await,
        ResponseType::StreamedXorChunks => chunks(&queries, selections).await,
    }
}

/// The first that we know of what the client accepts.
fn negotiate(request: &ReadRequest) -> Option<ResponseType> {
    if request.accepted_response_types.is_empty() {
        return Some(ResponseType::Samples);
    }
    let accepted = request.accepted_response_types.iter();
    accepted.filter_map(|kind| ResponseType::try_from(*kind).ok()).next()
}

fn selection(query: &Query) -> Result<Selection, Refusal> {
    let matcher = |matcher: &LabelMatcher| {
        let op = match matcher.r#type() {
            MatcherType::Eq => MatchOp::Equal,
            MatcherType::Neq => MatchOp::NotEqual,
            MatcherType::Re => MatchOp::Regexp,
            MatcherType::Nre => MatchOp::NotRegexp,
        };
        Matcher::new(&matcher.name, op, &matcher.value).map_err(|err| Refusal::Bad(err.to_string()))
    };
    Ok(Selection {
        matchers: query.matchers.iter().map(matcher).collect::<Result<_, _>>()?,
        from: query.start_timestamp_ms,
        to: query.end_timestamp_ms,
    })
}

/// Everything in one message.
async fn samples(queries: &Queries, selections: Vec<Selection>) -> Result<Response, Refusal> {
    let bytes_max = usize::try_from(queries.limits().bytes_max).unwrap_or(usize::MAX);
    let (outcome, _turn) = queries
        .in_turn(move |reader| {
            let mut message = Vec::new();
            for selection in &selections {
                if let Err(err) = write::query_result(reader, selection, bytes_max, &mut message) {
                    return Ok(Err(err));
                }
            }
            Ok(Ok(snappy::compress(&message)))
        })
        .await?;
    let headers =
        [(header::CONTENT_TYPE, SAMPLES_CONTENT_TYPE), (header::CONTENT_ENCODING, "snappy")];
    Ok((headers, outcome.map_err(Refusal::from)?).into_response())
}

/// Frame by frame. What goes wrong on the way can only break the stream off.
async fn chunks(queries: &Queries, selections: Vec<Selection>) -> Result<Response, Refusal> {
    let deadline = queries.deadline(None);
    let turn = queries.turn(deadline).await?;
    let (cancel, cancelled) = watch::channel(false);
    let cancel = CancelOnDrop(cancel);
    let bounds = queries.bounds(deadline, &cancelled);
    let reader = BoundedReader { reader: queries.reader().clone(), bounds };
    let (pieces, mut taken) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut outcome = Ok(());
        for (at, selection) in selections.iter().enumerate() {
            let mut frame = |message: &[u8]| {
                let mut bytes = Vec::with_capacity(message.len() + 16);
                remote_read::frame(message, &mut bytes);
                pieces.blocking_send(Ok(Bytes::from(bytes))).map_err(|_| ReadError::Cancelled)
            };
            outcome = write::chunks(&reader, selection, at as i64, &mut frame);
            if outcome.is_err() {
                break;
            }
        }
        if let Err(err) = outcome {
            // Nobody waits any more if this fails.
            let _ = pieces.blocking_send(Err(err));
        }
        drop(turn);
    });
    let first = match taken.recv().await {
        Some(Ok(first)) => Some(first),
        Some(Err(err)) => return Err(err.into()),
        None => None,
    };
    let body = Body::from_stream(rest(first, taken, deadline, cancel));
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(STREAMED_CONTENT_TYPE))];
    Ok((headers, body).into_response())
}

/// Says that nobody waits any more, when it is dropped.
struct CancelOnDrop(watch::Sender<bool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// All frames. `cancel` ends reading when the stream is dropped.
fn rest(
    first: Option<Bytes>,
    taken: mpsc::Receiver<Result<Bytes, ReadError>>,
    deadline: Instant,
    cancel: CancelOnDrop,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    let reading = Some((first, taken, cancel));
    stream::unfold(reading, move |reading| async move {
        let (first, mut taken, cancel) = reading?;
        if let Some(first) = first {
            return Some((Ok(first), Some((None, taken, cancel))));
        }
        match tokio::time::timeout_at(deadline, taken.recv()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some((None, taken, cancel)))),
            Ok(None) => None,
            Ok(Some(Err(err))) => {
                warn!("remote read breaks off: {}", service::error::chain(&err));
                Some((Err(std::io::Error::other(err)), None))
            }
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    })
}
