//! The live protocol without a network: a session is driven by hand over a store in memory, so that what is sent, when
//! and in which order is exact.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::registry::Registry;
use promql::model::Labels;
use receiver::live::{Action, Hub, Metrics, Session, memory::MemorySource, protocol::Close};
use serde_json::{Value, json};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// A hub over a store in memory.
pub(crate) struct World {
    pub(crate) store: Arc<MemorySource>,
    pub(crate) hub: Hub,
    registry: Registry,
}

impl World {
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemorySource::default());
        let mut registry = Registry::default();
        let hub = Hub::new(Arc::clone(&store) as _, Metrics::register(&mut registry));
        Self { store, hub, registry }
    }

    /// Commits without telling the hub, as before a start.
    pub(crate) fn store(&self, samples: &[(&str, i64, f64)]) {
        let samples = parsed(samples);
        self.store.commit(samples.iter().map(|(labels, t, v)| (labels, *t, *v)));
    }

    pub(crate) fn commit(&self, samples: &[(&str, i64, f64)]) {
        let samples = parsed(samples);
        self.hub.publish(self.store.commit(samples.iter().map(|(labels, t, v)| (labels, *t, *v))));
    }

    pub(crate) fn metric(&self, line_start: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find(|line| line.starts_with(line_start));
        let line = line.unwrap_or_else(|| panic!("no {line_start} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// `name{label="value",…}` as labels.
fn parsed(samples: &[(&str, i64, f64)]) -> Vec<(Labels, i64, f64)> {
    let labels = |text: &str| {
        let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
        let pairs = rest.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
        let pairs =
            pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
        Labels::from_pairs(pairs.chain([("__name__".to_owned(), name.to_owned())])).unwrap()
    };
    samples.iter().map(|(text, t, v)| (labels(text), *t, *v)).collect()
}

pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A client that reads only when asked to.
struct Client(Session);

impl Client {
    async fn connect(world: &World) -> Self {
        let mut client = Self(Session::open(&world.hub).unwrap());
        let hello = client.read().await;
        assert_eq!((&hello["op"], &hello["v"]), (&json!("hello"), &json!(1)));
        client
    }

    /// Sends a request and lets the server finish what it started.
    async fn send(&mut self, request: Value) {
        if let Some(work) = self.0.handle(&request.to_string()) {
            let outcome = tokio::time::timeout(PATIENCE, work).await.unwrap();
            self.0.done(outcome);
        }
    }

    /// What waits for this client now, if anything.
    fn poll(&mut self) -> Option<Value> {
        match self.0.next(Instant::now()) {
            Action::Send(text) => Some(serde_json::from_slice(&text).unwrap()),
            Action::Wait(_) => None,
            Action::Close(close, bye) => {
                panic!("closed: {close:?} {}", String::from_utf8_lossy(&bye))
            }
        }
    }

    async fn read(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for repair in self.0.repairs() {
                self.0.done(repair.await);
            }
            if let Some(message) = self.poll() {
                return message;
            }
            let Action::Wait(until) = self.0.next(Instant::now()) else { continue };
            let until = until.unwrap_or(deadline).min(deadline);
            assert!(Instant::now() < deadline, "nothing came");
            let _ = tokio::time::timeout_at(until.into(), self.0.woken()).await;
        }
    }

    /// The next update; other messages must not come first.
    async fn update(&mut self) -> Value {
        let message = self.read().await;
        assert_eq!(message["op"], "d", "{message}");
        message
    }

    /// Subscribes and returns the snapshot.
    async fn subscribe(&mut self, request: Value) -> Value {
        let mut request = request;
        request["op"] = "sub".into();
        request["id"] = 1.into();
        self.send(request).await;
        let ok = self.read().await;
        assert_eq!((&ok["op"], &ok["mode"]), (&json!("ok"), &json!("snap")), "{ok}");
        let snap = self.read().await;
        assert_eq!(snap["op"], "snap", "{snap}");
        assert_eq!(snap["ch"], ok["ch"]);
        snap
    }
}

/// Waits until a condition about our own metrics holds: the hub has a thread of its own.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_selector_shows_the_past_and_then_every_sample() {
    let world = World::new();
    let t = now_ms();
    world.store(&[
        ("load{i=\"a\"}", t - 2_000, 1.5),
        ("load{i=\"a\"}", t - 1_000, 2.5),
        ("other", t, 9.0),
    ]);
    let mut client = Client::connect(&world).await;
    let snap = client.subscribe(json!({"match": ["load"], "range": "1m"})).await;
    assert_eq!(snap["series"], json!([{"i": 0, "m": {"__name__": "load", "i": "a"}}]));
    assert_eq!(snap["cols"], json!([[1.5, 2.5]]));
    let t0 = snap["t0"].as_i64().unwrap();
    assert_eq!(snap["ts"], json!([[t - 2_000 - t0, t - 1_000 - t0]]));

    let committed = Instant::now();
    world.commit(&[("load{i=\"a\"}", t, 3.5), ("other", t + 1, 9.0)]);
    let update = client.update().await;
    assert_eq!(
        update,
        json!({"op": "d", "ch": snap["ch"], "seq": update["seq"], "t": t, "v": [3.5]})
    );
    assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());

    world.commit(&[("load{i=\"a\"}", t + 1_000, STALE)]);
    assert_eq!(client.update().await["v"], json!([null]));
    world.commit(&[
        ("load{i=\"a\"}", t + 2_000, f64::NAN),
        ("load{i=\"a\"}", t + 3_000, f64::INFINITY),
    ]);
    assert_eq!(client.update().await["v"], json!(["NaN"]));
    assert_eq!(client.update().await["v"], json!(["+Inf"]));
}

