//! Turning what an exporter or a probe returned into remote write, as a Prometheus that scraped it would have sent it.
//!
//! ```
//! use std::time::Duration;
//! use proto::{exposition::Exposition, scrape::Target};
//!
//! let mut target = Target::new(&[("job", "node"), ("instance", "web-1:9100")]);
//! let mut metrics = Exposition::new();
//! metrics.gauge("node_load1", "1m load average.", 0.25);
//! let request = target.scraped(&metrics, 1_700_000_000_000, Duration::from_millis(12));
//! assert_eq!(request.timeseries.len(), 6); // node_load1, up and four more about the scrape
//! ```
//!
//! The rules are those of Prometheus' scrape loop:
//! - The target's labels win; a label of the same name in the exposition becomes `exported_<name>`.
//! - A series that was there in the last scrape and is gone, or all of them when a scrape fails, end with the staleness
//!   marker. So does everything when the target is dropped ([`Target::ended`]).
//! - A sample with a time of its own keeps it, and its series is not tracked for staleness.
//! - Each scrape adds `up`, `scrape_duration_seconds`, `scrape_samples_scraped`,
//!   `scrape_samples_post_metric_relabeling` and `scrape_series_added`.
//!
//! No I/O and no clock: time is an argument.

use std::{collections::HashMap, time::Duration};

use crate::{
    exposition::{Exposition, Kind, Sample},
    remote_write::{
        stale_marker,
        v1::{self, Label, MetricMetadata, TimeSeries, WriteRequest, metric_metadata::MetricType},
    },
};

/// What a label of the exposition is called where the target has one of that name.
const EXPORTED_PREFIX: &str = "exported_";
const METRIC_NAME: &str = "__name__";

/// What is scraped, and which series its last scrape had.
#[derive(Clone, Debug)]
pub struct Target {
    /// Sorted by name, without empty values.
    labels: Vec<Label>,
    /// Labels of every series of the last scrape, and the number of that scrape.
    seen: HashMap<Vec<Label>, u64>,
    scrape: u64,
}

impl Target {
    /// `labels` usually are `job` and `instance`. Empty values mean absent labels.
    pub fn new(labels: &[(&str, &str)]) -> Self {
        let mut labels: Vec<Label> = labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| label(name, value))
            .collect();
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        Self { labels, seen: HashMap::new(), scrape: 0 }
    }

    /// A scrape that began at `at_ms`, took `took` and returned `exposition`.
    pub fn scraped(&mut self, exposition: &Exposition, at_ms: i64, took: Duration) -> WriteRequest {
        self.scrape += 1;
        let mut timeseries = Vec::with_capacity(exposition.n_samples() + REPORT_SERIES);
        let mut n_scraped: u32 = 0;
        let mut n_kept: u32 = 0;
        let mut n_added: u32 = 0;
        for family in exposition.families() {
            for sample in family.samples() {
                n_scraped += 1;
                let labels = self.series_labels(family.name(), &sample);
                if sample.timestamp_ms().is_none() {
                    match self.seen.insert(labels.clone(), self.scrape) {
                        // The same series twice in one scrape: the first sample stands.
                        Some(scrape) if scrape == self.scrape => continue,
                        Some(_) => {}
                        None => n_added += 1,
                    }
                }
                n_kept += 1;
                let at_ms = sample.timestamp_ms().unwrap_or(at_ms);
                timeseries.push(one(labels, sample.value(), at_ms));
            }
        }
        let current = self.scrape;
        let gone = self.seen.extract_if(|_, scrape| *scrape != current);
        timeseries.extend(gone.map(|(labels, _)| one(labels, stale_marker(), at_ms)));
        let report = Report { up: 1.0, took: took.as_secs_f64(), n_scraped, n_kept, n_added };
        self.report(&mut timeseries, &report, at_ms);
        WriteRequest { timeseries, metadata: Vec::new() }
    }

    /// A scrape that began at `at_ms` and brought nothing, be it refused, broken or too slow.
    pub fn failed(&mut self, at_ms: i64, took: Duration) -> WriteRequest {
        self.scrape += 1;
        let mut timeseries = self.end_series(at_ms);
        let report =
            Report { up: 0.0, took: took.as_secs_f64(), n_scraped: 0, n_kept: 0, n_added: 0 };
        self.report(&mut timeseries, &report, at_ms);
        WriteRequest { timeseries, metadata: Vec::new() }
    }

    /// The target is not scraped any more: all its series end, `up` and its like included.
    pub fn ended(&mut self, at_ms: i64) -> WriteRequest {
        let mut timeseries = self.end_series(at_ms);
        if self.scrape > 0 {
            let nothing = Report { up: 0.0, took: 0.0, n_scraped: 0, n_kept: 0, n_added: 0 };
            let first = timeseries.len();
            self.report(&mut timeseries, &nothing, at_ms);
            for series in &mut timeseries[first..] {
                series.samples[0].value = stale_marker();
            }
        }
        self.scrape = 0;
        WriteRequest { timeseries, metadata: Vec::new() }
    }

    fn end_series(&mut self, at_ms: i64) -> Vec<TimeSeries> {
        self.seen.drain().map(|(labels, _)| one(labels, stale_marker(), at_ms)).collect()
    }

    fn report(&self, timeseries: &mut Vec<TimeSeries>, report: &Report, at_ms: i64) {
        for (name, value) in report.metrics() {
            let mut labels = self.labels.clone();
            labels.push(label(METRIC_NAME, name));
            labels.sort_by(|a, b| a.name.cmp(&b.name));
            timeseries.push(one(labels, value, at_ms));
        }
    }

    fn series_labels(&self, family: &str, sample: &Sample<'_>) -> Vec<Label> {
        let mut labels = Vec::with_capacity(self.labels.len() + 4);
        labels.push(Label {
            name: METRIC_NAME.to_owned(),
            value: format!("{family}{}", sample.suffix()),
        });
        labels.extend_from_slice(&self.labels);
        let own: Vec<(&str, &str)> =
            sample.labels().filter(|(_, value)| !value.is_empty()).collect();
        for (name, value) in &own {
            let mut free_name = (*name).to_owned();
            // The target's labels stand, and an `exported_` name that is taken gets the prefix once more.
            while self.labels.iter().any(|l| l.name == free_name)
                || (free_name != *name && own.iter().any(|(other, _)| *other == free_name))
            {
                free_name.insert_str(0, EXPORTED_PREFIX);
            }
            labels.push(Label { name: free_name, value: (*value).to_owned() });
        }
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels
    }
}

