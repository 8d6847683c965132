//! The `json:` section: which values of a document become which samples.
//!
//! The keys are those of `json_exporter` (<https://github.com/prometheus-community/json_exporter>), whose modules can be used
//! as they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClientConfig, client, is_default, or_default};
use crate::{dial::Family, json_path};

/// What to ask for, and what to make of the answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonConfig {
    pub preferred_ip_protocol: Family,
    pub ip_protocol_fallback: bool,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub body: JsonBody,
    #[serde(skip_serializing_if = "is_default")]
    pub valid_status_codes: Vec<u16>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub http_client_config: ClientConfig,
    pub metrics: Vec<JsonMetric>,
}

impl Default for JsonConfig {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: Family::default(),
            ip_protocol_fallback: true,
            headers: BTreeMap::new(),
            body: JsonBody::default(),
            valid_status_codes: Vec::new(),
            http_client_config: ClientConfig::default(),
            metrics: Vec::new(),
        }
    }
}

/// What is sent; with it the request is a POST.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonBody {
    pub content: String,
    /// Whether `{{ .name }}` in it stands for a parameter of the probe's URL.
    pub templatize: bool,
}

/// One family, or with `type: object` one for each key of `values`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonMetric {
    pub name: String,
    /// The name where it is empty.
    #[serde(skip_serializing_if = "is_default")]
    pub help: String,
    pub path: Path,
    #[serde(rename = "type")]
    pub kind: MetricType,
    #[serde(rename = "valuetype")]
    pub value_type: ValueType,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, Path>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub values: BTreeMap<String, Path>,
    /// Leads to the sample's time, in milliseconds since 1970.
    #[serde(rename = "epochTimestamp", skip_serializing_if = "is_default")]
    pub epoch_timestamp: Option<Path>,
    /// Whether a path that leads nowhere is nothing to complain about.
    pub allow_missing_key: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// The path leads to the value.
    #[default]
    Value,
    /// The path leads to objects, in which `values` lead on.
    Object,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    Gauge,
    Counter,
    #[default]
    Untyped,
}

/// A template with paths in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Path(pub(crate) json_path::Template);

impl Default for Path {
    fn default() -> Self {
        Self(json_path::Template::new("").expect("the empty template is good"))
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        json_path::Template::new(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl JsonConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        for metric in &self.metrics {
            metric.check().map_err(|why| format!("metric `{}`: {why}", metric.name))?;
        }
        for name in self.headers.keys() {
            client::check_header_name(name)?;
        }
        crate::probe::json::check_body(&self.body)?;
        self.http_client_config.check()
    }
}

impl JsonMetric {
    fn check(&self) -> Result<(), String> {
        check_metric_name(&self.name)?;
        if self.name.starts_with("probe_") {
            return Err("names that begin with probe_ are those of every probe".to_owned());
        }
        if self.path.0.as_str().is_empty() {
            return Err("path must be set".to_owned());
        }
        match self.kind {
            MetricType::Object if self.values.is_empty() => {
                return Err("an object needs values".to_owned());
            }
            MetricType::Value if !self.values.is_empty() => {
                return Err("values belong to type: object".to_owned());
            }
            MetricType::Object | MetricType::Value => {}
        }
        for key in self.values.keys() {
            check_metric_name(&format!("{}_{key}", self.name))?;
        }
        self.labels.keys().try_for_each(|name| client::check_label_name(name))
    }
}

fn check_metric_name(name: &str) -> Result<(), String> {
    let first_is_good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
    if first_is_good && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':') {
        return Ok(());
    }
    Err(format!("`{name}` is not the name of a metric"))
}