#[tokio::test]
async fn new_series_join() {
    let world = World::new();
    let t = now_ms();
    let mut client = Client::connect(&world).await;
    let snap = client.subscribe(json!({"match": ["load"]})).await;
    assert_eq!(snap["series"], json!([]));
    world.commit(&[("load{i=\"b\"}", t, 1.0)]);
    let series = client.read().await;
    assert_eq!(series["op"], "series");
    assert_eq!(series["add"], json!([{"i": 0, "m": {"__name__": "load", "i": "b"}}]));
    let update = client.update().await;
    assert_eq!((&update["t"], &update["v"]), (&json!(t), &json!([1.0])));
    // Two series at different times in one update.
    tokio::time::sleep(Duration::from_millis(600)).await;
    world.commit(&[("load{i=\"a\"}", t + 500, 2.0), ("load{i=\"b\"}", t + 1_000, 3.0)]);
    assert_eq!(client.read().await["add"][0]["i"], 1);
    let update = client.update().await;
    assert_eq!(
        (&update["t"], &update["dt"], &update["v"]),
        (&json!(t + 1_000), &json!([0, -500]), &json!([3.0, 2.0]))
    );
}

#[tokio::test]
async fn who_does_not_read_costs_one_slot_and_gets_the_newest() {
    let world = World::new();
    let t = now_ms();
    world.store(&[("load{i=\"a\"}", t, 0.0), ("load{i=\"b\"}", t, 0.0)]);
    let mut slow = Client::connect(&world).await;
    let mut healthy = Client::connect(&world).await;
    slow.subscribe(json!({"match": ["load"]})).await;
    let snap = healthy.subscribe(json!({"match": ["load"]})).await;
    for n in 1..=5 {
        world.commit(&[("load{i=\"a\"}", t + n, n as f64)]);
        let update = healthy.update().await;
        assert_eq!((&update["i"], &update["v"]), (&json!([0]), &json!([n as f64])), "undisturbed");
    }
    world.commit(&[("load{i=\"b\"}", t + 6, 6.0)]);
    let last = healthy.update().await;
    let merged = slow.update().await;
    assert_eq!(
        merged,
        json!({"op": "d", "ch": snap["ch"], "seq": last["seq"], "n": 6, "t": t + 6, "dt": [-1, 0], "v": [5.0, 6.0]})
    );
    assert!(slow.poll().is_none());
    assert_eq!(world.metric("live_conflated_total"), 5.0);
    assert_eq!(world.metric("live_send_queue_bytes"), 0.0);
}

