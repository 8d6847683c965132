//! The console: static files, embedded in the executable.
//!
//! There is no build step: what lies in `receiver/console` is what browsers get. All files are served under a folder
//! named by their common hash, so they never change and are cached for ever; the page itself is asked for each time
//! and names the folder. In debug builds the files are read from disk: save, reload, see.

use std::sync::OnceLock;

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use rust_embed::Embed;
use sha2::{Digest, Sha256};
use tower_http::compression::CompressionLayer;

#[derive(Embed)]
#[folder = "console/"]
struct Files;

/// Scripts, styles, pictures and connections from here only; nothing inline; no frames, forms or other bases.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Characters of the hash that name the folder: 64 bits.
const HASH_CHARACTERS: usize = 16;

/// The pages and their files.
pub fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/servers/{*instance}", get(page))
        .route("/monitors", get(page))
        .route("/status", get(page))
        .route("/assets/{hash}/{*path}", get(asset))
        .layer(CompressionLayer::new())
}

/// For a router's fallback: a page for people, a line for programs.
pub async fn not_found(headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        (StatusCode::NOT_FOUND, page().await).into_response()
    } else {
        (StatusCode::NOT_FOUND, "Not found.\n").into_response()
    }
}

async fn page() -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    (headers, Html(Console::now().page)).into_response()
}

async fn asset(Path((hash, path)): Path<(String, String)>) -> Response {
    let file = Files::get(&path).filter(|_| hash == Console::now().hash);
    let Some(file) = file else {
        return (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], "Not found.\n")
            .into_response();
    };
    let cached =
        if cfg!(debug_assertions) { "no-cache" } else { "public, max-age=31536000, immutable" };
    let mut response = Response::new(Body::from(file.data.into_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("html") => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

/// The page and the name of the folder its files are in.
#[derive(Clone, Debug)]
struct Console {
    hash: String,
    page: String,
}

impl Console {
    fn now() -> Self {
        static EMBEDDED: OnceLock<Console> = OnceLock::new();
        if cfg!(debug_assertions) { Self::read() } else { EMBEDDED.get_or_init(Self::read).clone() }
    }

    fn read() -> Self {
        let mut hash = Sha256::new();
        let mut modules = String::new();
        let mut paths: Vec<_> = Files::iter().collect();
        paths.sort_unstable();
        for path in &paths {
            let Some(file) = Files::get(path) else { continue };
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update(file.metadata.sha256_hash());
        }
        let hash: String = hash
            .finalize()
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(hex)
            .take(HASH_CHARACTERS)
            .collect();
        for path in paths.iter().filter(|path| is_module(path)) {
            modules += &format!("<link rel=\"modulepreload\" href=\"/assets/{hash}/{path}\">\n");
        }
        let template =
            Files::get("index.html").map(|file| file.data.into_owned()).unwrap_or_default();
        let page = String::from_utf8_lossy(&template)
            .replace("<!-- modules -->\n", &modules)
            .replace("/assets/-/", &format!("/assets/{hash}/"));
        Self { hash, page }
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).expect("four bits")
}

/// Every script is a module but the one that must run before the first paint.
fn is_module(path: &str) -> bool {
    path.ends_with(".js") && path != "theme.js"
}
