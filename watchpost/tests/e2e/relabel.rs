//! Relabelling beside Prometheus: the same series go to two receivers. For one, Prometheus applies the rules before it
//! sends; the other gets everything and applies them itself. Both must end up with the same series.
//!
//! The rules hold what Prometheus 2 does not know; `WATCHPOST_E2E_PROMETHEUS_3` names a Prometheus 3 where the one on the
//! path is older.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use receiver::db::testing;
use sqlx::{Connection, PgConnection};

use crate::harness::{
    find_tool, free_port,
    process::{Process, watchpost},
    until,
};

/// What is scraped: names and values that rules can be wrong about.
const PAGE: &str = "\
plain 1
cased{v=\"bAr123\"} 1
cased{v=\"ΟΔΟΣ\"} 1
cased{v=\"Straße ﬁ İ ᾀᾳ ǆ\"} 1
parts{a=\"some-name-value\",b=\"x\"} 1
parts{a=\"other\",b=\"y\"} 1
equal{a=\"1\",b=\"1\",c=\"first\"} 1
equal{a=\"1\",b=\"2\",c=\"second\"} 1
lines{v=\"one\\ntwo\"} 1
lines{v=\"one two\"} 1
mapped{meta_x=\"1\",meta_y=\"2\",one_z=\"3\",two_z=\"4\"} 1
hashed{v=\"foo\"} 1
hashed{v=\"bar\"} 1
hashed{v=\"\u{1f980}\"} 1
twin{v=\"twin\"} 1
dropped_by_name{v=\"1\"} 1
kept{secret_a=\"1\",secret_b=\"2\",shown=\"3\"} 1
last 1
";

const RULES: &str = r#"write_relabel_configs:
  - { source_labels: [__name__], regex: 'dropped_.*', action: drop }
  - { source_labels: [__name__, a], regex: 'equal;(.*)', target_label: was_equal }
  - { source_labels: [__name__], target_label: v, action: DropEqual }
  - { source_labels: [v], target_label: lower, action: lowercase }
  - { source_labels: [v], target_label: upper, action: uppercase }
  - { source_labels: [a], regex: '([^-]+)-([^-]+)-(.*)', target_label: '${2}_${1}', replacement: '$3.${3}.$3x.$$' }
  - { source_labels: [v], regex: 'one.two', target_label: dotall, replacement: 'yes' }
  - { source_labels: [v, __name__], separator: '|', target_label: joined }
  - { source_labels: [nothing], target_label: constant, replacement: 'from nothing' }
  - { source_labels: [nothing], target_label: job }
  - { source_labels: [v], target_label: shard, modulus: 17, action: hashmod }
  - { source_labels: [nothing, v], target_label: 'with.dot', modulus: 18446744073709551615, action: hashmod }
  - { regex: 'meta_(.+)', action: labelmap }
  - { regex: '(?:one|two)_(?P<rest>z)', action: labelmap, replacement: 'both_${rest}' }
  - { regex: 'secret_.*|instance', action: labeldrop }
  - { source_labels: [shown], regex: '\d', target_label: digit, replacement: 'é' }
  - { source_labels: [__name__], regex: '(?i)LAST', target_label: __name__, replacement: 'renamed' }
"#;

async fn start_receiver(folder: &Path, url: &str, rules: Option<&Path>) -> (Process, String) {
    let mut command = watchpost();
    command.args(["receiver", "--web.listen-address", "127.0.0.1:0", "--database-url", url]);
    if let Some(rules) = rules {
        command.arg("--config.file").arg(rules);
    }
    let mut receiver = Process::start("receiver", folder, command);
    let address = receiver.address().await;
    (receiver, address)
}

async fn series(url: &str) -> BTreeSet<String> {
    let mut db = PgConnection::connect(url).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT m.name || s.labels::text FROM watchpost.series s JOIN watchpost.metric m ON m.id = s.metric_id",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    db.close().await.unwrap();
    // What Prometheus says of the scrape itself is of no interest.
    let of_scrape = |name: &String| name.starts_with("scrape_") || name.starts_with("up{");
    names.into_iter().filter(|name| !of_scrape(name)).collect()
}

#[tokio::test]
async fn rules_say_here_what_they_say_in_prometheus() {
    let Some(program) = find_tool(&["prometheus-3", "prometheus"]) else { return };
    let version = Command::new(&program).arg("--version").output().unwrap();
    if !String::from_utf8_lossy(&version.stdout).contains("version 3.") {
        eprintln!(
            "SKIPPED: {} is no Prometheus 3; name one by WATCHPOST_E2E_PROMETHEUS_3",
            program.display()
        );
        return;
    }
    let folder = testing::folder();
    let rules = folder.path().join("receiver.yml");
    fs::write(&rules, RULES).unwrap();
    let mut check = watchpost();
    let check = check.args(["check", "receiver-config"]).arg(&rules).output().unwrap();
    assert!(check.status.success(), "{check:?}");

    let (theirs, ours) = (testing::database().await, testing::database().await);
    let (_first, plain) = start_receiver(folder.path(), theirs.url(), None).await;
    let (_second, ruled) = start_receiver(folder.path(), ours.url(), Some(&rules)).await;
    let page = axum::Router::new().route("/metrics", axum::routing::get(async || PAGE));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, page).await });
    let config = folder.path().join("prometheus.yml");
    let indented = RULES.replace("\n  - ", "\n      - ");
    let text = format!(
        "global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: page
    static_configs: [{{ targets: ['{target}'] }}]
remote_write:
  - url: http://{plain}/api/v1/write
    {indented}
  - url: http://{ruled}/api/v1/write
"
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(&program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("prometheus").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{}", free_port()))
        .current_dir(folder.path());
    let _prometheus = Process::start("prometheus", folder.path(), command);
    // The last line of the page comes with the rest of it: one scrape is one request.
    for url in [theirs.url(), ours.url()] {
        until("the page has arrived", async || {
            series(url).await.iter().any(|name| name.starts_with("renamed")).then_some(())
        })
        .await;
    }
    let (theirs, ours) = (series(theirs.url()).await, series(ours.url()).await);
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 16, "{ours:#?}");
    eprintln!("{} series are the same", ours.len());
}