#[tokio::test]
async fn a_stalled_client_among_healthy_ones_stays_small() {
    let world = World::new();
    let t = now_ms();
    let names: Vec<_> = (0..100).map(|n| format!("load{{i=\"{n}\"}}")).collect();
    let round =
        |at: i64| names.iter().map(|name| (name.as_str(), at, at as f64)).collect::<Vec<_>>();
    world.store(&round(t));
    let mut stalled = Client::connect(&world).await;
    stalled.subscribe(json!({"match": ["load"]})).await;
    let mut healthy = Vec::new();
    for _ in 0..16 {
        let mut client = Client::connect(&world).await;
        client.subscribe(json!({"match": ["load"]})).await;
        healthy.push(client);
    }
    let mut most = 0.0_f64;
    for n in 1..=20 {
        world.commit(&round(t + n));
        for client in &mut healthy {
            assert_eq!(client.update().await["t"], t + n);
        }
        most = most.max(world.metric("live_send_queue_bytes"));
    }
    assert!(most < 10_000.0, "100 merged values are kept once, not 20 times: {most}");
    let merged = stalled.update().await;
    assert_eq!((&merged["n"], &merged["t"]), (&json!(20), &json!(t + 20)));
    drop((stalled, healthy));
    assert_eq!(world.metric("live_connections"), 0.0);
    assert_eq!(world.metric("live_subscriptions"), 0.0);
    assert_eq!(world.metric("live_send_queue_bytes"), 0.0);
}

#[tokio::test]
async fn resuming_replays_what_was_missed_and_nothing_else() {
    let world = World::new();
    let t = now_ms();
    world.store(&[("load", t, 0.0)]);
    let mut first = Client::connect(&world).await;
    let snap = first.subscribe(json!({"match": ["load"]})).await;
    let mut watcher = Client::connect(&world).await;
    watcher.subscribe(json!({"match": ["load"]})).await;
    world.commit(&[("load", t + 1, 1.0)]);
    let seen = first.update().await["seq"].as_u64().unwrap();
    watcher.update().await;
    drop(first);
    for n in 2..=4 {
        world.commit(&[("load", t + n, n as f64)]);
        watcher.update().await;
    }
    let again = Session::open(&world.hub).unwrap();
    let Action::Send(hello) = again.next(Instant::now()) else { panic!("no hello") };
    let epoch = serde_json::from_slice::<Value>(&hello).unwrap()["epoch"].clone();
    let mut again = Client(again);
    let resume = json!({"epoch": epoch, "seq": seen});
    again.send(json!({"op": "sub", "id": 7, "match": ["load"], "resume": resume})).await;
    let ok = again.read().await;
    assert_eq!(ok, json!({"op": "ok", "id": 7, "ch": snap["ch"], "mode": "resumed"}));
    for n in 2..=4 {
        let update = again.update().await;
        assert_eq!((&update["t"], &update["seq"]), (&json!(t + n), &json!(seen + n as u64 - 1)));
        assert_eq!(update.get("n"), None, "replayed one by one");
    }
    assert!(again.poll().is_none());
    world.commit(&[("load", t + 5, 5.0)]);
    assert_eq!(again.update().await["v"], json!([5.0]), "and goes on");
}

#[tokio::test]
async fn resuming_too_late_says_so_and_starts_afresh() {
    let world = World::new();
    let t = now_ms();
    world.store(&[("load", t, 0.5)]);
    let mut client = Client::connect(&world).await;
    let cases = [
        (json!({"epoch": "0", "seq": 5}), "restart", None),
        (json!({"epoch": epoch(&world).await, "seq": 0}), "expired", Some(1)),
    ];
    for (resume, why, from) in cases {
        client.send(json!({"op": "sub", "id": 1, "match": ["load"], "resume": resume})).await;
        assert_eq!(client.read().await["mode"], "snap");
        let gap = client.read().await;
        assert_eq!((&gap["op"], &gap["why"]), (&json!("gap"), &json!(why)));
        assert_eq!(gap.get("from").and_then(Value::as_u64), from);
        assert_eq!(client.read().await["cols"], json!([[0.5]]));
    }
}

async fn epoch(world: &World) -> Value {
    let session = Session::open(&world.hub).unwrap();
    let Action::Send(hello) = session.next(Instant::now()) else { panic!("no hello") };
    serde_json::from_slice::<Value>(&hello).unwrap()["epoch"].clone()
}

