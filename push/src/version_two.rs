//! From a request of version 1.0 to the same one of 2.0: every text once, and with each series what its metric is.

use std::collections::HashMap;

use proto::remote_write::{
    v1::{MetricMetadata, WriteRequest},
    v2,
};

/// Metrics whose kind and help are remembered; a machine has some hundreds.
const METRICS_MAX: usize = 20_000;
/// What a sample of a histogram or summary has in addition to its family's name.
const SUFFIXES: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Kind and help of metrics. 1.0 tells them about once a minute, 2.0 with each series.
#[derive(Debug, Default)]
pub(crate) struct Descriptions(HashMap<String, MetricMetadata>);

impl Descriptions {
    pub(crate) fn learn(&mut self, told: &[MetricMetadata]) {
        for metadata in told {
            let name = &metadata.metric_family_name;
            if self.0.len() < METRICS_MAX || self.0.contains_key(name) {
                self.0.insert(name.clone(), metadata.clone());
            }
        }
    }

    fn of(&self, metric: &str) -> Option<&MetricMetadata> {
        let family = || SUFFIXES.iter().find_map(|suffix| self.0.get(metric.strip_suffix(suffix)?));
        self.0.get(metric).or_else(family)
    }
}

/// The same samples as `request`.
pub(crate) fn of(request: &WriteRequest, descriptions: &Descriptions) -> v2::Request {
    let mut symbols = Symbols::default();
    let timeseries = request
        .timeseries
        .iter()
        .map(|series| {
            let mut labels_refs = Vec::with_capacity(series.labels.len() * 2);
            for label in &series.labels {
                labels_refs.push(symbols.reference(&label.name));
                labels_refs.push(symbols.reference(&label.value));
            }
            let name = series.labels.iter().find(|label| label.name == "__name__");
            let metadata = name.and_then(|name| descriptions.of(&name.value)).map(|metadata| {
                v2::Metadata {
                    // Both versions number the kinds alike.
                    r#type: metadata.r#type,
                    help_ref: symbols.reference(&metadata.help),
                    unit_ref: symbols.reference(&metadata.unit),
                }
            });
            let sample = |sample: &proto::remote_write::v1::Sample| v2::Sample {
                value: sample.value,
                timestamp: sample.timestamp,
                start_timestamp: 0,
            };
            let samples = series.samples.iter().map(sample).collect();
            v2::TimeSeries { labels_refs, samples, metadata, ..v2::TimeSeries::default() }
        })
        .collect();
    v2::Request { symbols: symbols.texts, timeseries }
}

struct Symbols<'a> {
    texts: Vec<String>,
    known: HashMap<&'a str, u32>,
}

impl Default for Symbols<'_> {
    /// The first text is always the empty one.
    fn default() -> Self {
        Self { texts: vec![String::new()], known: HashMap::from([("", 0)]) }
    }
}

impl<'a> Symbols<'a> {
    fn reference(&mut self, text: &'a str) -> u32 {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let reference = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.known.insert(text, reference);
        reference
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::{
        exposition::{Exposition, Kind},
        scrape::{self, Target},
    };

    use super::*;

    #[test]
    fn texts_are_shared_and_metrics_described() {
        let mut metrics = Exposition::new();
        metrics
            .family("node_cpu_seconds_total", "CPU time.", Kind::Counter)
            .sample(&[("cpu", "0"), ("mode", "idle")], 1.0)
            .sample(&[("cpu", "1"), ("mode", "idle")], 2.0);
        metrics.family("h", "H.", Kind::Histogram).suffixed("_bucket", &[("le", "+Inf")], 3.0);
        let request = Target::new(&[("job", "node")]).scraped(&metrics, 7, Duration::ZERO);
        let mut descriptions = Descriptions::default();
        descriptions.learn(&scrape::metadata(&metrics));
        let converted = of(&request, &descriptions);
        assert_eq!(converted.symbols[0], "");
        let unique: std::collections::BTreeSet<&String> = converted.symbols.iter().collect();
        assert_eq!(unique.len(), converted.symbols.len());
        let text = |reference: u32| converted.symbols[reference as usize].as_str();
        for (before, after) in request.timeseries.iter().zip(&converted.timeseries) {
            let labels: Vec<(&str, &str)> =
                after.labels_refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
            let expected: Vec<(&str, &str)> =
                before.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
            assert_eq!(labels, expected);
            assert_eq!(after.samples[0].value.to_bits(), before.samples[0].value.to_bits());
            assert_eq!(after.samples[0].timestamp, before.samples[0].timestamp);
        }
        let described = |series: usize| {
            let metadata = converted.timeseries[series].metadata?;
            Some((metadata.r#type(), text(metadata.help_ref)))
        };
        use v2::metadata::MetricType;
        assert_eq!(described(0), Some((MetricType::Histogram, "H.")));
        assert_eq!(described(1), Some((MetricType::Counter, "CPU time.")));
        assert_eq!(described(3), None, "up is nobody's family");
    }
}
