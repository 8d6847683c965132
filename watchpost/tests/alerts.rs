//! What every alert owes to whoever is woken by it: words, a page that says what to do, a dashboard that exists, and a
//! test that it fires and one that it does not.
//!
//! The rules are read as data. Whether promtool thinks the same of them is checked in `artifacts.rs`, whether their
//! metrics exist in `e2e/names.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Where the pages lie for somebody who only has the alert.
const RUNBOOKS: &str = "https://github.com/watchpost/watchpost/blob/main/docs/runbooks/";
/// `none` is for what must always arrive and wakes nobody.
const SEVERITIES: [&str; 4] = ["critical", "warning", "info", "none"];
/// Fires always: there is no way to show that it does not.
const ALWAYS: &str = "Watchdog";

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
    alert: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Tests {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    alert_rule_test: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    alertname: String,
    exp_alerts: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    exp_annotations: BTreeMap<String, String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files in `folder` with this ending, as text, by name.
fn files(folder: &str, ending: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeMap<String, String> = entries
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(ending)?.to_owned();
            Some((name, fs::read_to_string(&path).unwrap()))
        })
        .collect();
    assert!(!found.is_empty(), "no *{ending} in {folder}");
    found
}

fn alerts() -> BTreeMap<String, Rule> {
    let mut alerts = BTreeMap::new();
    for (file, text) in files("rules", ".yaml") {
        let rules: Rules =
            serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{file}: {err}"));
        for rule in rules.groups.into_iter().flat_map(|group| group.rules) {
            let Some(name) = rule.alert.clone() else { continue };
            assert!(alerts.insert(name.clone(), rule).is_none(), "{name} is there twice");
        }
    }
    alerts
}

#[track_caller]
fn report(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let mut violations = Vec::new();
    let dashboards = files("dashboards", ".json");
    for (name, rule) in alerts() {
        let severity = rule.labels.get("severity").map_or("", String::as_str);
        if !SEVERITIES.contains(&severity) {
            violations.push(format!("{name}: severity `{severity}`"));
        }
        let annotation = |key: &str| rule.annotations.get(key).map_or("", String::as_str);
        for key in ["summary", "description"] {
            if annotation(key).is_empty() {
                violations.push(format!("{name}: lacks {key}"));
            }
        }
        // Values change with every evaluation; a summary is what people and mail programs group by.
        if annotation("summary").contains("$value") {
            violations.push(format!("{name}: the value belongs into the description"));
        }
        if annotation("runbook_url") != format!("{RUNBOOKS}{name}.md") {
            violations.push(format!("{name}: runbook_url is `{}`", annotation("runbook_url")));
        }
        let path = annotation("dashboard").strip_prefix("/d/").unwrap_or_default();
        let uid = path.split('?').next().unwrap_or_default();
        let is_there =
            dashboards.values().any(|text| text.contains(&format!("\"uid\": \"{uid}\"")));
        if uid.is_empty() || !is_there {
            violations.push(format!("{name}: there is no dashboard `{uid}`"));
        }
    }
    report(&violations);
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let alerts = alerts();
    let pages = files("docs/runbooks", ".md");
    let mut violations = Vec::new();
    for name in alerts.keys() {
        match pages.get(name) {
            None => violations.push(format!("{name}: lacks docs/runbooks/{name}.md")),
            Some(text) => {
                for part in [&*format!("# {name}\n"), "\n## Look\n- ", "\n## Do\n- "] {
                    if !text.contains(part) {
                        violations.push(format!("{name}.md: lacks `{}`", part.trim()));
                    }
                }
            }
        }
    }
    let orphans = pages.keys().filter(|page| !alerts.contains_key(*page));
    violations.extend(orphans.map(|page| format!("{page}.md: there is no such alert")));
    report(&violations);
}

#[test]
fn every_alert_is_shown_to_fire_and_not_to_fire() {
    let mut fires = BTreeSet::new();
    let mut is_quiet = BTreeSet::new();
    let mut violations = Vec::new();
    for (file, text) in files("rules/tests", "_test.yaml") {
        let tests: Tests =
            serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{file}: {err}"));
        for check in tests.tests.into_iter().flat_map(|case| case.alert_rule_test) {
            let firing = !check.exp_alerts.is_empty();
            if firing { &mut fires } else { &mut is_quiet }.insert(check.alertname.clone());
            for text in check.exp_alerts.iter().flat_map(|alert| alert.exp_annotations.values()) {
                if text.contains("error expanding template") || text.contains("<no value>") {
                    violations.push(format!("{}: `{text}`", check.alertname));
                }
            }
        }
    }
    for name in alerts().into_keys() {
        if !fires.contains(&name) {
            violations.push(format!("{name}: no test shows that it fires"));
        }
        if name != ALWAYS && !is_quiet.contains(&name) {
            violations.push(format!("{name}: no test shows that it does not fire"));
        }
    }
    report(&violations);
}