#[tokio::test]
async fn too_many_changes_of_series_end_in_a_gap_and_a_snapshot() {
    let world = World::new();
    let t = now_ms();
    let mut client = Client::connect(&world).await;
    client.subscribe(json!({"match": ["load"]})).await;
    let mut watcher = Client::connect(&world).await;
    watcher.subscribe(json!({"match": ["load"]})).await;
    // Each new series is a change that cannot be merged.
    for n in 0..40 {
        let name = format!("load{{i=\"{n}\"}}");
        world.commit(&[(&name, t + n, n as f64)]);
        loop {
            if watcher.read().await["op"] == "d" {
                break;
            }
        }
    }
    let mut seen = Vec::new();
    let snap = loop {
        let message = client.read().await;
        if message["op"] == "snap" {
            break message;
        }
        seen.push(message);
    };
    assert_eq!(seen.len(), 1, "what cannot be followed is not sent: {seen:?}");
    assert_eq!((&seen[0]["op"], &seen[0]["why"]), (&json!("gap"), &json!("slow")));
    assert!(snap["series"].as_array().unwrap().len() > 32);
    tokio::time::sleep(Duration::from_millis(600)).await;
    while client.poll().is_some() {}
    world.commit(&[("load{i=\"3\"}", t + 100, 33.0)]);
    assert_eq!(client.update().await["v"], json!([33.0]));
}

#[tokio::test]
async fn limits_are_said_with_their_number() {
    let world = World::new();
    let t = now_ms();
    let names: Vec<_> = (0..501).map(|n| format!("wide{{i=\"{n}\"}}")).collect();
    world.store(&names.iter().map(|name| (name.as_str(), t, 0.0)).collect::<Vec<_>>());
    let mut client = Client::connect(&world).await;
    let refused = |message: Value, code: &str, words: &str| {
        assert_eq!((&message["op"], &message["code"]), (&json!("err"), &json!(code)), "{message}");
        assert!(message["msg"].as_str().unwrap().contains(words), "{message}");
    };
    client.send(json!({"op": "sub", "id": 1, "match": ["wide"]})).await;
    refused(client.read().await, "selector_too_wide", "more than 500 series");
    client.send(json!({"op": "sub", "id": 1, "match": ["{"]})).await;
    refused(client.read().await, "bad_selector", "parse error");
    client.send(json!({"op": "sub", "id": 1, "view": "server"})).await;
    refused(client.read().await, "bad_argument", "args.server");
    client.send(json!({"op": "unsub", "ch": 99})).await;
    refused(client.read().await, "no_such_channel", "99");
    client.send(json!({"op": "rate", "ch": 99, "max_hz": 1})).await;
    refused(client.read().await, "no_such_channel", "99");
    for n in 0..64 {
        client.subscribe(json!({"match": [format!("wide{{i=\"{n}\"}}")]})).await;
    }
    client.send(json!({"op": "sub", "id": 1, "match": ["wide{i=\"64\"}"]})).await;
    refused(client.read().await, "limit", "64 subscriptions");
    assert_eq!(world.metric("live_subscriptions"), 64.0);
    assert_eq!(world.metric("live_channels"), 64.0);
}

#[tokio::test]
async fn pages_left_open_leave_places_for_those_who_write() {
    let world = World::new();
    let mut open: Vec<_> = std::iter::from_fn(|| Session::open(&world.hub)).take(1_000).collect();
    assert_eq!(open.len(), 768);
    assert_eq!(world.metric("live_connections"), 768.0);
    open.pop();
    assert!(Session::open(&world.hub).is_some());
}

#[tokio::test]
async fn series_of_all_subscriptions_together_are_bounded() {
    let world = World::new();
    let t = now_ms();
    let names: Vec<_> =
        (0..11 * 480).map(|n| format!("wide{{group=\"{}\",i=\"{n}\"}}", n / 480)).collect();
    world.store(&names.iter().map(|name| (name.as_str(), t, 0.0)).collect::<Vec<_>>());
    let mut client = Client::connect(&world).await;
    for group in 0..10 {
        client.subscribe(json!({"match": [format!("wide{{group=\"{group}\"}}")]})).await;
    }
    client.send(json!({"op": "sub", "id": 1, "match": ["wide{group=\"10\"}"]})).await;
    let refusal = client.read().await;
    assert_eq!(refusal["code"], "limit");
    assert!(refusal["msg"].as_str().unwrap().contains("5000 series"), "{refusal}");
}

