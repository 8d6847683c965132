//! What Prometheus and Grafana load from this repository, checked as they would: rules and their tests and the example
//! configuration by promtool, dashboards by the rules that keep them working in any Grafana. What alerts owe to people is in
//! `alerts.rs`, whether metrics exist in `e2e/names.rs`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no *{ending} in {folder}");
    found
}

#[expect(clippy::print_stderr, reason = "a skipped check has to be seen")]
fn promtool(arguments: &[&str], files: &[PathBuf]) {
    match Command::new("promtool").args(arguments).args(files).output() {
        Ok(output) => assert!(
            output.status.success(),
            "promtool {arguments:?}:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "SKIPPED: promtool {arguments:?}: promtool is not installed (package prometheus)"
            );
        }
        Err(err) => panic!("promtool: {err}"),
    }
}

#[test]
fn rules_are_valid_and_fire_when_they_should() {
    promtool(&["check", "rules"], &files("rules", ".yaml"));
    promtool(&["test", "rules"], &files("rules/tests", "_test.yaml"));
}

#[test]
fn the_example_configuration_is_valid() {
    promtool(&["check", "config"], &files("deploy/prometheus", "prometheus.yml"));
}

#[test]
fn dashboards_work_in_any_grafana() {
    let mut uids = BTreeSet::new();
    for path in files("dashboards", ".json") {
        let text = fs::read_to_string(&path).unwrap();
        let board: Value = serde_json::from_str(&text).unwrap();
        let name = path.display();
        assert!(
            !text.contains("${DS_") && board.get("__inputs").is_none(),
            "{name}: exported for import"
        );
        assert_eq!(board["id"], Value::Null, "{name}: id");
        assert!(
            board["uid"].as_str().is_some_and(|uid| !uid.is_empty() && uid.len() <= 40),
            "{name}: uid"
        );
        assert!(uids.insert(board["uid"].to_string()), "{name}: another dashboard has this uid");
        let mut ids = BTreeSet::new();
        assert_eq!(board["editable"], Value::Bool(false), "{name}: editable");
        let variables: Vec<&str> = board["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|v| v["name"].as_str())
            .collect();
        for wanted in ["datasource", "job", "instance"] {
            assert!(variables.contains(&wanted), "{name}: variable {wanted}");
        }
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap_or_default();
            assert!(ids.insert(panel["id"].as_u64()), "{name}: id of {title}");
            for key in ["title", "description"] {
                assert!(
                    panel[key].as_str().is_some_and(|text| !text.is_empty()),
                    "{name}: {key} of {title}"
                );
            }
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{name}: unit of {title}"
            );
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(
                    target["datasource"]["uid"], "${datasource}",
                    "{name}: data source of {title}"
                );
                let query = target["expr"].as_str().unwrap();
                assert!(
                    query.contains("job=~\"$job\",instance=~\"$instance\""),
                    "{name}: matchers of {title}"
                );
                assert_eq!(
                    query.matches("rate(").count(),
                    query.matches("[$__rate_interval]").count(),
                    "{title}"
                );
            }
        }
    }
}

#[test]
fn grafana_is_provisioned_with_what_the_dashboards_expect() {
    for folder in ["datasources", "dashboards"] {
        for path in files(&format!("deploy/grafana/provisioning/{folder}"), ".yaml") {
            let text = fs::read_to_string(&path).unwrap();
            let parsed: Value = serde_saphyr::from_str(&text)
                .unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            assert_eq!(parsed["apiVersion"], 1, "{}", path.display());
            // The variable `datasource` of the dashboards offers this type.
            let types = parsed["datasources"].as_array().into_iter().flatten();
            assert!(types.map(|source| &source["type"]).all(|kind| kind == "prometheus"));
        }
    }
}

#[test]
fn units_are_hardened() {
    let units = files("deploy/systemd", ".service");
    assert_eq!(units.len(), 4, "one for each program and one for all");
    for path in units {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("\nExecStart=/usr/bin/{name}")), "{name}: ExecStart");
        for line in ["NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=on-failure"] {
            assert!(text.contains(&format!("\n{line}\n")), "{name}: {line}");
        }
        // A private PostgreSQL is stopped by Watchpost, in order, and not by systemd at the same time.
        assert_eq!(text.contains("\nKillMode=mixed\n"), name == "watchpost", "{name}: KillMode");
    }
}
