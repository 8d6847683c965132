//! Who may do what over HTTP: the one table of routes and scopes, and the check that every request passes.
//!
//! Beyond loopback every route but health and readiness needs a bearer token of the right scope, or what the file of
//! `--web.config.file` asks for instead (a password or a certificate, which allow everything). On loopback everything is
//! open unless `--web.require-token` is given. Browsers, which cannot be told to send a bearer token, ask their user for a
//! name and a password: the token is the password, the name is not looked at. They then send it for pages, scripts and
//! live updates alike, and nothing has to be kept in a cookie or a page.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use service::web::{self, User};
use tracing::error;

use crate::token::{Keyring, Scope, Verdict};

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// For load balancers and orchestrators, which have no credentials; says nothing but yes or no.
    Nothing,
    Token(Scope),
}

/// Every route and what it needs: a route that is not here is not served. Paths are written as in `Router::route`.
pub(crate) const NEEDS: &[(&str, Need)] = &[
    ("/-/healthy", Need::Nothing),
    ("/-/ready", Need::Nothing),
    ("/-/reload", Need::Token(Scope::Admin)),
    ("/-/quit", Need::Token(Scope::Admin)),
    ("/api/v1/write", Need::Token(Scope::Write)),
    ("/api/v1/push", Need::Token(Scope::Write)),
    ("/api/v1/admin/tsdb/delete_series", Need::Token(Scope::Admin)),
    ("/api/v1/admin/tokens", Need::Token(Scope::Admin)),
    ("/api/v1/admin/tokens/{id}", Need::Token(Scope::Admin)),
    ("/api/v1/status/storage", Need::Token(Scope::Read)),
    ("/api/v1/query", Need::Token(Scope::Read)),
    ("/api/v1/query_range", Need::Token(Scope::Read)),
    ("/api/v1/format_query", Need::Token(Scope::Read)),
    ("/api/v1/parse_query", Need::Token(Scope::Read)),
    ("/api/v1/series", Need::Token(Scope::Read)),
    ("/api/v1/labels", Need::Token(Scope::Read)),
    ("/api/v1/label/{name}/values", Need::Token(Scope::Read)),
    ("/api/v1/query_exemplars", Need::Token(Scope::Read)),
    ("/api/v1/rules", Need::Token(Scope::Read)),
    ("/api/v1/alerts", Need::Token(Scope::Read)),
    ("/api/v1/status/buildinfo", Need::Token(Scope::Read)),
    ("/api/v1/status/runtimeinfo", Need::Token(Scope::Read)),
    ("/api/v1/status/tsdb", Need::Token(Scope::Read)),
    ("/api/v1/status/flags", Need::Token(Scope::Read)),
    ("/api/v1/status/config", Need::Token(Scope::Read)),
    ("/api/v1/metadata", Need::Token(Scope::Read)),
    ("/api/v1/read", Need::Token(Scope::Read)),
    ("/api/v1/agents", Need::Token(Scope::Read)),
    ("/api/v1/agents/register", Need::Token(Scope::Write)),
    ("/api/v1/agents/live", Need::Token(Scope::Write)),
    ("/api/v1/agents/settings", Need::Token(Scope::Admin)),
    ("/api/v1/agents/forget", Need::Token(Scope::Admin)),
    ("/api/v1/sd", Need::Token(Scope::Read)),
    ("/api/v1/live", Need::Token(Scope::Read)),
    ("/api/v1/live/snapshot", Need::Token(Scope::Read)),
    ("/metrics", Need::Token(Scope::Read)),
    ("/", Need::Token(Scope::Read)),
    ("/servers/{*instance}", Need::Token(Scope::Read)),
    ("/monitors", Need::Token(Scope::Read)),
    ("/status", Need::Token(Scope::Read)),
    ("/assets/{hash}/{*path}", Need::Token(Scope::Read)),
];

/// Every route that needs a token, and with which scope: for tests that walk them.
#[cfg(feature = "testing")]
pub fn routes() -> impl Iterator<Item = (&'static str, Option<Scope>)> {
    NEEDS.iter().map(|(path, need)| match need {
        Need::Nothing => (*path, None),
        Need::Token(scope) => (*path, Some(*scope)),
    })
}