#[tokio::test]
async fn a_client_may_ask_for_less_often() {
    let world = World::new();
    let t = now_ms();
    world.store(&[("load", t, 0.0)]);
    let mut client = Client::connect(&world).await;
    let snap = client.subscribe(json!({"match": ["load"]})).await;
    client.send(json!({"op": "rate", "ch": snap["ch"], "max_hz": 0.02})).await;
    let mut watcher = Client::connect(&world).await;
    watcher.subscribe(json!({"match": ["load"]})).await;
    for n in 1..=3 {
        world.commit(&[("load", t + n, n as f64)]);
        watcher.update().await;
    }
    assert_eq!(client.update().await["t"], t + 3, "the first at once");
    world.commit(&[("load", t + 4, 4.0)]);
    watcher.update().await;
    assert!(client.poll().is_none(), "the next in fifty seconds");
    client.send(json!({"op": "ping", "n": 8})).await;
    assert_eq!(client.read().await["n"], 8, "answers are not held back");
    client.send(json!({"op": "rate", "ch": snap["ch"], "max_hz": 100})).await;
    assert_eq!(client.update().await["t"], t + 4);
}

#[tokio::test]
async fn unsubscribing_ends_the_updates() {
    let world = World::new();
    let t = now_ms();
    world.store(&[("load", t, 0.0)]);
    let mut client = Client::connect(&world).await;
    let snap = client.subscribe(json!({"match": ["load"]})).await;
    client.send(json!({"op": "unsub", "ch": snap["ch"]})).await;
    assert_eq!(world.metric("live_subscriptions"), 0.0);
    let before = world.metric("live_fanout_seconds_count");
    world.commit(&[("load", t + 1, 1.0)]);
    until("the hub saw it", || world.metric("live_fanout_seconds_count") > before).await;
    assert!(client.poll().is_none());
}

#[tokio::test]
async fn nonsense_and_asking_without_reading_end_the_connection() {
    let world = World::new();
    let closed = |session: &Session| {
        loop {
            match session.next(Instant::now()) {
                Action::Send(_) => {}
                Action::Close(close, bye) => {
                    break (close, serde_json::from_slice::<Value>(&bye).unwrap());
                }
                Action::Wait(_) => panic!("still open"),
            }
        }
    };
    let mut session = Session::open(&world.hub).unwrap();
    assert!(session.handle("hello?").is_none());
    let (close, bye) = closed(&session);
    assert_eq!((close, &bye["code"]), (Close::BadFrame, &json!(4400)));

    let mut session = Session::open(&world.hub).unwrap();
    for n in 0..300 {
        session.handle(&json!({"op": "ping", "n": n}).to_string());
    }
    assert_eq!(closed(&session).0, Close::Slow);
    assert_eq!(world.metric("live_evicted_total{reason=\"slow\"}"), 1.0);
    assert_eq!(world.metric("live_evicted_total{reason=\"bad_frame\"}"), 1.0);

    let session = Session::open(&world.hub).unwrap();
    session.close(Close::Restart);
    let (_, bye) = closed(&session);
    assert_eq!(bye["code"], 1012);
    assert!(bye["retry_ms"].as_u64().unwrap() < 5_000);
}

