//! Two answers to the same question, and in what they differ.

use std::collections::{BTreeMap, BTreeSet};

/// One difference in one probe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    /// A family, or `request`.
    pub(super) subject: String,
    pub(super) what: String,
}

type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Family {
    help: String,
    kind: String,
    samples: Vec<(Labels, String)>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let sample = (read_labels(labels), value.to_owned());
            families.entry(name.to_owned()).or_default().samples.push(sample);
        }
    }
    families
}

/// `a="b",c="d"}`, where values hold no escaped quotes but perhaps commas.
fn read_labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, next)) = after.split_once('"') else { break };
        labels.insert(name.trim_start_matches(',').to_owned(), value.to_owned());
        rest = next;
    }
    labels
}

fn label_names(family: &Family) -> BTreeSet<&str> {
    family.samples.iter().flat_map(|(labels, _)| labels.keys().map(String::as_str)).collect()
}

/// Values of these depend on the clock.
fn is_timed(name: &str) -> bool {
    name.contains("_duration_seconds") || name.contains("_lookup_time_seconds")
}

/// Samples by the labels that both have.
fn by_common_labels(
    name: &str,
    family: &Family,
    common: &BTreeSet<&str>,
) -> BTreeMap<String, String> {
    let shown = |labels: &Labels| {
        let pairs: Vec<String> = labels
            .iter()
            .filter(|(name, _)| common.contains(name.as_str()))
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
    };
    // Either may write a number in its own way.
    let number = |value: &String| value.parse::<f64>().expect("a number").to_string();
    let value = |value: &String| if is_timed(name) { "a time".to_owned() } else { number(value) };
    family.samples.iter().map(|(labels, v)| (shown(labels), value(v))).collect()
}

/// In what two expositions differ.
pub(super) fn expositions(ours: &str, theirs: &str) -> Vec<Difference> {
    let (ours, theirs) = (families(ours), families(theirs));
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let mut add = |what: String| found.push(Difference { subject: name.clone(), what });
        let (here, there) = match (ours.get(name), theirs.get(name)) {
            (Some(here), Some(there)) => (here, there),
            (Some(_), None) => {
                add("only here".to_owned());
                continue;
            }
            (None, _) => {
                add("only there".to_owned());
                continue;
            }
        };
        if here.help != there.help {
            add("another help text".to_owned());
        }
        if here.kind != there.kind {
            add(format!("{} here, {} there", here.kind, there.kind));
        }
        let (labels_here, labels_there) = (label_names(here), label_names(there));
        for label in labels_here.symmetric_difference(&labels_there) {
            let place = if labels_here.contains(label) { "here" } else { "there" };
            add(format!("label `{label}` only {place}"));
        }
        let common: BTreeSet<&str> = labels_here.intersection(&labels_there).copied().collect();
        let here = by_common_labels(name, here, &common);
        let there = by_common_labels(name, there, &common);
        let series: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
        for series in series {
            let shown = |value: Option<&String>| value.map_or("nothing", |v| v.as_str()).to_owned();
            let (here, there) = (shown(here.get(series)), shown(there.get(series)));
            if here != there {
                add(format!(
                    "{series}{}{here} here, {there} there",
                    if series.is_empty() { "" } else { " " }
                ));
            }
        }
    }
    found
}

/// Servers have other ports each time, and we have another version some day.
fn without_port(line: &str) -> String {
    let line = line.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some(at) = rest.find(':') {
        let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(&rest[..=at]);
        if digits == 5 {
            out.push_str("PORT");
        } else {
            out.push_str(&rest[at + 1..][..digits]);
        }
        rest = &rest[at + 1 + digits..];
    }
    out + rest
}

/// In what the requests differ that came of two probes.
pub(super) fn requests(ours: &[Vec<String>], theirs: &[Vec<String>]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |what: String| found.push(Difference { subject: "request".to_owned(), what });
    if ours.len() != theirs.len() {
        add(format!("{} of them here, {} there", ours.len(), theirs.len()));
    }
    for (here, there) in ours.iter().zip(theirs) {
        let (here, there): (BTreeSet<String>, BTreeSet<String>) = (
            here.iter().map(|l| without_port(l)).collect(),
            there.iter().map(|l| without_port(l)).collect(),
        );
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let only_here: BTreeMap<String, &String> =
            here.difference(&there).map(|line| (name(line), line)).collect();
        let only_there: BTreeMap<String, &String> =
            there.difference(&here).map(|line| (name(line), line)).collect();
        for (header, line) in &only_here {
            match only_there.get(header) {
                Some(other) => add(format!("`{line}` here, `{other}` there")),
                None => add(format!("`{line}` only here")),
            }
        }
        for (header, line) in &only_there {
            if !only_here.contains_key(header) {
                add(format!("`{line}` only there"));
            }
        }
    }
    found
}
