//! Agents: they are listed and discovered, hear at once what is wanted of them, and leave when they are gone.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use proto::{
    remote_write::{Message, v1::WriteRequest},
    snappy,
};
use serde_json::{Value, json};

use crate::{
    harness::{TestReceiver, now, series},
    watcher::Watcher,
};

fn said(instance: &str) -> Value {
    json!({
        "program": "exporter", "instance": instance, "job": "node", "name": "web-1",
        "address": "10.0.0.1:9100", "version": "0.1.0", "os": "linux", "labels": {"site": "here"},
        "storedInterval": "15s", "liveInterval": "1s",
    })
}

async fn post(receiver: &TestReceiver, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(path).header("Content-Type", "application/json");
    let (status, text) = receiver.send(request.body(Body::from(body.to_string())).unwrap()).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn get(receiver: &TestReceiver, path: &str) -> Value {
    let (status, text) = receiver.send(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

const REGISTER: &str = "/api/v1/agents/register";

#[tokio::test]
async fn agents_are_listed_and_discovered() {
    let receiver = TestReceiver::open().await;
    assert_eq!(get(&receiver, "/api/v1/sd").await, json!([]));
    let (status, answer) = post(&receiver, REGISTER, &said("web-1:9100")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        answer["data"],
        json!({"generation": 0, "storedInterval": null, "liveInterval": null, "isWatched": false})
    );
    let mut pushing = said("web-2:9100");
    pushing["pushes"] = json!(true);
    post(&receiver, REGISTER, &pushing).await;
    // Again, as it does all the time.
    post(&receiver, REGISTER, &said("web-1:9100")).await;

    let wanted = json!({"instance": "web-1:9100", "storedInterval": "5s"});
    let (status, _) = post(&receiver, "/api/v1/agents/settings", &wanted).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(
        get(&receiver, "/api/v1/sd").await,
        json!([{
            "targets": ["10.0.0.1:9100"],
            "labels": {
                "job": "node", "instance": "web-1:9100", "site": "here",
                "__scheme__": "http", "__metrics_path__": "/metrics",
                "__scrape_interval__": "5s", "__scrape_timeout__": "5s",
                "__meta_watchpost_name": "web-1", "__meta_watchpost_program": "exporter",
                "__meta_watchpost_version": "0.1.0", "__meta_watchpost_os": "linux",
            },
        }])
    );
    assert_eq!(get(&receiver, "/api/v1/sd?all=true").await.as_array().unwrap().len(), 2);
    let list = get(&receiver, "/api/v1/agents").await;
    assert_eq!(list["data"][0]["wantedStoredInterval"], "5s");
    assert_eq!(list["data"][1]["pushes"], true);
    let here: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.agents WHERE is_here")
        .fetch_one(&receiver.db)
        .await
        .unwrap();
    assert_eq!(here, 2);

    let which = json!({"instance": "web-1:9100"});
    let (status, _) = post(&receiver, "/api/v1/agents/forget", &which).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = post(&receiver, "/api/v1/agents/forget", &which).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(get(&receiver, "/api/v1/sd").await, json!([]));
    sqlx::query("UPDATE watchpost.agent SET seen_at = now() - interval '8 days'")
        .execute(&receiver.db)
        .await
        .unwrap();
    assert_eq!(get(&receiver, "/api/v1/agents").await["data"], json!([]), "gone for long");
    receiver.close().await;
}

#[tokio::test]
async fn what_is_wanted_arrives_at_once() {
    let receiver = TestReceiver::open().await;
    let mut waiting = said("web-1:9100");
    post(&receiver, REGISTER, &waiting).await;
    waiting["wait"] = json!("20s");
    let begun = Instant::now();
    let wanted =
        json!({"instance": "web-1:9100", "storedInterval": "30s", "liveInterval": "200ms"});
    let ordering = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        post(&receiver, "/api/v1/agents/settings", &wanted).await
    };
    let ((_, heard), (status, _)) = tokio::join!(post(&receiver, REGISTER, &waiting), ordering);
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(heard["data"]["storedInterval"], "30s");
    assert_eq!(heard["data"]["liveInterval"], "200ms");
    // By way of another receiver: written by somebody else.
    waiting["generation"] = heard["data"]["generation"].clone();
    let elsewhere = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::query("UPDATE watchpost.agent SET wanted_stored_ms = NULL, generation = nextval('watchpost.agent_generation')")
            .execute(&receiver.db)
            .await
            .unwrap();
    };
    let begun = Instant::now();
    let ((_, heard), ()) = tokio::join!(post(&receiver, REGISTER, &waiting), elsewhere);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(heard["data"]["storedInterval"], Value::Null);
    // Nothing new: after the time that it gave.
    waiting["generation"] = heard["data"]["generation"].clone();
    waiting["wait"] = json!("500ms");
    let begun = Instant::now();
    post(&receiver, REGISTER, &waiting).await;
    assert!(begun.elapsed() >= Duration::from_millis(500));
    receiver.close().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let receiver = TestReceiver::open().await;
    for (key, value, expected) in [
        ("instance", json!(""), "`instance` has 1 to 300"),
        ("name", json!("a\nb"), "control character"),
        ("address", json!("http://x/"), "a host and a port"),
        ("scheme", json!("ftp"), "http or https"),
        ("metricsPath", json!("metrics"), "begins with /"),
        ("labels", json!({"__address__": "x"}), "no label may have"),
        ("labels", json!({"a": ""}), "1 to 300"),
        ("storedInterval", json!("500ms"), "from 1s to 5m"),
        ("liveInterval", json!("1ms"), "from 100ms to 10s"),
        ("os", json!(7), "os"),
    ] {
        let mut body = said("a");
        body[key] = value;
        let (status, answer) = post(&receiver, REGISTER, &body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == StatusCode::BAD_REQUEST && error.contains(expected), "{key}: {answer}");
    }
    let unknown = json!({"instance": "nobody"});
    let (status, _) = post(&receiver, "/api/v1/agents/settings", &unknown).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = post(&receiver, "/api/v1/agents/live?instance=a", &unknown).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    receiver.close().await;
}

#[tokio::test]
async fn live_samples_are_shown_to_who_watches_and_not_stored() {
    let receiver = TestReceiver::open().await;
    let load = |instance: &str, ts: i64, value: f64| {
        series(&[("__name__", "node_load1"), ("instance", instance)], &[(ts, value)])
    };
    let t = now() - 10_000;
    let stored: Vec<_> = ["web-1", "web-2"].map(|instance| load(instance, t, 1.0)).into();
    assert_eq!(receiver.write(stored).await.0, StatusCode::NO_CONTENT);
    let show = async |instance: &str, of: &str, at: i64, value: f64| {
        let request = WriteRequest { timeseries: vec![load(of, at, value)], ..Default::default() };
        let body = Body::from(snappy::compress(&request.encode_to_vec()));
        let path = format!("/api/v1/agents/live?instance={instance}");
        let (status, text) = receiver.send(Request::post(path).body(body).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["data"]["isWatched"].clone()
    };
    assert_eq!(show("web-1", "web-1", t + 1, 2.0).await, false, "nobody watches");

    let mut registering = said("web-1");
    registering["wait"] = json!("20s");
    let mut watcher = Watcher::open(receiver.receiver.hub());
    assert_eq!(watcher.read().await["op"], "hello");
    let subscription =
        json!({"op": "sub", "id": 1, "match": ["node_load1{instance=\"web-1\"}"], "range": "5m"});
    let subscribing = async {
        watcher.send(subscription).await;
        assert_eq!(watcher.read().await["op"], "ok");
        watcher.read().await
    };
    let ((_, heard), _) = tokio::join!(post(&receiver, REGISTER, &registering), subscribing);
    assert_eq!(heard["data"]["isWatched"], true, "told as soon as somebody does");

    assert_eq!(show("web-1", "web-1", t + 500, 7.5).await, true);
    let update = watcher.read().await;
    assert_eq!((&update["t"], &update["v"]), (&json!(t + 500), &json!([7.5])));
    // Under another name than its own nothing is shown.
    assert_eq!(show("web-1", "web-2", t + 600, 9.0).await, true);
    assert_eq!(show("web-2", "web-2", t + 600, 9.0).await, false);
    assert_eq!(receiver.stored("node_load1").await.len(), 2, "what was stored before");

    registering["isWatched"] = json!(true);
    drop(watcher);
    let (_, heard) = post(&receiver, REGISTER, &registering).await;
    assert_eq!(heard["data"]["isWatched"], false, "and as soon as nobody does");
    receiver.close().await;
}

/// Ended when dropped.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Skipped, loudly, where no Prometheus is installed.
#[tokio::test]
async fn a_prometheus_discovers_them_with_their_interval() {
    let receiver = TestReceiver::open().await;
    let shutdown = service::Shutdown::new();
    let listeners = service::web::bind(&["127.0.0.1:0".to_owned()]).unwrap();
    let address = listeners[0].address();
    let router = receiver.receiver.router(&shutdown);
    let config = service::web::Config::default();
    let serving = tokio::spawn(service::web::serve(listeners, router, config, shutdown.clone()));

    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.path().join("prometheus.yml");
    let yaml = format!(
        "scrape_configs:\n- job_name: node\n  http_sd_configs:\n  - url: http://{address}/api/v1/sd\n    refresh_interval: 1s\n"
    );
    std::fs::write(&file, yaml).unwrap();
    let started = std::process::Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(process) = started else {
        eprintln!("SKIPPED: no prometheus is installed, so none has discovered our agents");
        return;
    };
    let _prometheus = Program(process);
    // Our own page stands for the exporter's.
    let mut agent = said("web-1:9100");
    agent["address"] = json!(address.to_string());
    agent["storedInterval"] = json!("1s");
    post(&receiver, REGISTER, &agent).await;

    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/api/v1/targets?state=active");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = match http.get(&url).send().await {
            Ok(answer) => answer.json::<Value>().await.unwrap_or_default(),
            Err(_) => Value::Null,
        };
        let target = &answer["data"]["activeTargets"][0];
        if target["health"] == "up" {
            assert_eq!(target["scrapeInterval"], "1s");
            assert_eq!(
                target["labels"],
                json!({"instance": "web-1:9100", "job": "node", "site": "here"})
            );
            break;
        }
        assert!(Instant::now() < deadline, "not discovered: {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shutdown.fire();
    serving.await.unwrap().unwrap();
    receiver.close().await;
}