#[tokio::test]
async fn the_list_of_servers() {
    let world = World::new();
    let t = now_ms() / 1_000 * 1_000;
    let node = |at: i64, idle: f64, received: f64| {
        vec![
            ("up{instance=\"a:1\",job=\"node\"}", at, 1.0),
            ("up{instance=\"site\",job=\"blackbox\"}", at, 1.0),
            (
                "node_cpu_seconds_total{instance=\"a:1\",job=\"node\",mode=\"idle\",cpu=\"0\"}",
                at,
                idle,
            ),
            ("node_memory_MemTotal_bytes{instance=\"a:1\",job=\"node\"}", at, 200.0),
            ("node_memory_MemAvailable_bytes{instance=\"a:1\",job=\"node\"}", at, 50.0),
            (
                "node_network_receive_bytes_total{instance=\"a:1\",job=\"node\",device=\"eth0\"}",
                at,
                received,
            ),
            ("node_boot_time_seconds{instance=\"a:1\",job=\"node\"}", at, 1_791_673_266.0),
            ("node_uname_info{instance=\"a:1\",job=\"node\",nodename=\"alpha\"}", at, 1.0),
        ]
    };
    for seconds in 0..60 {
        let at = t - 60_000 + seconds * 1_000;
        world.store(&node(at, 0.75 * seconds as f64, 1_000.0 * seconds as f64));
    }
    let mut client = Client::connect(&world).await;
    let snap = client.subscribe(json!({"view": "servers", "range": "30s", "step": "10s"})).await;
    assert_eq!(
        snap["series"],
        json!([{"i": 0, "m": {"instance": "a:1", "job": "node", "nodename": "alpha"}}]),
        "what only has `up` is no server"
    );
    let names: Vec<_> =
        snap["fields"].as_array().unwrap().iter().map(|field| field["name"].clone()).collect();
    let cols = snap["cols"].as_array().unwrap();
    let col = |name: &str| &cols[names.iter().position(|other| other == name).unwrap()];
    assert_eq!(*col("cpu"), json!([25.0, 25.0, 25.0]));
    assert_eq!(*col("memory"), json!([75.0]));
    assert_eq!(*col("received"), json!([1_000.0]), "a rate at once, not after two scrapes");
    assert_eq!(*col("boot_time"), json!([1_791_673_266.0]));
    assert_eq!(*col("disk"), json!([null]));

    // The next scrape, with a counter that was reset.
    world.commit(&node(t, 45.0, 500.0));
    let update = client.update().await;
    let at = |name: &str| &update["v"][names.iter().position(|other| other == name).unwrap()];
    assert_eq!((&update["t"], at("received")), (&json!(t), &json!(500.0)));

    // A second server joins.
    world.commit(&[("node_load5{instance=\"b:1\",job=\"node\"}", t + 1, 0.5)]);
    let series = client.read().await;
    assert_eq!(series["add"], json!([{"i": 8, "m": {"instance": "b:1", "job": "node"}}]));
    let update = client.update().await;
    assert_eq!((&update["i"][0], &update["v"][4]), (&json!(8), &json!(0.5)));

    // The first goes down: its series end.
    world.commit(&[
        ("up{instance=\"a:1\",job=\"node\"}", t + 2_000, 0.0),
        (
            "node_cpu_seconds_total{instance=\"a:1\",job=\"node\",mode=\"idle\",cpu=\"0\"}",
            t + 2_000,
            STALE,
        ),
        ("node_memory_MemAvailable_bytes{instance=\"a:1\",job=\"node\"}", t + 2_000, STALE),
    ]);
    let update = client.update().await;
    assert_eq!(
        (&update["v"][0], &update["v"][1], &update["v"][2]),
        (&json!(0.0), &json!(null), &json!(null))
    );
}