/// Of what is not found: who may not read is not told what there is.
const NEED_OF_OTHERS: Need = Need::Token(Scope::Read);

/// Longer is no token of anybody's.
const CREDENTIAL_BYTES_MAX: usize = 1024;

/// Who is let in.
#[derive(Clone, Debug, Default)]
pub struct Access {
    web: web::Config,
    is_wide: bool,
    is_token_required: bool,
}

impl Access {
    /// Everybody, as on loopback.
    pub fn open() -> Self {
        Self::default()
    }

    /// What the addresses call for. `web` has to let bearers pass ([`web::Config::letting_bearers_pass`]).
    pub fn new(web: web::Config, addresses: &[SocketAddr], is_token_required: bool) -> Self {
        Self { web, is_wide: web::exposure::is_wide(addresses), is_token_required }
    }

    /// Whether a request needs a token, unless a user's password was right. Asked for each request: the file of
    /// `--web.config.file` may change.
    pub fn needs_token(&self) -> bool {
        self.is_token_required
            || self.web.asks_for_password()
            || (self.is_wide && !self.web.asks_for_credentials())
    }
}

/// Requests that were not let in, by reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denied(Family<ByReason, Counter>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reason {
    NoToken,
    UnknownToken,
    OutOfScope,
    ForeignPage,
    Unavailable,
}

service::label_values!(Reason);

impl Denied {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let denied = Self::default();
        registry.register(
            "receiver_requests_denied",
            "Requests that were not let in, by reason",
            denied.0.clone(),
        );
        denied
    }
}

#[derive(Clone)]
struct Guard {
    access: Access,
    keyring: Keyring,
    denied: Denied,
}

/// Puts the guard before all routes, also before what answers for those that are not there.
pub(crate) fn guarded(router: Router, access: Access, keyring: Keyring, denied: Denied) -> Router {
    let guard = Arc::new(Guard { access, keyring, denied });
    router.layer(middleware::from_fn_with_state(guard, check))
}

async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let need = match path {
        None => NEED_OF_OTHERS,
        Some(path) => match NEEDS.iter().find(|(known, _)| *known == path) {
            Some((_, need)) => *need,
            None => {
                error!("the route {path} is not in the table of scopes");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        },
    };
    let Need::Token(scope) = need else { return next.run(request).await };
    let credential = credential(request.headers());
    // A browser sends its user's password, and reaches what is open on this machine, whichever page makes it ask.
    let is_ambient = !matches!(credential, Some(Credential::Bearer(_)));
    let changes = scope != Scope::Read && !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_ambient && changes && !super::live::is_same_origin(request.headers()) {
        return guard.refuse(Reason::ForeignPage, scope);
    }
    if !guard.access.needs_token() || request.extensions().get::<User>().is_some() {
        return next.run(request).await;
    }
    let Some(Credential::Bearer(token) | Credential::Password(token)) = credential else {
        return guard.refuse(Reason::NoToken, scope);
    };
    match guard.keyring.judge(&token, scope).await {
        Verdict::Pass(pass) => {
            request.extensions_mut().insert(pass);
            next.run(request).await
        }
        Verdict::Unknown => guard.refuse(Reason::UnknownToken, scope),
        Verdict::OutOfScope => guard.refuse(Reason::OutOfScope, scope),
        Verdict::Unavailable => guard.refuse(Reason::Unavailable, scope),
    }
}

