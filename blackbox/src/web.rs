//! What the prober answers over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `/probe?module&target[&hostname][&debug=true]` | makes a probe; families in text 0.0.4, 200 also for a failed one |
//! | `/logs?id` or `/logs?target[&module]` | what a past probe told |
//! | `/config` | the configuration with all defaults, secrets hidden |
//! | `POST /-/reload` | reads the configuration anew |
//! | `/-/healthy`, `/-/ready`, `/metrics` | as everywhere |
//! | everything else | a page with the recent probes |

mod landing;
mod logs;
mod probe;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use service::{
    Health,
    reload::{Reload, ReloadError},
};
use tower_http::compression::CompressionLayer;
use url::Url;

use crate::blackbox::Blackbox;

/// What handlers share.
#[derive(Clone, Debug)]
struct App {
    blackbox: Blackbox,
    /// The path under which everything lies as seen from outside, without a slash at its end.
    outer_path: String,
    reload: Option<Reload>,
}

/// Under which address the prober is reached, and under which path it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalUrl {
    url: Url,
    /// `/` or `/prefix`.
    route_prefix: String,
}

impl ExternalUrl {
    pub(crate) fn new(
        url: Option<&str>,
        route_prefix: Option<&str>,
        port: u16,
    ) -> anyhow::Result<Self> {
        let text = match url.unwrap_or_default() {
            "" => format!("http://localhost:{port}/"),
            text if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) => {
                anyhow::bail!("--web.external-url must not begin or end with quotes");
            }
            text if text.contains("://") => text.to_owned(),
            text => format!("http://{text}"),
        };
        let mut url = Url::parse(&text)
            .map_err(|err| anyhow::anyhow!("--web.external-url `{text}` is not a URL: {err}"))?;
        let path = format!("/{}", url.path().trim_matches('/'));
        url.set_path(if path == "/" { "" } else { &path });
        let prefix = route_prefix.filter(|prefix| !prefix.is_empty()).unwrap_or(&path);
        let prefix = format!("/{}", prefix.trim_matches('/'));
        anyhow::ensure!(
            !prefix.contains(['{', '}', '*', '?', '#']),
            "--web.route-prefix `{prefix}` must be a plain path"
        );
        Ok(Self { url, route_prefix: prefix })
    }

    fn outer_path(&self) -> String {
        self.url.path().trim_end_matches('/').to_owned()
    }
}

/// Everything under the route prefix.
pub(crate) fn router(
    blackbox: &Blackbox,
    health: Health,
    reload: Option<Reload>,
    external: &ExternalUrl,
) -> Router {
    let inner = routes(blackbox, health, reload, external.outer_path());
    if external.route_prefix == "/" {
        return inner;
    }
    let home = external.url.to_string();
    Router::new()
        .route("/", get(move || async move { (StatusCode::FOUND, [(header::LOCATION, home)]) }))
        // A prefix without its slash has relative links that lead astray.
        .route(
            &external.route_prefix,
            get({
                let with_slash = format!("{}/", external.route_prefix);
                move || async move { Redirect::temporary(&with_slash) }
            }),
        )
        .nest(&external.route_prefix, inner)
}

impl Blackbox {
    /// All pages under `/`. `reload` is what `/-/reload` asks, where the program offers that.
    pub fn router(&self, reload: Option<Reload>) -> Router {
        let health = Health::default();
        health.ready();
        routes(self, health, reload, String::new())
    }
}

fn routes(
    blackbox: &Blackbox,
    health: Health,
    reload: Option<Reload>,
    outer_path: String,
) -> Router {
    let metrics = blackbox.metrics().clone();
    let app = App { blackbox: blackbox.clone(), outer_path, reload };
    let own = Router::new()
        .route("/probe", any(probe::probe))
        .route("/logs", get(logs::logs))
        .route("/config", get(config))
        .route("/-/reload", post(reload_now).fallback(reload_needs_post))
        .fallback(landing::landing)
        .with_state(app);
    metrics
        .observe(own)
        .merge(service::admin::router(health, metrics))
        .layer(CompressionLayer::new())
}

async fn config(State(app): State<App>) -> Response {
    plain(StatusCode::OK, app.blackbox.config().to_yaml())
}

async fn reload_now(State(app): State<App>) -> Response {
    let Some(reload) = &app.reload else {
        let message =
            "this prober reloads together with the program that it is part of\n".to_owned();
        return plain(StatusCode::FORBIDDEN, message);
    };
    match reload.request().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(ReloadError::Refused { reason }) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {reason}\n"))
        }
        Err(err) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, format!("failed to reload config: {err}\n"))
        }
    }
}

async fn reload_needs_post() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "This endpoint requires a POST request.\n".to_owned())
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        // The text holds what others sent; it must stay text in every browser.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_urls() {
        for (url, prefix, outer, inner) in [
            (None, None, "", "/"),
            (Some("http://proxy.example/bb/"), None, "/bb", "/bb"),
            (Some("http://proxy.example/bb"), Some("/"), "/bb", "/"),
            (Some("proxy.example:9115"), Some("x/"), "", "/x"),
            (Some(""), Some(""), "", "/"),
        ] {
            let external = ExternalUrl::new(url, prefix, 9115).unwrap();
            assert_eq!(external.outer_path(), outer, "{url:?}");
            assert_eq!(external.route_prefix, inner, "{url:?}");
        }
        for wrong in ["\"http://x/\"", "'http://x'", "http://"] {
            assert!(ExternalUrl::new(Some(wrong), None, 9115).is_err(), "{wrong}");
        }
        assert!(ExternalUrl::new(None, Some("/{x}"), 9115).is_err());
    }
}