#[tokio::test]
async fn the_page_of_one_server() {
    let world = World::new();
    let t = now_ms() / 1_000 * 1_000;
    let mut client = Client::connect(&world).await;
    let snap = client
        .subscribe(json!({"view": "server", "args": {"server": "a:1"}, "range": "10s"}))
        .await;
    let position = |snap: &Value, name: &str| {
        let series = snap["series"].as_array().unwrap();
        series.iter().position(|entry| entry["m"]["name"] == name)
    };
    assert_eq!(
        snap["series"][0]["m"],
        json!({"name": "up", "instance": "a:1"}),
        "it waits for the server"
    );
    assert_eq!(snap["cols"][position(&snap, "load1").unwrap()].as_array().unwrap().len(), 10);

    let scrape = |at: i64, seconds: f64| {
        vec![
            ("node_cpu_seconds_total{instance=\"a:1\",mode=\"idle\",cpu=\"0\"}", at, 0.5 * seconds),
            ("node_cpu_seconds_total{instance=\"a:1\",mode=\"user\",cpu=\"0\"}", at, 0.4 * seconds),
            (
                "node_cpu_seconds_total{instance=\"a:1\",mode=\"system\",cpu=\"0\"}",
                at,
                0.1 * seconds,
            ),
            ("node_disk_read_bytes_total{instance=\"a:1\",device=\"sda\"}", at, 7.0 * seconds),
            ("node_disk_read_bytes_total{instance=\"a:1\",device=\"sda1\"}", at, 7.0 * seconds),
            (
                "node_filesystem_size_bytes{instance=\"a:1\",mountpoint=\"/\",fstype=\"ext4\"}",
                at,
                100.0,
            ),
            (
                "node_filesystem_avail_bytes{instance=\"a:1\",mountpoint=\"/\",fstype=\"ext4\"}",
                at,
                40.0,
            ),
            (
                "node_filesystem_size_bytes{instance=\"a:1\",mountpoint=\"/run\",fstype=\"tmpfs\"}",
                at,
                1.0,
            ),
            ("node_load1{instance=\"other:1\"}", at, 9.0),
        ]
    };
    world.commit(&scrape(t - 2_000, 0.0));
    let series = client.read().await;
    let added: Vec<_> =
        series["add"].as_array().unwrap().iter().map(|entry| entry["m"]["name"].clone()).collect();
    assert_eq!(added, ["filesystem_used", "filesystem_size"], "one that can fill up");
    let mount = series["add"][0]["i"].as_u64().unwrap() as usize;
    client.update().await;
    world.commit(&scrape(t - 1_000, 1.0));
    let update = client.update().await;
    let at = |i: usize| update["v"][i].as_f64();
    assert_eq!(at(position(&snap, "cpu_user").unwrap()), Some(40.0));
    assert_eq!(at(position(&snap, "cpu_system").unwrap()), Some(10.0));
    assert_eq!(
        at(position(&snap, "disk_read").unwrap()),
        Some(7.0),
        "a partition is not counted twice"
    );
    assert_eq!(at(position(&snap, "load1").unwrap()), None);
    assert_eq!((at(mount), at(mount + 1)), (Some(60.0), Some(100.0)));
}

#[tokio::test]
async fn the_list_of_monitors() {
    let world = World::new();
    let t = now_ms() / 1_000 * 1_000;
    let check = |at: i64, success: f64| {
        [
            ("probe_success{instance=\"https://x\",job=\"web\"}", at, success),
            ("probe_duration_seconds{instance=\"https://x\",job=\"web\"}", at, 0.25),
            (
                "probe_ssl_earliest_cert_expiry{instance=\"https://x\",job=\"web\"}",
                at,
                1_800_000_000.0,
            ),
            ("probe_duration_seconds{instance=\"stray\",job=\"web\"}", at, 0.25),
        ]
    };
    for n in 0..100 {
        world.store(&check(t - 100 * 15_000 + n * 15_000, if n == 98 { 0.0 } else { 1.0 }));
    }
    let mut client = Client::connect(&world).await;
    let snap = client.subscribe(json!({"view": "monitors", "range": "6h"})).await;
    assert_eq!(snap["series"], json!([{"i": 0, "m": {"instance": "https://x", "job": "web"}}]));
    let checks = snap["cols"][0].as_array().unwrap();
    assert_eq!((checks.len(), &checks[58], &checks[59]), (60, &json!(0.0), &json!(1.0)));
    let times = snap["ts"][0].as_array().unwrap();
    assert_eq!(times[59].as_i64().unwrap() + snap["t0"].as_i64().unwrap(), t - 15_000);
    assert_eq!(snap["cols"][2], json!([1_800_000_000.0]));
    world.commit(&check(t, 0.0));
    let update = client.update().await;
    assert_eq!((&update["t"], &update["i"]), (&json!(t), &json!([0, 1, 2])));
    assert_eq!(update["v"], json!([0.0, 0.25, 1_800_000_000.0]));
}

#[tokio::test]
async fn one_read_of_the_store_serves_all_who_come_together() {
    let world = World::new();
    let t = now_ms();
    world.store(&[("load", t, 0.5)]);
    let mut first = Client::connect(&world).await;
    let snap = first.subscribe(json!({"match": ["load"]})).await;
    world.commit(&[("load", t + 1, 1.0)]);
    first.update().await;
    let mut second = Client::connect(&world).await;
    let again = second.subscribe(json!({"match": ["load"]})).await;
    assert_eq!(again, snap, "the snapshot that was made for the first");
    assert_eq!(second.update().await["t"], t + 1, "and what came after it");
    assert_eq!(world.metric("live_channels"), 1.0);
}