impl Guard {
    fn refuse(&self, reason: Reason, scope: Scope) -> Response {
        self.denied.0.get_or_create(&ByReason { reason }).inc();
        match reason {
            Reason::NoToken => unauthorized(
                "Bearer realm=\"watchpost\"",
                "this needs a token: send `Authorization: Bearer <token>`; `watchpost token create` makes one\n",
            ),
            Reason::UnknownToken => unauthorized(
                "Bearer realm=\"watchpost\", error=\"invalid_token\"",
                "this token is not known: it was revoked, has expired, or is not of this database\n",
            ),
            Reason::OutOfScope => {
                let challenge = format!(
                    "Bearer realm=\"watchpost\", error=\"insufficient_scope\", scope=\"{scope}\""
                );
                let text = format!("this needs a token with the scope `{scope}`\n");
                (StatusCode::FORBIDDEN, [(header::WWW_AUTHENTICATE, challenge)], text)
                    .into_response()
            }
            Reason::ForeignPage => {
                let text = "this request comes from a page of another origin\n";
                (StatusCode::FORBIDDEN, text).into_response()
            }
            Reason::Unavailable => super::error::unavailable(
                "tokens cannot be checked: the database did not answer in time\n".to_owned(),
            ),
        }
    }
}

/// 401, for programs and for browsers.
fn unauthorized(challenge: &'static str, text: &'static str) -> Response {
    let mut response = (StatusCode::UNAUTHORIZED, text).into_response();
    let headers = response.headers_mut();
    headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    let for_browsers = "Basic realm=\"watchpost: the password is a token\", charset=\"UTF-8\"";
    headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(for_browsers));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a request brings to be let in. No `Debug`: it must not be printed.
enum Credential {
    /// RFC 6750.
    Bearer(String),
    /// Of RFC 7617, under any name.
    Password(String),
}

fn credential(headers: &HeaderMap) -> Option<Credential> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    if text.len() > CREDENTIAL_BYTES_MAX {
        return None;
    }
    let (scheme, rest) = text.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credential::Bearer(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    Some(Credential::Password(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn credential_of(value: &str) -> Option<(bool, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        credential(&headers).map(|credential| match credential {
            Credential::Bearer(token) => (true, token),
            Credential::Password(token) => (false, token),
        })
    }

    #[test]
    fn a_token_is_a_bearer_or_a_password() {
        assert_eq!(credential_of("Bearer wpt_x"), Some((true, "wpt_x".to_owned())));
        assert_eq!(credential_of("bearer  wpt_x "), Some((true, "wpt_x".to_owned())));
        assert_eq!(credential_of("Basic YW55OndwdF94"), Some((false, "wpt_x".to_owned())));
        for none in
            ["", "wpt_x", "Digest x", "Basic !", "Basic YW55", &format!("Bearer {:2000}", 1)]
        {
            assert_eq!(credential_of(none), None, "{none}");
        }
    }

    /// Whoever adds a route and forgets its scope learns of it here; `check` refuses it as well.
    #[test]
    fn every_route_in_the_source_is_in_the_table() {
        fn read(folder: &Path, written: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, written);
                    continue;
                }
                let text = fs::read_to_string(path).unwrap();
                let first = |rest: &str| {
                    Some(rest.trim_start().strip_prefix('"')?.split('"').next()?.to_owned())
                };
                // A file that nests its routes nests all of them.
                let nest = text.split_once(concat!(".ne", "st("));
                let prefix = nest.and_then(|(_, rest)| first(rest)).unwrap_or_default();
                let routes = text.split(concat!(".rou", "te(")).skip(1).filter_map(first);
                written.extend(routes.map(|route| prefix.clone() + &route));
            }
        }
        let mut written = BTreeSet::new();
        read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http")), &mut written);
        assert!(written.len() > 8, "{written:?}");
        let of_service = ["/-/healthy", "/-/ready", "/-/reload", "/-/quit", "/metrics"];
        let known: BTreeSet<&str> = NEEDS.iter().map(|(path, _)| *path).collect();
        assert_eq!(known.len(), NEEDS.len(), "a route is there twice");
        let all: BTreeSet<&str> = written.iter().map(String::as_str).chain(of_service).collect();
        assert_eq!(known, all);
    }

    #[test]
    fn tokens_are_needed_where_others_can_come() {
        let (near, far) = ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap());
        let needs = |address, always| {
            Access::new(web::Config::default(), &[near, address], always).needs_token()
        };
        assert!(!needs(near, false) && needs(far, false) && needs(near, true));
        assert!(!Access::open().needs_token());
    }
}
