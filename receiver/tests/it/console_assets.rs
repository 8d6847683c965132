//! The console's files: nothing inline, nothing from elsewhere, everything preloaded, vendored files as they came.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use receiver::http::console;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("console")
}

/// Every file below the console's folder, by its path in it.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

fn scripts() -> BTreeMap<String, String> {
    let scripts = files().into_iter().filter(|(name, _)| name.ends_with(".js"));
    scripts.map(|(name, text)| (name, String::from_utf8(text).unwrap())).collect()
}

pub(crate) async fn get(router: Router, path: &str) -> (u16, HeaderMap, Bytes) {
    let request = Request::get(path).header("accept", "text/html").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn page() -> (HeaderMap, String) {
    let (status, headers, body) = get(console::router(), "/").await;
    assert_eq!(status, 200);
    (headers, String::from_utf8(body.to_vec()).unwrap())
}

/// What stands in quotes after each `before`.
fn quoted(text: &str, before: &str) -> Vec<String> {
    text.split(before).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_page_has_nothing_inline_and_a_strict_policy() {
    let (headers, page) = page().await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    for script in page.split("<script").skip(1) {
        let (attributes, rest) = script.split_once('>').unwrap();
        assert!(attributes.contains("src=\"/assets/"), "{attributes}");
        assert!(rest.starts_with("</script>"), "an inline script: {rest}");
    }
    for forbidden in
        ["<style", " style=", " onclick=", " onload=", "importmap", "http://", "https://"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

/// The modules that are reached from `app.js`.
fn reached(scripts: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec!["app.js".to_owned()];
    while let Some(name) = next.pop() {
        if !reached.insert(name.clone()) {
            continue;
        }
        let text =
            scripts.get(&name).unwrap_or_else(|| panic!("{name} is imported and is not there"));
        let mut imports = quoted(text, "from \"");
        imports.extend(quoted(text, "from\""));
        imports.extend(quoted(text, "import \""));
        for import in imports.iter().filter(|import| !import.contains(' ')) {
            assert!(
                import.starts_with("./") || import.starts_with("../"),
                "{name}: bare import {import}"
            );
            let mut path: Vec<_> = name.split('/').collect();
            path.pop();
            for part in import.split('/') {
                match part {
                    "." => {}
                    ".." => assert!(path.pop().is_some(), "{name}: {import}"),
                    part => path.push(part),
                }
            }
            next.push(path.join("/"));
        }
    }
    reached
}

#[tokio::test]
async fn every_module_is_preloaded_and_used() {
    let (_, page) = page().await;
    let base = page.split("/assets/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let prefix = format!("/assets/{base}/");
    let preloaded: BTreeSet<_> = quoted(&page, "<link rel=\"modulepreload\" href=\"")
        .into_iter()
        .map(|href| href.strip_prefix(&prefix).unwrap().to_owned())
        .collect();
    let scripts = scripts();
    assert_eq!(preloaded, reached(&scripts));
    let unused: Vec<_> = scripts.keys().filter(|name| !preloaded.contains(*name)).collect();
    assert_eq!(unused, ["theme.js"], "a plain script, for it must run before the first paint");
    let mut all = quoted(&page, "href=\"/assets/");
    all.extend(quoted(&page, "src=\"/assets/"));
    assert!(all.len() > preloaded.len());
    for path in all {
        let (status, headers, body) = get(console::router(), &format!("/assets/{path}")).await;
        assert_eq!(status, 200, "{path}");
        assert!(!body.is_empty(), "{path}");
        let expected = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{other}"),
        };
        assert_eq!(headers["content-type"], expected, "{path}");
    }
}

#[tokio::test]
async fn pages_by_their_address() {
    for path in ["/", "/monitors", "/status", "/servers/db-1%3A9100", "/servers/a/b"] {
        let (status, headers, _) = get(console::router(), path).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
    }
    let router = console::router().fallback(console::not_found);
    let (status, headers, _) = get(router.clone(), "/nowhere").await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (404, "text/html; charset=utf-8")
    );
    for path in ["/assets/0000000000000000/app.js", "/assets/0000000000000000/../../Cargo.toml"] {
        let (status, headers, _) = get(router.clone(), path).await;
        assert_eq!(
            (status, headers["cache-control"].to_str().unwrap()),
            (404, "no-store"),
            "{path}"
        );
    }
    let request = Request::get("/nowhere").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 404);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
}

#[test]
fn nothing_comes_from_elsewhere() {
    for (name, text) in scripts() {
        for forbidden in
            ["sourceMappingURL", "eval(", "new Function", "innerHTML =", "document.write"]
        {
            // Preact sets innerHTML for a property that nobody here uses.
            assert!(!text.contains(forbidden), "{name}: {forbidden}");
        }
        if !name.starts_with("vendor/") {
            for forbidden in ["dangerouslySetInnerHTML", "https://", "//cdn"] {
                let text = text.replace("https://example.org", "");
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
            assert!(text.starts_with("//"), "{name} does not say what it is for");
        }
    }
}

/// `vendor/README.md` lists each file with its hash; what it does not list must not lie there.
#[test]
fn vendored_files_are_what_the_readme_says() {
    let readme = fs::read_to_string(folder().join("vendor/README.md")).unwrap();
    let listed: BTreeMap<_, _> = readme
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let hash = cells.last()?.trim_matches('`');
            (hash.len() == 64).then(|| (cells[0].trim_matches('`').to_owned(), hash.to_owned()))
        })
        .collect();
    let found: BTreeMap<_, _> = files()
        .into_iter()
        .filter_map(|(name, text)| Some((name.strip_prefix("vendor/")?.to_owned(), text)))
        .filter(|(name, _)| name != "README.md")
        .map(|(name, text)| {
            let hash = Sha256::digest(&text);
            (name, hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        })
        .collect();
    assert_eq!(found, listed);
}
