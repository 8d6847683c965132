//! Rules and dashboards name metrics; here is whether our programs have them, and with these labels.
//!
//! "Have" is what the running programs answer, and what the exporter answers on the machine of its fixtures, which has the
//! hardware that this one lacks. What neither shows is in [`UNSEEN`], with the reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use promql::{
    Features,
    ast::{Expr, VectorSelector},
};
use receiver::db::testing;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    all_in_one,
    harness::{
        free_port, http,
        process::{Process, watchpost},
        until,
    },
};

/// Metric, its labels, and why it is not in what is looked at here.
const UNSEEN: [(&str, &[&str], &str); 9] = [
    ("up", &[], "whoever scrapes makes it"),
    ("ALERTS", &["alertname", "alertstate", "severity"], "Prometheus makes it of rules"),
    ("node_systemd_unit_state", &["name", "state", "type"], "no systemd where tests run"),
    ("node_network_speed_bytes", &["device"], "virtual interfaces have no speed"),
    ("probe_ssl_earliest_cert_expiry", &[], "the console has no certificate in this test"),
    ("receiver_samples_refused_total", &["reason"], "nothing was refused"),
    ("receiver_requests_denied_total", &["reason"], "nobody was denied"),
    ("receiver_takeovers_total", &[], "only one receiver runs"),
    ("watchpost_feed_dropped_scrapes_total", &[], "nothing was dropped"),
];

/// Programs that are not ours.
const FOREIGN: [&str; 2] = ["prometheus_", "alertmanager_"];

/// Labels that a scrape adds to everything.
const OF_SCRAPES: [&str; 2] = ["job", "instance"];

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    #[serde(default)]
    alert: String,
    expr: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Labels by metric.
#[derive(Default)]
struct Known(BTreeMap<String, BTreeSet<String>>);

impl Known {
    /// Adds what an exposition in the text format holds.
    fn add(&mut self, exposition: &str) {
        for line in exposition.lines().filter(|line| !line.starts_with('#')) {
            let Some(end) = line.find(['{', ' ']) else { continue };
            let labels = self.0.entry(line[..end].to_owned()).or_default();
            if line[end..].starts_with('{')
                && let Ok(matchers) = promql::parse_selector(selector(line))
            {
                labels.extend(matchers.iter().map(|matcher| matcher.name().to_owned()));
            }
        }
    }
}

/// The series of a line: up to the brace after the last value of a label.
fn selector(line: &str) -> &str {
    let end = line.rfind('}').map_or(line.len(), |at| at + 1);
    &line[..end]
}

/// What a query asks of metrics.
#[derive(Default)]
struct Asked {
    metrics: BTreeMap<String, BTreeSet<String>>,
    grouping: BTreeSet<String>,
}

impl Asked {
    fn of(query: &str) -> Self {
        let mut asked = Self::default();
        let expr = promql::parse(query, Features::default());
        asked.walk(&expr.unwrap_or_else(|err| panic!("{err}\nin {query}")));
        asked
    }

    fn walk(&mut self, expr: &Expr) {
        match expr {
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Selector(node) => self.select(node),
            Expr::Range(node) => self.select(&node.selector),
            Expr::Subquery(node) => self.walk(&node.expr),
            Expr::Unary(node) => self.walk(&node.expr),
            Expr::Paren(node) => self.walk(&node.expr),
            Expr::Call(node) => node.args.iter().for_each(|arg| self.walk(arg)),
            Expr::Aggregate(node) => {
                self.grouping.extend(node.grouping.iter().cloned());
                self.walk(&node.expr);
            }
            Expr::Binary(node) => {
                if let Some(matching) = &node.matching {
                    self.grouping.extend(matching.labels.iter().chain(&matching.include).cloned());
                }
                self.walk(&node.left);
                self.walk(&node.right);
            }
        }
    }

