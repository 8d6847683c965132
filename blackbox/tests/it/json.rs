//! The json prober and its ready-made modules on recorded answers, rules in CEL, probing by the clock, one probe for
//! the terminal.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use blackbox::{
    Blackbox, Config, OnceArgs, Output, Params, Settings, once,
    scheduler::{Plan, Scheduler, Target},
};

use super::harness::{Prober, Samples, canned, closed_port, serve};

fn answer(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// By a module that is built in.
async fn probe_built_in(module: &str, body: &str) -> Samples {
    let target = canned(answer(body)).await;
    let prober = Prober::start(&Config::built_in().to_yaml()).await;
    prober.probe(module, &format!("http://{target}/")).await
}

#[tokio::test]
async fn modules_of_json_exporter_can_be_used_as_they_are() {
    let yaml = r#"
modules:
  default:
    headers: {X-Dummy: my-test-header}
    valid_status_codes: [200, 203]
    http_client_config: {follow_redirects: false}
    body: {content: '{"time_diff": "{{ .duration }}"}', templatize: true}
    metrics:
    - {name: example_global_value, path: '{ .counter }', help: Example of a top-level global value scrape in the json, labels: {environment: beta, location: 'planet-{.location}'}}
    - name: example_value
      type: object
      help: Example of sub-level value scrapes from a json
      path: '{.values[?(@.state == "ACTIVE")]}'
      labels: {id: '{.id}'}
      values: {active: 1, count: '{.count}', boolean: '{.some_boolean}'}
"#;
    let body = r#"{"counter": 1234, "values": [{"id": "id-A", "count": 1, "some_boolean": true, "state": "ACTIVE"}, {"id": "id-B", "count": 2, "some_boolean": true, "state": "INACTIVE"}], "location": "mars"}"#;
    let target = canned(answer(body)).await;
    let prober = Prober::start(yaml).await;
    let samples = prober.probe_with("default", &format!("http://{target}/"), "&duration=5m").await;
    samples.assert_success();
    samples.assert(&[
        ("example_global_value{environment=\"beta\",location=\"planet-mars\"}", 1234.0),
        ("example_value_active{id=\"id-A\"}", 1.0),
        ("example_value_count{id=\"id-A\"}", 1.0),
        ("example_value_boolean{id=\"id-A\"}", 1.0),
        ("probe_http_status_code", 200.0),
    ]);
    prober
        .probe("default", &format!("http://{target}/"))
        .await
        .assert_failure("setup", "bad_target");
    let html = canned(answer("<html>")).await;
    let path = super::harness::probe_path("default", &format!("http://{html}/"), "&duration=1");
    Samples::read(&prober.get(&path).await.body).assert_failure("validate", "json");
    let closed = closed_port().await;
    prober
        .probe_with("default", &format!("http://{closed}/"), "&duration=1")
        .await
        .assert_failure("connect", "refused");
}

#[tokio::test]
async fn ready_made_modules() {
    let cockroach = r#"{"nodes": [{"desc": {"node_id": 1, "address": {"network_field": "tcp", "address_field": "db1:26257"}},
        "build_info": {"tag": "v25.2.1"}, "started_at": "1795239002123456789", "updated_at": "1795239012123456789",
        "metrics": {"livebytes": 4096, "sys.rss": 123456, "sql.conns": 7},
        "store_statuses": [{"desc": {"store_id": 1, "node": {"node_id": 1}, "capacity": {"capacity": "1000", "available": "600", "used": "400", "range_count": 12}},
            "metrics": {"ranges.unavailable": 0, "ranges.underreplicated": 2}}]}]}"#;
    let samples = probe_built_in("cockroachdb_nodes", cockroach).await;
    samples.assert_success();
    let node = "{address=\"db1:26257\",node_id=\"1\",version=\"v25.2.1\"}";
    samples.assert(&[
        (&format!("cockroachdb_node_info{node}"), 1.0),
        (&format!("cockroachdb_node_sql_connections{node}"), 7.0),
        (&format!("cockroachdb_node_sys_rss_bytes{node}"), 123_456.0),
        ("cockroachdb_store_available_bytes{node_id=\"1\",store_id=\"1\"}", 600.0),
        ("cockroachdb_store_ranges_underreplicated{node_id=\"1\",store_id=\"1\"}", 2.0),
    ]);
    // A node without stores is no reason to tell nothing.
    let samples =
        probe_built_in("cockroachdb_nodes", r#"{"nodes": [{"desc": {"node_id": 2}}]}"#).await;
    samples.assert_success();
    samples.assert(&[("cockroachdb_node_info{address=\"\",node_id=\"2\",version=\"\"}", 1.0)]);

    let samples = probe_built_in(
        "istio_proxies",
        r#"[{"proxy": "web-1.default", "cluster_id": "Kubernetes", "istio_version": "1.27.0", "cluster_sent": "a", "cluster_acked": "a"}]"#,
    )
    .await;
    samples.assert_success();
    samples.assert(&[(
        "istio_proxy_info{cluster_id=\"Kubernetes\",proxy=\"web-1.default\",version=\"1.27.0\"}",
        1.0,
    )]);

    let samples = probe_built_in(
        "envoy_clusters",
        r#"{"cluster_statuses": [{"name": "web", "added_via_api": true, "host_statuses": []}, {"name": "xds"}]}"#,
    )
    .await;
    samples.assert_success();
    samples.assert(&[
        ("envoy_cluster_added_via_api{cluster=\"web\"}", 1.0),
        ("envoy_cluster_info{cluster=\"xds\"}", 1.0),
    ]);

    let samples = probe_built_in(
        "elasticsearch_health",
        r#"{"cluster_name": "logs", "status": "yellow", "timed_out": false, "number_of_nodes": 3, "number_of_data_nodes": 2,
            "active_primary_shards": 10, "active_shards": 15, "relocating_shards": 0, "initializing_shards": 0,
            "unassigned_shards": 5, "number_of_pending_tasks": 0}"#,
    )
    .await;
    samples.assert_success();
    samples.assert(&[
        ("elasticsearch_cluster_health_unassigned_shards{cluster=\"logs\"}", 5.0),
        ("elasticsearch_cluster_health_timed_out{cluster=\"logs\"}", 0.0),
        ("elasticsearch_cluster_status_info{cluster=\"logs\",color=\"yellow\"}", 1.0),
    ]);

    let samples = probe_built_in(
        "rabbitmq_overview",
        r#"{"cluster_name": "rabbit@a", "rabbitmq_version": "4.1.0", "queue_totals": {"messages": 9, "messages_ready": 8, "messages_unacknowledged": 1},
            "object_totals": {"connections": 2, "channels": 3, "queues": 4, "consumers": 5}}"#,
    )
    .await;
    samples.assert_success();
    samples.assert(&[
        ("rabbitmq_messages{cluster=\"rabbit@a\",version=\"4.1.0\"}", 9.0),
        ("rabbitmq_consumers{cluster=\"rabbit@a\",version=\"4.1.0\"}", 5.0),
    ]);
    let samples = probe_built_in(
        "rabbitmq_queues",
        r#"[{"vhost": "/", "name": "mail", "messages": 3, "consumers": 1, "memory": 42}]"#,
    )
    .await;
    samples.assert_success();
    samples.assert(&[("rabbitmq_queue_memory_bytes{queue=\"mail\",vhost=\"/\"}", 42.0)]);
}