/// Kind and help of every family, for a [`WriteRequest`] of their own: senders repeat them about once a minute.
pub fn metadata(exposition: &Exposition) -> Vec<MetricMetadata> {
    exposition
        .families()
        .map(|family| MetricMetadata {
            r#type: match family.kind() {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Summary => MetricType::Summary,
                Kind::Untyped => MetricType::Unknown,
            }
            .into(),
            metric_family_name: family.name().to_owned(),
            help: family.help().to_owned(),
            unit: String::new(),
        })
        .collect()
}

/// What a scrape says about itself.
struct Report {
    up: f64,
    took: f64,
    n_scraped: u32,
    n_kept: u32,
    n_added: u32,
}

const REPORT_SERIES: usize = 5;

impl Report {
    fn metrics(&self) -> [(&'static str, f64); REPORT_SERIES] {
        [
            ("up", self.up),
            ("scrape_duration_seconds", self.took),
            ("scrape_samples_scraped", f64::from(self.n_scraped)),
            ("scrape_samples_post_metric_relabeling", f64::from(self.n_kept)),
            ("scrape_series_added", f64::from(self.n_added)),
        ]
    }
}

fn label(name: &str, value: &str) -> Label {
    Label { name: name.to_owned(), value: value.to_owned() }
}

fn one(labels: Vec<Label>, value: f64, timestamp: i64) -> TimeSeries {
    let samples = vec![v1::Sample { value, timestamp }];
    TimeSeries { labels, samples, ..TimeSeries::default() }
}

#[cfg(test)]
mod tests {
    use crate::remote_write::is_stale;

    use super::*;

    const TOOK: Duration = Duration::from_millis(250);

    fn target() -> Target {
        Target::new(&[("job", "node"), ("instance", "a:9100"), ("empty", "")])
    }

    /// `name{label="value"} value @time`, sorted, without the metrics of the scrape itself.
    fn lines(request: &WriteRequest) -> Vec<String> {
        let mut lines: Vec<String> = request
            .timeseries
            .iter()
            .map(|series| {
                assert!(series.labels.is_sorted_by(|a, b| a.name < b.name), "{:?}", series.labels);
                let name = series.labels.iter().find(|l| l.name == "__name__").unwrap();
                let labels: Vec<String> = series
                    .labels
                    .iter()
                    .filter(|l| l.name != "__name__")
                    .map(|l| format!("{}={}", l.name, l.value))
                    .collect();
                let sample = &series.samples[0];
                let value = if is_stale(sample.value) {
                    "stale".to_owned()
                } else {
                    sample.value.to_string()
                };
                format!("{}{{{}}} {value} @{}", name.value, labels.join(","), sample.timestamp)
            })
            .filter(|line| !line.starts_with("scrape_") && !line.starts_with("up{"))
            .collect();
        lines.sort();
        lines
    }

