//! Runs our scripts, and Prometheus' where they are at hand.
//!
//! Of Prometheus' scripts a list says which evaluations pass (`testdata/upstream-passing.txt`). It is a ratchet: a
//! listed evaluation that fails is a regression, an unlisted one that passes must be listed.
//! `WATCHPOST_PROMQLTEST_DIR` says where the scripts are; `WATCHPOST_PROMQLTEST_BLESS=1` writes the list anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Report, Script, run};

fn scripts(folder: &Path) -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder).expect("folder of scripts") {
        let path = entry.expect("folder entry").path();
        if path.extension().is_some_and(|extension| extension == "test") {
            let name = path.file_name().expect("files have names").to_string_lossy().into_owned();
            scripts.push((name, std::fs::read_to_string(&path).expect("script is text")));
        }
    }
    scripts.sort();
    scripts
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn run_text(name: &str, text: &str) -> Report {
    let script = Script::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    run(&script)
}

#[test]
fn our_scripts_pass() {
    let mut n_passed = 0;
    let mut failures = String::new();
    for (name, text) in scripts(&testdata()) {
        let report = run_text(&name, &text);
        n_passed += report.passed.len();
        for failure in report.failed {
            writeln!(
                failures,
                "{name}:{}: {}\n    {}",
                failure.line, failure.query, failure.message
            )
            .unwrap();
        }
    }
    assert!(failures.is_empty(), "{n_passed} passed, but:\n{failures}");
    assert!(n_passed > 0, "no scripts found");
}

#[test]
fn upstream_scripts_pass_as_listed() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/promqltest");
    let folder = std::env::var_os("WATCHPOST_PROMQLTEST_DIR").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        eprintln!(
            "SKIPPED: no scripts of Prometheus in {} (set WATCHPOST_PROMQLTEST_DIR)",
            folder.display()
        );
        return;
    }
    let list = testdata().join("upstream-passing.txt");
    let mut passing: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut failures = BTreeMap::new();
    for (name, text) in scripts(&folder) {
        let report = run_text(&name, &text);
        println!("{name}: {} passed, {} failed", report.passed.len(), report.failed.len());
        for failure in report.failed {
            println!("  {name}:{}: {}\n      {}", failure.line, failure.query, failure.message);
            failures.insert((name.clone(), failure.line), failure.message);
        }
        passing.insert(name, report.passed.into_iter().collect());
    }
    let n_passed: usize = passing.values().map(BTreeSet::len).sum();
    println!("{n_passed} passed, {} failed", failures.len());
    if std::env::var_os("WATCHPOST_PROMQLTEST_BLESS").is_some() {
        std::fs::write(&list, write_list(&passing)).expect("write the list");
        return;
    }
    let listed =
        read_list(&std::fs::read_to_string(&list).expect("the list of passing evaluations"));
    let mut wrong = String::new();
    for (name, lines) in &listed {
        for line in lines.difference(passing.get(name).unwrap_or(&BTreeSet::new())) {
            let message = failures.get(&(name.clone(), *line)).map_or("not found", String::as_str);
            writeln!(wrong, "{name}:{line} is listed but fails: {message}").unwrap();
        }
    }
    for (name, lines) in &passing {
        for line in lines.difference(listed.get(name).unwrap_or(&BTreeSet::new())) {
            writeln!(wrong, "{name}:{line} passes but is not listed").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

const LIST_HEAD: &str = "# Evaluations of Prometheus 3.14's promqltest scripts that pass, by file and line.\n\
                         # Written by WATCHPOST_PROMQLTEST_BLESS=1 cargo test -p promql upstream\n";

fn write_list(passing: &BTreeMap<String, BTreeSet<usize>>) -> String {
    let mut text = LIST_HEAD.to_owned();
    for (name, lines) in passing {
        write!(text, "\n{name}").unwrap();
        for (at, line) in lines.iter().enumerate() {
            let separator = if at % 20 == 0 { "\n    " } else { " " };
            write!(text, "{separator}{line}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn read_list(text: &str) -> BTreeMap<String, BTreeSet<usize>> {
    let mut passing: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with(' ') {
            let numbers = line
                .split_whitespace()
                .map(|number| number.parse::<usize>().expect("line numbers"));
            passing.entry(name.clone()).or_default().extend(numbers);
        } else {
            line.clone_into(&mut name);
        }
    }
    passing
}

/// The runner itself must notice what is wrong.
#[test]
fn wrong_expectations_fail() {
    let load = "load 1m\n  m{a=\"1\"} 0+1x10\n  h {{count:1 sum:2}}x10\n\n";
    for wrong in [
        "eval instant at 5m m\n  m{a=\"1\"} 6",
        "eval instant at 5m m\n  m{a=\"2\"} 5",
        "eval instant at 5m m",
        "eval instant at 5m m\n  m{a=\"1\"} 5\n  m{a=\"2\"} 5",
        "eval instant at 5m m\n  expect fail",
        "eval instant at 5m m\n  expect warn\n  m{a=\"1\"} 5",
        "eval instant at 5m rate(m[5m])\n  expect no_info\n  {a=\"1\"} 0.0166666667",
        "eval instant at 5m nothing +\n",
        "eval instant at 5m sum(\n  expect fail msg: something else",
        "eval range from 0 to 2m step 1m m\n  m{a=\"1\"} 0 1",
        "eval range from 0 to 2m step 1m m\n  m{a=\"1\"} 0 1 3",
        "eval instant at 5m h\n  h {{count:2 sum:2}}",
        "eval instant at 5m h\n  h 1",
        "eval instant at 5m time()\n  301",
    ] {
        let report = run_text("wrong", &format!("{load}{wrong}\n"));
        assert_eq!((report.passed.len(), report.failed.len()), (0, 1), "{wrong}");
    }
    let right = "eval instant at 5m m\n  m{a=\"1\"} 5\n\neval instant at 5m time()\n  300\n\n\
                 eval range from 0 to 2m step 1m m\n  m{a=\"1\"} 0 1 2\n\neval instant at 5m sum(\n  expect fail\n";
    let report = run_text("right", &format!("{load}{right}"));
    assert_eq!(report.passed.len(), 4, "{:?}", report.failed);
}
