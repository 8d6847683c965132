//! The grpc prober against a health service written out by hand.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::{
    harness::{Prober, Samples, canned, closed_port, raw_server},
    reference::{Original, assert_same},
    tls::{authority, grpc_server},
};

/// Answers by the name of the service that is asked for.
pub(crate) async fn health(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let key =
        request.headers().get("x-key").map_or_else(String::new, |v| v.to_str().unwrap().to_owned());
    let is_health = request.uri().path() == "/grpc.health.v1.Health/Check";
    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let service = String::from_utf8_lossy(body.get(7..).unwrap_or_default()).into_owned();
    let (code, status): (u16, Option<u8>) = match service.as_str() {
        _ if !is_health => (12, None),
        "" | "good" => (0, Some(1)),
        "bad" => (0, Some(2)),
        "odd" => (0, Some(9)),
        "garbled" => (0, None),
        "keyed" if key == "secret" => (0, Some(1)),
        "keyed" => (16, None),
        _ => (5, None),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", HeaderValue::from_static("so it is"));
    let message = status.map(|status| Ok(Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]))));
    let frames = message.into_iter().chain([Ok(Frame::trailers(trailers))]);
    let mut response =
        Response::new(StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>())));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

pub(crate) async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service_fn(health)).await;
            });
        }
    });
    address
}

async fn probe(keys: &str, target: impl ToString) -> Samples {
    let yaml = format!("modules:\n  m:\n    prober: grpc\n    timeout: 1s\n    grpc: {{{keys}}}\n");
    Prober::start(&yaml).await.probe("m", &target.to_string()).await
}

#[tokio::test]
async fn what_services_say() {
    let server = server().await;
    for (keys, code, status, failure) in [
        ("", 0.0, Some("SERVING"), None),
        ("service: good", 0.0, Some("SERVING"), None),
        ("service: bad", 0.0, Some("NOT_SERVING"), Some(("validate", "not_serving"))),
        ("service: odd", 0.0, Some("UNKNOWN"), Some(("validate", "not_serving"))),
        ("service: none", 5.0, None, Some(("validate", "grpc_status"))),
        ("service: garbled", 14.0, None, Some(("processing", "protocol"))),
        ("service: keyed", 16.0, None, Some(("validate", "grpc_status"))),
        (
            "service: keyed, metadata: {X-Key: [secret], a-bin: [\"\\0\"]}",
            0.0,
            Some("SERVING"),
            None,
        ),
    ] {
        let samples = probe(keys, server).await;
        match failure {
            None => samples.assert_success(),
            Some((phase, reason)) => samples.assert_failure(phase, reason),
        }
        samples.assert(&[("probe_grpc_status_code", code), ("probe_grpc_ssl", 0.0)]);
        for name in ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] {
            let series = format!("probe_grpc_healthcheck_response{{serving_status=\"{name}\"}}");
            assert_eq!(
                samples.get(&series),
                f64::from(u8::from(status == Some(name))),
                "{keys} {name}"
            );
        }
    }
}

#[tokio::test]
async fn servers_that_are_not_there_or_not_grpc() {
    let samples = probe("", closed_port().await).await;
    samples.assert_failure("connect", "refused");
    assert_eq!(samples.get("probe_grpc_status_code"), 14.0);
    let http1 = canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(probe("", http1).await.get("probe_success"), 0.0);
    let silent = raw_server(|stream| async move {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        drop(stream);
    })
    .await;
    let samples = probe("", silent).await;
    samples.assert_failure("processing", "timeout");
    assert_eq!(samples.get("probe_grpc_status_code"), 4.0);
}

#[tokio::test]
async fn over_tls() {
    let authority = authority();
    let identity = authority.issue(&["localhost"], 2020, 2080);
    let address = grpc_server(&identity).await;
    let target = format!("localhost:{}", address.port());
    let samples = probe(
        &format!("tls: true, tls_config: {{ca_file: {}}}", authority.file.display()),
        &target,
    )
    .await;
    samples.assert_success();
    samples.assert(&[("probe_grpc_ssl", 1.0), ("probe_ssl_earliest_cert_expiry", 3_471_292_800.0)]);
    assert!(!samples.text.contains("probe_ssl_last_chain_expiry"), "{}", samples.text);
    let samples = probe("tls: true", &target).await;
    samples.assert_failure("tls", "cert_untrusted");
    samples.assert(&[("probe_grpc_ssl", 0.0), ("probe_grpc_status_code", 14.0)]);
}

#[tokio::test]
async fn grpc_probes_are_the_same() {
    let yaml = r#"
modules:
  all: {prober: grpc, timeout: 1s, grpc: {}}
  good: {prober: grpc, timeout: 1s, grpc: {service: good}}
  bad: {prober: grpc, timeout: 1s, grpc: {service: bad}}
  none: {prober: grpc, timeout: 1s, grpc: {service: none}}
"#;
    let Some(original) = Original::start(yaml) else { return };
    let ours = Prober::start(yaml).await;
    let server = server().await.to_string();
    let closed = closed_port().await.to_string();
    for (module, target) in
        [("all", &server), ("good", &server), ("bad", &server), ("none", &server), ("all", &closed)]
    {
        // Version 0.23 tells this family even where there is no certificate; later ones do not.
        let theirs = original.probe(module, target).await.without("probe_ssl_earliest_cert_expiry");
        assert_same(&format!("{module} {target}"), &ours.probe(module, target).await, &theirs);
    }
}