    fn report(request: &WriteRequest) -> Vec<(String, f64)> {
        let report = &request.timeseries[request.timeseries.len() - REPORT_SERIES..];
        report.iter().map(|s| (s.labels[0].value.clone(), s.samples[0].value)).collect()
    }

    #[test]
    fn labels_of_the_target_win_and_others_are_exported() {
        let mut metrics = Exposition::new();
        metrics
            .family("m", "M.", Kind::Gauge)
            .sample(&[("job", "inner"), ("x", ""), ("y", "1")], 1.0)
            .sample(&[("job", "inner"), ("exported_job", "taken")], 2.0)
            .timed(&[("y", "2")], 3.0, 77);
        metrics.family("h", "H.", Kind::Histogram).suffixed("_bucket", &[("le", "+Inf")], 4.0);
        assert_eq!(
            lines(&target().scraped(&metrics, 1000, TOOK)),
            [
                "h_bucket{instance=a:9100,job=node,le=+Inf} 4 @1000",
                "m{exported_exported_job=inner,exported_job=taken,instance=a:9100,job=node} 2 @1000",
                "m{exported_job=inner,instance=a:9100,job=node,y=1} 1 @1000",
                "m{instance=a:9100,job=node,y=2} 3 @77",
            ]
        );
    }

    #[test]
    fn series_that_vanish_end_once() {
        let mut target = target();
        let mut both = Exposition::new();
        both.gauge("a", "", 1.0);
        both.gauge("b", "", 2.0);
        both.family("own_time", "", Kind::Gauge).timed(&[], 5.0, 3);
        let mut one = Exposition::new();
        one.gauge("a", "", f64::NAN);
        let at = |name: &str, value: &str, ms: i64| {
            format!("{name}{{instance=a:9100,job=node}} {value} @{ms}")
        };
        assert_eq!(
            lines(&target.scraped(&both, 1, TOOK)),
            [at("a", "1", 1), at("b", "2", 1), at("own_time", "5", 3)]
        );
        assert_eq!(lines(&target.scraped(&one, 2, TOOK)), [at("a", "NaN", 2), at("b", "stale", 2)]);
        assert_eq!(lines(&target.scraped(&one, 3, TOOK)), [at("a", "NaN", 3)]);
        let failed = target.failed(4, TOOK);
        assert_eq!(lines(&failed), [at("a", "stale", 4)]);
        assert_eq!(report(&failed)[0], ("up".to_owned(), 0.0));
        assert_eq!(lines(&target.failed(5, TOOK)), Vec::<String>::new());
        assert_eq!(lines(&target.scraped(&one, 6, TOOK)), [at("a", "NaN", 6)]);
        let ended = target.ended(7);
        assert_eq!(lines(&ended), [at("a", "stale", 7)]);
        assert_eq!(ended.timeseries.len(), 1 + REPORT_SERIES);
        assert!(ended.timeseries.iter().all(|s| is_stale(s.samples[0].value)));
        assert!(target.ended(8).timeseries.is_empty(), "it has ended already");
    }

    #[test]
    fn the_scrape_reports_on_itself() {
        let mut target = target();
        let mut metrics = Exposition::new();
        metrics
            .family("a", "", Kind::Gauge)
            .sample(&[], 1.0)
            .sample(&[], 2.0)
            .sample(&[("x", "1")], 3.0);
        let request = target.scraped(&metrics, 1, TOOK);
        let expect = |up, scraped, kept, added| {
            [
                ("up", up),
                ("scrape_duration_seconds", 0.25),
                ("scrape_samples_scraped", scraped),
                ("scrape_samples_post_metric_relabeling", kept),
                ("scrape_series_added", added),
            ]
            .map(|(name, value)| (name.to_owned(), value))
        };
        assert_eq!(report(&request), expect(1.0, 3.0, 2.0, 2.0));
        assert_eq!(report(&target.scraped(&metrics, 2, TOOK)), expect(1.0, 3.0, 2.0, 0.0));
        assert_eq!(report(&target.failed(3, TOOK)), expect(0.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn metadata_names_kind_and_help() {
        let mut metrics = Exposition::new();
        metrics.counter("x_total", "Xs.", 1.0);
        let metadata = metadata(&metrics);
        assert_eq!(metadata[0].metric_family_name, "x_total");
        assert_eq!((metadata[0].r#type(), metadata[0].help.as_str()), (MetricType::Counter, "Xs."));
    }
}
