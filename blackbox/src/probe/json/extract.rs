//! From a document to samples.

use std::{borrow::Cow, collections::HashSet};

use proto::exposition::{Exposition, Kind};
use serde_json::Value;

use crate::{
    config::{JsonMetric, MetricType, ValueType},
    json_path::{PathError, Template, text_of},
};

/// Samples made of one document.
const SAMPLES_MAX: usize = 20_000;
/// Longest value of a label, in bytes; the rest is cut.
const LABEL_BYTES_MAX: usize = 1024;
/// Things left out that are told.
const COMPLAINTS_MAX: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Extracted {
    pub(super) samples: Exposition,
    /// What was left out, and why.
    pub(super) complaints: Vec<String>,
    /// Series already told: a second sample of one would spoil the whole scrape.
    series: HashSet<String>,
}

/// The error says that the text as a whole is of no use.
pub(super) fn extract(metrics: &[JsonMetric], text: &[u8]) -> Result<Extracted, String> {
    let document: Value =
        serde_json::from_slice(text).map_err(|err| format!("The answer is not JSON: {err}"))?;
    let mut extracted = Extracted::default();
    for metric in metrics {
        extracted.take(metric, &document);
    }
    Ok(extracted)
}

impl Extracted {
    fn take(&mut self, metric: &JsonMetric, document: &Value) {
        match metric.kind {
            MetricType::Value => self.take_value(metric, &metric.name, &metric.path.0, document),
            MetricType::Object => match metric.path.0.find(document) {
                Ok(found) => {
                    // A path may lead to the list itself instead of to what is in it.
                    let elements = found.into_iter().flat_map(|value| match value {
                        Value::Array(items) => items.iter().collect::<Vec<_>>(),
                        other => vec![other],
                    });
                    for element in elements {
                        for (key, path) in &metric.values {
                            let name = format!("{}_{key}", metric.name);
                            self.take_value(metric, &name, &path.0, element);
                        }
                    }
                }
                Err(err) => self.complain_of(metric, &metric.name, &err),
            },
        }
    }

    fn take_value(&mut self, metric: &JsonMetric, name: &str, path: &Template, from: &Value) {
        let text = match path.render(from) {
            Ok(text) => text,
            Err(err) => return self.complain_of(metric, name, &err),
        };
        let Some(value) = number(&text) else {
            let shown: String = text.chars().take(50).collect();
            return self.complain(format!("{name}: `{shown}` is not a number"));
        };
        let timestamp_ms = match &metric.epoch_timestamp {
            None => None,
            Some(path) => match path.0.render(from).ok().and_then(|text| number(&text)) {
                Some(ms) => Some(ms as i64),
                None => return self.complain(format!("{name}: epochTimestamp leads to no number")),
            },
        };
        let labels: Vec<(&str, String)> = metric
            .labels
            .iter()
            .map(|(label, template)| (label.as_str(), label_value(&template.0, from)))
            .collect();
        let pairs: Vec<(&str, &str)> =
            labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
        if self.series.len() >= SAMPLES_MAX {
            return self.complain(format!("{name}: there are more than {SAMPLES_MAX} samples"));
        }
        if !self.series.insert(format!("{name}{pairs:?}")) {
            return self.complain(format!("{name}: the labels {pairs:?} occur twice"));
        }
        let help = if metric.help.is_empty() { &metric.name } else { &metric.help };
        let kind = match metric.value_type {
            ValueType::Gauge => Kind::Gauge,
            ValueType::Counter => Kind::Counter,
            ValueType::Untyped => Kind::Untyped,
        };
        let mut family = self.samples.family(name, help, kind);
        match timestamp_ms {
            Some(ms) => family.timed(&pairs, value, ms),
            None => family.sample(&pairs, value),
        };
    }

    fn complain_of(&mut self, metric: &JsonMetric, name: &str, err: &PathError) {
        let is_fine = metric.allow_missing_key && matches!(err, PathError::Missing { .. });
        if !is_fine {
            self.complain(format!("{name}: {err}"));
        }
    }

    fn complain(&mut self, what: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(what);
        }
    }
}

