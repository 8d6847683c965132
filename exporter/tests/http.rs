//! The pages as clients see them: formats, filters, limits, compression.

#![cfg(unix)]

use std::io::Read;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use exporter::{Config, Exporter};
use http_body_util::BodyExt;
use tower::ServiceExt;

fn router(change: impl FnOnce(&mut Config)) -> Router {
    let mut config = Config::default();
    config.selection.disable_defaults();
    for name in ["loadavg", "uname", "meminfo"] {
        config.selection.set(name, true);
    }
    change(&mut config);
    Exporter::new(&config).unwrap().router()
}

async fn get(
    router: &Router,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn both_formats_compressed_and_not() {
    let router = router(|_| {});
    for (accept, content_type, last_line) in [
        (None, "text/plain; version=0.0.4; charset=utf-8", "uname"),
        (
            Some("application/openmetrics-text;version=1.0.0"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# EOF\n",
        ),
    ] {
        let mut headers = Vec::new();
        headers.extend(accept.map(|accept| ("accept", accept)));
        let (status, answer, plain) = get(&router, "/metrics", &headers).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer[header::CONTENT_TYPE], content_type);
        assert!(!answer.contains_key(header::CONTENT_ENCODING));
        let plain = String::from_utf8(plain).unwrap();
        assert!(plain.contains("node_load1 "));
        assert!(plain.ends_with(last_line) || last_line == "uname");

        headers.push(("accept-encoding", "gzip"));
        let (_, answer, packed) = get(&router, "/metrics", &headers).await;
        assert_eq!(answer[header::CONTENT_ENCODING], "gzip");
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked.contains("node_load1 "));
        assert!(packed.len() < unpacked.len() / 3);
    }
}

#[tokio::test]
async fn a_scrape_chooses_its_collectors() {
    let router = router(|_| {});
    let names = |body: &[u8]| {
        let text = String::from_utf8(body.to_vec()).unwrap();
        let running = text.lines().filter_map(|line| {
            line.strip_prefix("node_scrape_collector_success{collector=\"")?.split('"').next()
        });
        running.map(str::to_owned).collect::<Vec<_>>()
    };
    let (_, _, body) = get(&router, "/metrics?collect[]=uname", &[]).await;
    assert_eq!(names(&body), ["uname"]);
    let (_, _, body) = get(&router, "/metrics?exclude[]=uname", &[]).await;
    assert_eq!(names(&body), ["loadavg", "meminfo"]);
    for (query, text) in [
        ("collect[]=nonsense", "missing collector: nonsense\n"),
        ("collect[]=cpu", "disabled collector: cpu\n"),
        (
            "collect[]=uname&exclude[]=loadavg",
            "Combined collect and exclude queries are not allowed.\n",
        ),
    ] {
        let (status, _, body) = get(&router, &format!("/metrics?{query}"), &[]).await;
        assert_eq!(
            (status, String::from_utf8(body).unwrap().as_str()),
            (StatusCode::BAD_REQUEST, text)
        );
    }
}

#[tokio::test]
async fn other_pages() {
    let router = router(|config| config.telemetry_path = "/m".to_owned());
    let (status, headers, body) = get(&router, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(String::from_utf8(body).unwrap().contains("href=\"/m\""));
    for (path, status) in
        [("/m", 200), ("/metrics", 404), ("/-/healthy", 200), ("/-/ready", 200), ("/x", 404)]
    {
        assert_eq!(get(&router, path, &[]).await.0.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn own_metrics_can_be_left_out() {
    let (_, _, with) = get(&router(|_| {}), "/metrics", &[]).await;
    let with = String::from_utf8(with).unwrap();
    for name in ["promhttp_metric_handler_requests_total{code=\"200\"} 0\n", "process_open_fds "] {
        assert!(with.contains(name), "{name}");
    }
    let quiet = router(|config| config.disable_exporter_metrics = true);
    let (_, _, without) = get(&quiet, "/metrics", &[]).await;
    let without = String::from_utf8(without).unwrap();
    assert!(!without.contains("promhttp_") && !without.contains("process_"));
    assert!(without.contains("node_exporter_build_info{"));
}
