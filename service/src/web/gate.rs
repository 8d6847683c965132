//! What every request passes on its way to the router: rate limit, password, headers of the answer.

use std::{
    convert::Infallible, net::SocketAddr, panic::AssertUnwindSafe, time::Duration, time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use tower::ServiceExt as _;
use tower_http::timeout::TimeoutBody;

use super::{
    live::{Config, Settings},
    users::Denied,
};

/// How long a client may pause within a request's body.
const BODY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The name of the user whose password was right: an extension of requests where passwords are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub String);

/// Whether the request came over TLS: an extension of every request, for cookies and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsTls(pub bool);

/// What is the same for all requests of a connection.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) router: Router,
    pub(super) config: Config,
    pub(super) peer: SocketAddr,
    pub(super) is_tls: bool,
}

impl Gate {
    pub(super) async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let settings = self.config.current().await;
        let mut response = match self.admit(settings.as_deref(), &request).await {
            Ok(user) => self.route(user, request).await,
            Err(refusal) => refusal,
        };
        for (name, value) in settings.iter().flat_map(|settings| &settings.headers) {
            response.headers_mut().insert(name, value.clone());
        }
        Ok(response)
    }

    /// The user who asks, where there are users; else the answer that refuses.
    async fn admit(
        &self,
        settings: Option<&Settings>,
        request: &Request<Incoming>,
    ) -> Result<Option<User>, Response> {
        let Some(settings) = settings else { return Ok(None) };
        if settings.bucket.as_ref().is_some_and(|bucket| !bucket.take(Instant::now())) {
            return Err((StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n").into_response());
        }
        if settings.users.is_empty() {
            return Ok(None);
        }
        let authorization = request.headers().get(header::AUTHORIZATION);
        if self.config.lets_bearers_pass && authorization.is_some_and(is_bearer) {
            return Ok(None);
        }
        match self.config.passwords.check(&settings.users, authorization).await {
            Ok(name) => Ok(Some(User(name))),
            Err(Denied::Unauthorized) => {
                self.config.counts.unauthorized.inc();
                let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))];
                Err((StatusCode::UNAUTHORIZED, challenge, "Unauthorized\n").into_response())
            }
            Err(Denied::Busy) => {
                let retry = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
                let text = "too many passwords are being checked: try again\n";
                Err((StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response())
            }
        }
    }

    async fn route(self, user: Option<User>, request: Request<Incoming>) -> Response {
        let mut request = request.map(|body| Body::new(TimeoutBody::new(BODY_PAUSE_MAX, body)));
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.peer));
        extensions.insert(IsTls(self.is_tls));
        if let Some(user) = user {
            extensions.insert(user);
        }
        // The panic itself is logged by the hook of `telemetry`; the client deserves more than a closed connection.
        match AssertUnwindSafe(self.router.oneshot(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response(),
        }
    }
}

/// Whether the credentials are a token (RFC 6750).
fn is_bearer(authorization: &HeaderValue) -> bool {
    authorization.as_bytes().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "))
}