/// A label that cannot be found is empty, which is the same as not there.
fn label_value(template: &Template, from: &Value) -> String {
    let mut text = template.render(from).unwrap_or_default();
    let mut end = text.len().min(LABEL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Numbers, also in quotes; truths; nothing at all is NaN.
fn number(text: &str) -> Option<f64> {
    let text: Cow<'_, str> = match serde_json::from_str::<Value>(text) {
        Ok(Value::String(inner)) => Cow::Owned(text_of(&Value::String(inner))),
        _ => Cow::Borrowed(text),
    };
    match text.trim() {
        "null" | "<nil>" => Some(f64::NAN),
        "true" | "True" | "TRUE" | "t" | "T" => Some(1.0),
        "false" | "False" | "FALSE" | "f" | "F" => Some(0.0),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Module};

    fn module(metrics: &str) -> Module {
        let yaml = format!("modules:\n  m:\n    metrics:\n{metrics}");
        Config::parse(&yaml, "test.yml".as_ref()).unwrap().modules["m"].as_ref().clone()
    }

    #[test]
    fn documents_become_samples() {
        let document =
            br#"{"counter": 1234, "up": true, "text": "12.5", "none": null, "at": 1600000000123,
            "values": [
              {"id": "a", "count": 1, "some_boolean": true, "state": "ACTIVE"},
              {"id": "b", "count": 2, "some_boolean": false, "state": "INACTIVE"},
              {"id": "a", "count": 3, "state": "ACTIVE"}
            ], "location": "mars"}"#;
        let module = module(
            r#"
    - {name: g, path: "{ .counter }", help: Example., labels: {environment: beta, where: "planet-{.location}"}, valuetype: gauge}
    - {name: up, path: "{.up}"}
    - {name: quoted, path: "{.text}", valuetype: counter}
    - {name: nothing, path: "{.none}"}
    - {name: timed, path: "{.counter}", epochTimestamp: "{.at}"}
    - {name: absent, path: "{.absent}"}
    - {name: absent_too, path: "{.absent}", allow_missing_key: true}
    - {name: word, path: "{.location}"}
    - {name: v, type: object, path: '{.values[?(@.state == "ACTIVE")]}', labels: {id: "{.id}"}, values: {active: 1, count: "{.count}", boolean: "{.some_boolean}"}}
"#,
        );
        let extracted = extract(&module.json.metrics, document).unwrap();
        let text = extracted.samples.to_text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "g{environment=\"beta\",where=\"planet-mars\"} 1234",
                "nothing NaN",
                "quoted 12.5",
                "timed 1234 1600000000123",
                "up 1",
                "v_active{id=\"a\"} 1",
                "v_boolean{id=\"a\"} 1",
                "v_count{id=\"a\"} 1",
            ]
        );
        assert!(
            text.contains("# HELP g Example.\n# TYPE g gauge\n")
                && text.contains("# TYPE up untyped\n")
        );
        let complaints = extracted.complaints.join("\n");
        for part in [
            "absent: `{.absent}` leads nowhere",
            "word: `mars` is not a number",
            "v_count: the labels",
            "v_boolean: `{.some_boolean}`",
        ] {
            assert!(complaints.contains(part), "{part} in\n{complaints}");
        }
        assert!(!complaints.contains("absent_too"));
        assert!(extract(&module.json.metrics, b"<html>").is_err());
    }

    #[test]
    fn hostile_documents_are_bounded() {
        let module = module(
            "    - {name: v, type: object, path: '{[*]}', labels: {l: \"{.l}\"}, values: {x: \"{.x}\"}}\n",
        );
        let long = "y".repeat(5000);
        let items: Vec<String> =
            (0..19_000).map(|n| format!("{{\"x\":{n},\"l\":\"{n}\"}}")).collect();
        let text = format!("[{},{{\"x\":1,\"l\":\"{long}\"}}]", items.join(","));
        let extracted = extract(&module.json.metrics, text.as_bytes()).unwrap();
        assert_eq!(extracted.samples.n_samples(), 19_001);
        assert!(!extracted.samples.to_text().contains(&"y".repeat(LABEL_BYTES_MAX + 1)));
        let deep = "[".repeat(100_000);
        assert!(extract(&module.json.metrics, deep.as_bytes()).is_err());
    }
}