    fn select(&mut self, selector: &VectorSelector) {
        let name = selector.name.as_deref().expect("rules and dashboards name their metrics");
        let labels = selector.matchers.iter().map(|matcher| matcher.name().to_owned());
        self.metrics
            .entry(name.to_owned())
            .or_default()
            .extend(labels.filter(|label| label != "__name__"));
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// `{{ $labels.device }}` → `device`.
fn labels_of_template(text: &str) -> impl Iterator<Item = String> {
    text.split("$labels.")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
}

/// What rules and dashboards ask: where it is asked, the query, and labels that words about it use.
fn questions(recorded: &mut BTreeSet<String>) -> Vec<(String, String, BTreeSet<String>)> {
    let mut questions = Vec::new();
    for (file, text) in files("rules", ".yaml") {
        let rules: Rules =
            serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{file}: {err}"));
        for rule in rules.groups.into_iter().flat_map(|group| group.rules) {
            let words =
                rule.annotations.values().flat_map(|text| labels_of_template(text)).collect();
            let name = rule.record.clone().unwrap_or(rule.alert);
            recorded.extend(rule.record);
            questions.push((name, rule.expr, words));
        }
    }
    for (file, text) in files("dashboards", ".json") {
        let board: Value = serde_json::from_str(&text).unwrap();
        for panel in board["panels"].as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
                questions.push((format!("{file}: {}", panel["title"]), query, BTreeSet::new()));
            }
        }
    }
    questions
}

#[tokio::test]
async fn rules_and_dashboards_name_what_is_there() {
    let folder = testing::folder();
    let running = all_in_one::start(folder.path()).await;
    let client = http();
    let get = async |url: String| {
        client.get(&url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    };
    // What was refused as no remote write is counted, too.
    let write = format!("{}api/v1/write", running.console);
    client.post(write).body("no snappy").send().await.unwrap();
    let blackbox = running.blackbox.trim_end_matches('/').to_owned();
    let probe =
        |module: &str, target: &str| format!("{blackbox}/probe?module={module}&target={target}");
    let mut known = Known::default();
    known.add(&get(probe("http_2xx", &format!("{}-/ready", running.console))).await);
    known.add(&get(probe("http_2xx", "127.0.0.1:1")).await);
    known.add(&get(running.exporter.clone()).await);
    known.add(&get(format!("{blackbox}/metrics")).await);
    let own = until("a scrape that was stored", async || {
        let page = get(format!("{}metrics", running.console)).await;
        page.contains("outcome=\"stored\"").then_some(page)
    })
    .await;
    known.add(&own);
    // What only a program has that pushes, or was told which services to look at.
    let queue = format!("--remote-write.queue-dir={}", folder.path().join("queue").display());
    let push = format!("--remote-write.url={}api/v1/write", running.console);
    let targets = folder.path().join("targets.yaml");
    fs::write(&targets, "targets:\n  - targets: ['http://127.0.0.1:1']\n").unwrap();
    let targets = format!("--probe.targets-file={}", targets.display());
    let services = "--collector.services.list=cron".to_owned();
    for (name, more) in [("exporter", services), ("blackbox", targets)] {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = watchpost();
        command.arg(name).arg(format!("--web.listen-address={address}"));
        command.args([&*push, &*format!("{queue}-{name}"), &*more]);
        let pushing = Process::start(name, folder.path(), command);
        let page = until("a page of a program that pushes", async || {
            let answer = client.get(format!("http://{address}/metrics")).send().await.ok()?;
            answer.text().await.ok()
        })
        .await;
        known.add(&page);
        pushing.stop().await;
    }
    let fixtures = root().join("exporter/tests/fixtures/golden.txt");
    known.add(&fs::read_to_string(fixtures).unwrap());
    for (metric, labels, _why) in UNSEEN {
        let labels = labels.iter().map(|label| (*label).to_owned());
        known.0.entry(metric.to_owned()).or_default().extend(labels);
    }
    running.process.stop().await;

    let mut recorded = BTreeSet::new();
    let questions = questions(&mut recorded);
    assert!(questions.len() > 50, "rules and dashboards were found");
    let mut violations = Vec::new();
    for (place, query, words) in questions {
        let asked = Asked::of(&query);
        let mut is_all_known = true;
        let mut labels: BTreeSet<&str> = OF_SCRAPES.into();
        for (metric, wanted) in &asked.metrics {
            let is_foreign = FOREIGN.iter().any(|prefix| metric.starts_with(prefix));
            if is_foreign || recorded.contains(metric) {
                is_all_known = false;
                continue;
            }
            let Some(has) = known.0.get(metric) else {
                violations.push(format!("{place}: no program of ours has {metric}"));
                continue;
            };
            for label in wanted {
                if !has.contains(label) && !OF_SCRAPES.contains(&label.as_str()) {
                    violations.push(format!("{place}: {metric} has no label {label}"));
                }
            }
            labels.extend(has.iter().map(String::as_str));
        }
        if is_all_known {
            let used = asked.grouping.union(&words);
            let missing = used.filter(|label| !labels.contains(label.as_str()));
            violations.extend(missing.map(|label| format!("{place}: nothing has a label {label}")));
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