#[tokio::test]
async fn ready_made_modules_of_readiness() {
    let prober = Prober::start(&Config::built_in().to_yaml()).await;
    let ready = canned(answer("{}")).await;
    let draining = canned("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    for module in ["cockroachdb_ready", "istio_ready"] {
        prober.probe(module, &format!("http://{ready}/health?ready=1")).await.assert_success();
        let samples = prober.probe(module, &format!("http://{draining}/health?ready=1")).await;
        samples.assert_failure("validate", "status");
        assert_eq!(samples.get("probe_http_status_code"), 503.0);
    }
}

/// The module `animals` of `json_exporter`'s own examples: many elements, a time of their own, an array at the top.
#[tokio::test]
async fn times_and_lists_of_json_exporter() {
    let yaml = r#"
modules:
  animals:
    metrics:
    - name: animal
      type: object
      help: Example of top-level lists in a separate module
      path: '{ [*] }'
      labels: {name: '{ .noun }', predator: '{ .predator }'}
      values: {population: '{ .population }'}
    - {name: animal_seen, path: '{ [0].seen }', epochTimestamp: '{ [0].at }', valuetype: counter}
"#;
    let body = r#"[{"noun": "lion", "population": 123, "predator": true, "seen": 7, "at": 1795239002123},
        {"noun": "deer", "population": "456", "predator": false}, {"noun": "pigeon", "population": "many", "predator": false}]"#;
    let prober = Prober::start(yaml).await;
    let target = canned(answer(body)).await;
    let samples = prober.probe("animals", &format!("http://{target}/")).await;
    samples.assert_success();
    samples.assert(&[
        ("animal_population{name=\"lion\",predator=\"true\"}", 123.0),
        ("animal_population{name=\"deer\",predator=\"false\"}", 456.0),
    ]);
    assert!(!samples.text.contains("pigeon"), "what is no number is left out");
    assert!(samples.text.contains("animal_seen 7 1795239002123\n"), "{}", samples.text);
}

