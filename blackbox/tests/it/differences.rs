//! The list of differences from the original, `docs/differences.md`, is made here: the same configurations, targets and
//! requests go to Debian's `prometheus-blackbox-exporter` and to us, and what differs must have a reason in
//! [`reasons`]. A difference without a reason, and a reason without a difference, is a failure.
//!
//! To accept a change: `UPDATE_GENERATED=1 cargo test -p blackbox --test it differences`.

mod compare;
mod files;
mod pages;
mod probes;
mod reasons;
mod servers;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    path::Path,
    process::Command,
};

use self::{compare::Difference, reasons::Reason};
use crate::{
    harness::{Prober, probe_path, request},
    reference::Original,
};

/// What the file was made with; others have other differences.
const VERSION: &str = "0.23.0";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/differences.md");
/// More probes than this are not named one by one.
const NAMED_MAX: usize = 6;
/// Modules of these cases get less time, for they need all that they get.
const SLOW: [&str; 4] = ["too slow", "a body that stalls", "waiting in vain", "TLS to silence"];

/// What differs, and in which cases.
type Found = BTreeMap<Difference, Vec<String>>;

/// One table of the file.
struct Table {
    title: &'static str,
    about: String,
    found: Found,
    reasons: &'static [Reason],
    /// More cases than this are only counted.
    named_max: usize,
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn is_the_same_original() -> bool {
    let output = Command::new("prometheus-blackbox-exporter").arg("--version").output();
    let told = output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
    if String::from_utf8_lossy(&told).contains(&format!("version {VERSION}")) {
        return true;
    }
    eprintln!(
        "SKIPPED: prometheus-blackbox-exporter {VERSION} is not installed, nothing was compared with it"
    );
    false
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
async fn may_send_echo_requests(ours: &Prober, module: &str) -> bool {
    let may = !ours.probe(module, "127.0.0.1").await.text.contains("reason=\"permission\"");
    if !may {
        eprintln!("SKIPPED: this user may not send echo requests, nothing was compared");
    }
    may
}

fn module(case: &probes::Case) -> String {
    let section = if case.keys.is_empty() {
        String::new()
    } else {
        format!(", {}: {{{}}}", case.prober, case.keys)
    };
    let timeout = if SLOW.contains(&case.name) { "500ms" } else { "10s" };
    format!("{{prober: {}, timeout: {timeout}{section}}}", case.prober)
}

async fn compared_probes() -> Option<Table> {
    let cases = probes::all().await;
    let mut yaml = "modules:\n  echo: {prober: icmp, timeout: 1s}\n".to_owned();
    for (number, case) in cases.all.iter().enumerate() {
        writeln!(yaml, "  m{number}: {}", module(case)).unwrap();
    }
    let original = Original::start(&yaml)?;
    let ours = Prober::start(&yaml).await;
    if !may_send_echo_requests(&ours, "echo").await {
        return None;
    }
    let mut found = Found::new();
    let mut by_prober: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (number, case) in cases.all.iter().enumerate() {
        let path = probe_path(&format!("m{number}"), &case.target, case.extra);
        cases.requests.take();
        let here = ours.get(&path).await;
        let asked_here = cases.requests.take();
        let there = original.get(&path).await;
        let asked_there = cases.requests.take();
        assert_eq!((here.status, there.status), (200, 200), "{} {}", case.prober, case.name);
        let mut differences = compare::expositions(&here.body, &there.body);
        differences.extend(compare::requests(&asked_here, &asked_there));
        for difference in differences {
            found.entry(difference).or_default().push(format!("{}: {}", case.prober, case.name));
        }
        by_prober.entry(case.prober).or_default().push(case.name);
    }
    let mut about = format!(
        "{} probes by both: requests, families, help, kinds, labels and every value that is not a time.\n",
        cases.all.len()
    );
    for (prober, names) in by_prober {
        writeln!(about, "- {prober}: {}", names.join("; ")).unwrap();
    }
    let reasons = reasons::PROBES;
    Some(Table { title: "Probes", about, found, reasons, named_max: NAMED_MAX })
}

/// The differences, those without a reason, and the reasons that nothing needs.
fn render(table: &Table, text: &mut String, complaints: &mut Vec<String>) {
    writeln!(text, "\n## {}\n{}", table.title, table.about).unwrap();
    let mut used = vec![false; table.reasons.len()];
    let mut rows: BTreeMap<usize, (BTreeSet<String>, BTreeSet<&String>)> = BTreeMap::new();
    for (difference, cases) in &table.found {
        for case in cases {
            let reason = table.reasons.iter().position(|reason| reason.explains(difference, case));
            let Some(position) = reason else {
                complaints.push(format!("{} | {} | {case}", difference.subject, difference.what));
                continue;
            };
            used[position] = true;
            let (whats, named) = rows.entry(position).or_default();
            whats.insert(format!("{} {}", difference.subject, difference.what).trim().to_owned());
            named.insert(case);
        }
    }
    writeln!(text, "| why | difference | in |\n|---|---|---|").unwrap();
    for (position, (whats, cases)) in rows {
        let whats: Vec<String> = whats.into_iter().collect();
        let cases = if cases.len() <= table.named_max {
            cases.into_iter().map(|case| format!("`{case}`")).collect::<Vec<_>>().join("<br>")
        } else {
            format!("{} of them", cases.len())
        };
        let why = table.reasons[position].why;
        writeln!(text, "| {why} | {} | {cases} |", whats.join("<br>")).unwrap();
    }
    for (reason, used) in table.reasons.iter().zip(used) {
        if !used {
            complaints.push(format!("nothing needs the reason {reason:?}"));
        }
    }
}

#[tokio::test]
async fn differences_are_listed_and_have_reasons() {
    if !is_the_same_original() {
        return;
    }
    let Some(compared) = compared_probes().await else { return };
    let tables = [compared, pages::compared().await, files::compared()];
    let mut text = format!(
        "# Differences from blackbox_exporter {VERSION}\n\n\
         Written by `UPDATE_GENERATED=1 cargo test -p blackbox --test it differences`, which asks both and fails where this\n\
         page is out of date. \"Here\" is Watchpost, \"there\" the original, as Debian packages it.\n"
    );
    let mut complaints = Vec::new();
    for table in &tables {
        render(table, &mut text, &mut complaints);
    }
    assert!(complaints.is_empty(), "{} complaints\n{}", complaints.len(), complaints.join("\n"));
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(FILE, &text).unwrap();
    }
    let committed = fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    assert!(
        committed == text,
        "docs/differences.md is out of date; run: UPDATE_GENERATED=1 cargo test -p blackbox --test it differences"
    );
}

impl Original {
    async fn get(&self, path: &str) -> crate::harness::Answer {
        request(self.address, "GET", path, "").await
    }
}
