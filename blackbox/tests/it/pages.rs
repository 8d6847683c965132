//! Everything but the probes themselves: pages, parameters, debug output, reloads.

use std::time::Duration;

use blackbox::{Blackbox, Config, Settings, config::Source};

use super::harness::{Prober, canned, probe_path, request, serve};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const MODULE: &str =
    "modules: {http_2xx: {prober: http, timeout: 5s, http: {bearer_token: mysecret}}}";

#[tokio::test]
async fn wrong_requests() {
    let prober = Prober::start(MODULE).await;
    for (path, status, body) in [
        ("/probe?module=nope&target=x", 400, "Unknown module \"nope\"\n"),
        ("/probe", 400, "Target parameter is missing\n"),
        ("/probe?target=", 400, "Target parameter is missing\n"),
        ("/logs", 400, "Probe id or target must be defined as http query parameters\n"),
        ("/logs?id=x", 400, "Invalid probe id\n"),
        ("/logs?id=1&target=x", 400, "Probe id and target can't be defined at the same time\n"),
        ("/logs?module=x", 400, "Target must be defined together with module\n"),
        ("/logs?id=999", 404, "Probe id not found\n"),
        ("/logs?target=x", 404, "Probe target not found\n"),
        ("/-/reload", 405, "This endpoint requires a POST request.\n"),
    ] {
        let answer = prober.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
    }
    let header = "X-Prometheus-Scrape-Timeout-Seconds: soon\r\n";
    let answer = request(prober.address, "GET", "/probe?target=x", header).await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.starts_with("Failed to parse timeout from Prometheus header"),
        "{}",
        answer.body
    );
    let metrics = prober.get("/metrics").await;
    assert!(metrics.body.contains("blackbox_module_unknown_total 1"), "{}", metrics.body);
}

#[tokio::test]
async fn a_probe_is_told_in_all_places() {
    let prober = Prober::start(MODULE).await;
    let target = canned(OK).await;
    let url = format!("http://{target}/");
    let header = "X-Prometheus-Scrape-Timeout-Seconds: 2\r\nAccept-Encoding: gzip\r\n";
    let answer = request(prober.address, "POST", &probe_path("", &url, ""), header).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    let plain = prober.get(&probe_path("http_2xx", &url, "&debug=1")).await;
    assert!(plain.body.contains("\nprobe_success 1\n"), "{}", plain.body);
    let debug = prober.get(&probe_path("http_2xx", &url, "&debug=true")).await.body;
    for part in [
        "Logs for the probe:\n",
        "msg=\"Beginning probe\" module=http_2xx",
        "timeout_seconds=5",
        "Metrics that would have been returned:\n",
        "\nprobe_success 1\n",
        "Module configuration:\n",
        "bearer_token: <secret>",
    ] {
        assert!(debug.contains(part), "{part} in\n{debug}");
    }
    assert!(!debug.contains("mysecret"), "{debug}");
    assert_eq!(prober.get("/logs?id=3").await.body, debug);
    let by_target = prober.get(&format!("/logs?module=http_2xx&target={url}")).await;
    assert_eq!(by_target.body, debug);
    let page = prober.get("/any/path").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<a href=\"/logs?id=3\">Logs</a>"), "{}", page.body);
    assert!(
        page.head.to_lowercase().contains("content-security-policy: default-src 'none'"),
        "{}",
        page.head
    );
    let config = prober.get("/config").await;
    assert!(
        config.body.contains("bearer_token: <secret>") && config.body.contains("timeout: 5s"),
        "{}",
        config.body
    );
    assert_eq!(prober.get("/-/healthy").await.status, 200);
    assert_eq!(prober.get("/-/ready").await.status, 200);
    let metrics = prober.get("/metrics").await.body;
    assert!(
        metrics.contains("blackbox_probes_total{prober=\"http\",result=\"success\"} 3"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_wrong_new_configuration_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blackbox.yml");
    std::fs::write(&path, "modules: {one: {prober: http}}").unwrap();
    let source = Source::find(Some(&path));
    let settings = Settings { source: Some(source.clone()), ..Settings::default() };
    let blackbox = Blackbox::new(source.load().unwrap(), settings);
    let (reload, requests) = service::reload::channel();
    tokio::spawn(blackbox.clone().serve_reloads(requests, service::Shutdown::new()));
    let address = serve(blackbox.router(Some(reload))).await;
    std::fs::write(&path, "modules: {two: {prober: http}}").unwrap();
    assert_eq!(request(address, "POST", "/-/reload", "").await.status, 200);
    assert!(blackbox.config().modules.contains_key("two"));
    std::fs::write(&path, "modules: {three: {probr: http}}").unwrap();
    let answer = request(address, "POST", "/-/reload", "").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.starts_with("failed to reload config: "), "{}", answer.body);
    assert!(answer.body.contains("blackbox.yml:1:"), "{}", answer.body);
    assert!(blackbox.config().modules.contains_key("two"));
    let metrics = request(address, "GET", "/metrics", "").await.body;
    assert!(metrics.contains("blackbox_exporter_config_last_reload_successful 0"), "{metrics}");
}

#[tokio::test]
async fn too_many_probes_at_a_time_are_pushed_back() {
    let settings = Settings { max_concurrent: 0, ..Settings::default() };
    let prober = Prober::with(MODULE, settings).await;
    let answer = prober.get("/probe?target=http://127.0.0.1:1/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("--probe.max-concurrent"), "{}", answer.body);
}

#[tokio::test]
async fn flags_of_the_original_are_understood() {
    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        log: service::LogArgs,
        #[command(flatten)]
        blackbox: blackbox::Args,
    }
    let cli: Cli = service::flags::parse_from(&[
        "blackbox",
        "--config.file=/etc/b.yml",
        "--config.check",
        "--timeout-offset=0.25",
        "--history.limit=7",
        "--log.prober=debug",
        "--log.level=warn",
        "--log.format=json",
        "--web.listen-address=127.0.0.1:0",
        "--web.listen-address=:9115",
        "--web.external-url=http://x/y",
        "--web.route-prefix=/y",
        "--config.enable-auto-reload",
        "--config.auto-reload-interval=5",
    ])
    .unwrap();
    assert!(cli.blackbox.config_check && cli.blackbox.auto_reload);
    assert_eq!(cli.blackbox.history_limit, 7);
    assert_eq!(cli.blackbox.web.listen_address.len(), 2);
    assert_eq!(cli.log.level, service::telemetry::Level::Warn);
}

#[tokio::test]
async fn in_process_probes() {
    let blackbox = Blackbox::new(Config::built_in(), Settings::default());
    let target = format!("http://{}/", canned(OK).await);
    let timeout = Duration::from_secs(5);
    let outcome = blackbox
        .probe("http_2xx", &target, &blackbox::Params::default(), timeout, &blackbox::Guard::Open)
        .await
        .unwrap();
    assert!(outcome.success());
    assert!(outcome.metrics.to_text().contains("\nprobe_success 1\n"));
    let names: Vec<&str> = outcome.phases.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["resolve", "connect", "tls", "processing", "transfer"]);
    assert!(outcome.log.contains("Probe succeeded"));
}