/// The page that explains the prober says what it gives: here it is made to.
#[tokio::test]
async fn the_example_of_the_page() {
    let page = include_str!("../../docs/json.md");
    let block = |kind: &str| {
        let (_, after) = page.split_once(&format!("```{kind}\n")).expect("such a block");
        after.split_once("```").expect("its end").0.to_owned()
    };
    let target = canned(answer(&block("json"))).await;
    let prober = Prober::start(&block("yaml")).await;
    let samples = prober.probe("queue", &format!("http://{target}/stats")).await;
    samples.assert_success();
    let given = Samples::read(&block("text"));
    assert_eq!(given.values.len(), 5);
    for (series, value) in given.values {
        assert_eq!(samples.get(&series), value);
    }
}

#[tokio::test]
async fn rules_in_cel() {
    let good = canned(answer("{\"status\": \"ok\", \"n\": 3}")).await;
    let html = canned(answer("<html>")).await;
    for (keys, target, failure) in [
        ("fail_if_body_json_not_matches_cel: \"body.status == 'ok' && body.n > 2.0\"", good, None),
        ("fail_if_body_json_not_matches_cel: \"body.status == 'bad'\"", good, Some("body_cel")),
        ("fail_if_body_json_matches_cel: \"body.n > 2.0\"", good, Some("body_cel")),
        ("fail_if_body_json_matches_cel: \"body.n > 5.0\"", good, None),
        ("fail_if_body_json_matches_cel: \"body.none > 5.0\"", good, Some("body_cel")),
        ("fail_if_body_json_matches_cel: \"body.n > 5.0\"", html, Some("body_cel")),
    ] {
        let yaml = format!("modules: {{m: {{prober: http, timeout: 5s, http: {{{keys}}}}}}}");
        let samples = Prober::start(&yaml).await.probe("m", &format!("http://{target}/")).await;
        match failure {
            None => samples.assert_success(),
            Some(reason) => samples.assert_failure("validate", reason),
        }
        samples.assert(&[("probe_failed_due_to_cel", f64::from(u8::from(failure.is_some())))]);
    }
    let err = Config::parse(
        "modules: {m: {prober: http, http: {fail_if_body_json_matches_cel: \"other.x\"}}}",
        Path::new("blackbox.yml"),
    );
    assert!(err.unwrap_err().to_string().contains("Could not compile CEL program"));
}

