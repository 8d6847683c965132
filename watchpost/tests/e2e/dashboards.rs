//! "No data" is what people see of a dashboard that is broken: the query of every panel, asked of a real Prometheus that
//! scrapes the real programs, has an answer, or a reason here.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use receiver::db::testing;
use serde_json::Value;

use crate::{
    alerting::{self, Scraped},
    all_in_one,
    harness::{PATIENCE, POLL, find_tool, http, prometheus::percent_encode},
};

/// What a healthy installation has nothing of.
const WITHOUT_DATA: [(&str, &str); 3] = [
    ("probe_ssl_earliest_cert_expiry", "no target of this test has a certificate"),
    ("receiver_samples_refused_total", "nothing was refused"),
    ("receiver_requests_denied_total", "nobody was denied"),
];

/// Panel by query, of all dashboards, with the variables at `All`.
fn queries() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let mut queries = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let board: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let query = query.replace("$__rate_interval", "10s");
                let query = query.replace("\"$job\"", "\".+\"").replace("\"$instance\"", "\".+\"");
                assert!(!query.contains('$'), "a variable that is not replaced: {query}");
                let name = path.file_name().unwrap().to_string_lossy();
                queries.insert(query, format!("{name}: {}", panel["title"]));
            }
        }
    }
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_data() {
    let Some(prometheus) = find_tool(&["prometheus-3", "prometheus"]) else { return };
    let Some(alertmanager) = find_tool(&["prometheus-alertmanager", "alertmanager"]) else {
        return;
    };
    let folder = testing::folder();
    let running = all_in_one::start(folder.path()).await;
    let host = |url: &str| url.split('/').nth(2).unwrap().to_owned();
    let (_alertmanager, alerts) =
        alerting::start_alertmanager(&alertmanager, folder.path(), &Default::default(), None).await;
    let scraped = Scraped {
        hosts: &[host(&running.exporter)],
        blackbox: &host(&running.blackbox),
        // One that is well, and one that nobody answers at.
        targets: &[format!("{}-/ready", running.console), "http://127.0.0.1:1".to_owned()],
        alertmanager: &alerts,
        receiver: Some(&host(&running.console)),
    };
    let (_prometheus, url) = alerting::start_prometheus(&prometheus, folder.path(), &scraped);

    let (client, started) = (http(), Instant::now());
    let mut missing = queries();
    let n_queries = missing.len();
    assert!(n_queries > 50, "dashboards were found");
    let is_excused = |query: &str| WITHOUT_DATA.iter().any(|(metric, _why)| query.contains(metric));
    while missing.keys().any(|query| !is_excused(query)) && started.elapsed() < PATIENCE {
        let mut asked = missing.clone();
        for query in missing.keys() {
            let ask = format!("{url}/api/v1/query?query={}", percent_encode(query));
            let ask = client.get(ask).send();
            let Ok(answer) = ask.await else { continue };
            // Words, until it is ready.
            let Ok(answer) = answer.json::<Value>().await else { continue };
            assert_ne!(answer["errorType"], "bad_data", "{query}: {answer}");
            if answer["data"]["result"].as_array().is_some_and(|series| !series.is_empty()) {
                asked.remove(query);
            }
        }
        missing = asked;
        tokio::time::sleep(POLL).await;
    }
    running.process.stop().await;
    eprintln!("{} of {n_queries} queries have no data: {missing:#?}", missing.len());
    missing.retain(|query, _| !is_excused(query));
    assert!(missing.is_empty(), "no data, and no reason: {missing:#?}");
}