#[tokio::test]
async fn probes_by_the_clock() {
    let good = format!("http://{}/", canned(answer("{}")).await);
    let bad = format!("http://{}/", closed_port().await);
    let target = |url: &String| Target {
        target: url.clone(),
        module: "http_2xx".to_owned(),
        interval: Duration::from_millis(200),
        timeout: Duration::from_millis(150),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        params: Params::default(),
        public_only: false,
        retries: 0,
    };
    let mut private = target(&good);
    private.public_only = true;
    let plan = Plan::new(vec![target(&good), target(&bad), private]);
    let blackbox = Blackbox::new(Config::built_in(), Settings::default());
    let shutdown = service::Shutdown::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let scheduler = Scheduler::new(blackbox, plan, NonZeroUsize::new(2).unwrap());
    let (stop, results) = (shutdown.clone(), Arc::clone(&seen));
    let ended = tokio::time::timeout(
        Duration::from_secs(20),
        scheduler.run(shutdown, move |probed| {
            let mut results = results.lock().unwrap();
            results.push(probed);
            if results.len() >= 12 {
                stop.fire();
            }
        }),
    );
    ended.await.expect("a dozen probes in time");
    let seen = seen.lock().unwrap();
    for probed in seen.iter() {
        let reason = probed.outcome.failure.as_ref().map(|failure| failure.reason.name());
        let expected = if probed.target.public_only {
            Some("blocked_address")
        } else if probed.target.target == bad {
            Some("refused")
        } else {
            None
        };
        assert_eq!(reason, expected);
        assert_eq!(probed.target.labels["team"], "web");
    }
    // Each about as often as the others.
    for wanted in [false, true] {
        assert!(seen.iter().filter(|probed| probed.target.public_only == wanted).count() >= 2);
    }
}

/// A target that answers at its third request.
#[tokio::test]
async fn probes_by_the_clock_are_tried_again() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let router = axum::Router::new().fallback(move || async move {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    });
    let target = Target {
        target: format!("http://{}/", serve(router).await),
        module: "http_2xx".to_owned(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        labels: BTreeMap::new(),
        params: Params::default(),
        public_only: false,
        retries: 2,
    };
    let blackbox = Blackbox::new(Config::built_in(), Settings::default());
    let workers = NonZeroUsize::new(1).unwrap();
    let scheduler = Scheduler::new(blackbox.clone(), Plan::new(vec![target]), workers);
    let shutdown = service::Shutdown::new();
    let (stop, seen) = (shutdown.clone(), Arc::new(Mutex::new(Vec::new())));
    let results = Arc::clone(&seen);
    let running = scheduler.run(shutdown, move |probed| {
        results.lock().unwrap().push(probed.outcome.success());
        stop.fire();
    });
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("a probe in time");
    assert_eq!(*seen.lock().unwrap(), [true], "told once, as it ended");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let metrics = blackbox.metrics().text();
    assert!(metrics.contains("blackbox_scheduled_probe_delay_seconds_count 1\n"), "{metrics}");
}

#[tokio::test]
async fn one_probe_for_the_terminal() {
    let good = format!("http://{}/", canned(answer("{}")).await);
    let args = |target: &str, output: Output| OnceArgs {
        target: target.to_owned(),
        module: None,
        config_file: None,
        timeout: "5s".to_owned(),
        output,
        debug: false,
    };
    let mut text = Vec::new();
    assert!(once(&args(&good, Output::Text), &mut text).await.unwrap());
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with(&format!("up    {good}  (http_2xx, ")), "{text}");
    for part in
        ["resolve", "connect", "processing", "transfer", "status       200", "body         2 bytes"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let closed = closed_port().await;
    let mut json = Vec::new();
    assert!(!once(&args(&format!("tcp://{closed}"), Output::Json), &mut json).await.unwrap());
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["success"], false);
    assert_eq!(json["module"], "tcp_connect");
    assert_eq!(json["failure"]["phase"], "connect");
    assert_eq!(json["failure"]["reason"], "refused");
    assert!(json["samples"].as_array().unwrap().iter().any(|s| s["name"] == "probe_success"));
    let mut metrics = Vec::new();
    once(&args(&good, Output::Metrics), &mut metrics).await.unwrap();
    Samples::read(&String::from_utf8(metrics).unwrap()).assert_success();
    let mut wrong = args(&good, Output::Text);
    wrong.module = Some("none".to_owned());
    assert!(once(&wrong, &mut Vec::new()).await.is_err());
}
