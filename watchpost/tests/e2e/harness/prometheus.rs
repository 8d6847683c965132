//! A real Prometheus: configured, asked, and read from without loss.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use proto::{
    remote_write::{Message, v1::WriteRequest},
    snappy,
};
use reqwest::Client;

use super::{free_port, http, process::Process, stored::Samples, until};

/// Answers of remote read are far smaller.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where it writes to, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sending<'a> {
    pub(crate) url: String,
    pub(crate) flags: &'a [&'a str],
    /// Further lines of the entry under `remote_write`.
    pub(crate) settings: &'a str,
}

pub(crate) struct Prometheus {
    process: Process,
    config: PathBuf,
    jobs: Vec<String>,
    /// The beginning of its configuration: everything but the targets.
    head: String,
    url: String,
    http: Client,
}

impl Prometheus {
    /// Starts it with `targets` (job and `host:port`) and itself, whose summaries hold NaNs, each scraped every second,
    /// writing to where `sending` says.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        targets: &[(&str, String)],
        sending: Sending<'_>,
    ) -> Self {
        let head = head(&sending);
        let config = folder.join("prometheus.yml");
        let port = free_port();
        let itself = format!("127.0.0.1:{port}");
        let mut jobs: Vec<_> =
            targets.iter().map(|(job, address)| (*job, Some(&**address))).collect();
        jobs.push(("prometheus", Some(&itself)));
        fs::write(&config, render(&head, &jobs)).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-lifecycle")
            .args(sending.flags)
            .current_dir(folder);
        let process = Process::start("prometheus", folder, command);
        let prometheus = Self {
            process,
            config,
            jobs: jobs.iter().map(|(job, _)| (*job).to_owned()).collect(),
            head,
            url: format!("http://127.0.0.1:{port}"),
            http: http(),
        };
        until("Prometheus is ready", async || {
            let answer = prometheus.http.get(format!("{}/-/ready", prometheus.url)).send().await;
            answer.ok()?.status().is_success().then_some(())
        })
        .await;
        prometheus
    }

    /// Takes all targets away and waits until everything that was scraped has been sent.
    pub(crate) async fn settle(&self) {
        // The jobs stay without their targets: only so does Prometheus mark the ends of the series.
        let jobs: Vec<_> = self.jobs.iter().map(|job| (job.as_str(), None)).collect();
        fs::write(&self.config, render(&self.head, &jobs)).unwrap();
        let answer = self.http.post(format!("{}/-/reload", self.url)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", self.process.log());
        // The end of a target's series is written two scrapes after it was taken away: quiet has to last longer.
        let mut quiet_since = std::time::Instant::now();
        let mut last_seen = 0.0;
        until("Prometheus has sent everything", async || {
            let scraped = self.own("prometheus_tsdb_head_samples_appended_total").await;
            let pending = self.own("prometheus_remote_storage_samples_pending").await;
            #[expect(clippy::float_cmp, reason = "a counter that did not move is equal to itself")]
            if scraped != last_seen || pending > 0.0 {
                last_seen = scraped;
                quiet_since = std::time::Instant::now();
            }
            (quiet_since.elapsed() > Duration::from_secs(5)).then_some(())
        })
        .await;
    }

    /// The sum of all samples of one of its own metrics, as of now.
    pub(crate) async fn own(&self, metric: &str) -> f64 {
        let answer = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap();
        sum(&answer.text().await.unwrap(), metric)
    }

    /// Everything it has, read through remote read, which unlike queries loses neither staleness markers nor bits.
    pub(crate) async fn everything(&self) -> Samples {
        let body = snappy::compress(&read_request());
        let answer = self
            .http
            .post(format!("{}/api/v1/read", self.url))
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Read-Version", "0.1.0")
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
        let mut bytes = Vec::new();
        snappy::decompress(&answer.bytes().await.unwrap(), ANSWER_BYTES_MAX, &mut bytes).unwrap();
        let mut samples = Samples::default();
        for result in length_delimited(&bytes) {
            // A QueryResult has its series in the same field as a WriteRequest.
            for series in WriteRequest::decode(result).unwrap().timeseries {
                let labels: Vec<(&str, &str)> =
                    series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
                for sample in &series.samples {
                    samples.add(&labels, sample.timestamp, sample.value.to_bits());
                }
            }
        }
        samples
    }

    /// The values of a query over a range, newest last: what people see.
    pub(crate) async fn query_range_selector(&self, query: &str) -> Vec<(f64, String)> {
        let answer = self
            .http
            .get(format!("{}/api/v1/query?query={}", self.url, percent_encode(query)))
            .send()
            .await
            .unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
        values
            .iter()
            .map(|pair| (pair[0].as_f64().unwrap(), pair[1].as_str().unwrap().to_owned()))
            .collect()
    }
}

/// The sum of all samples of one metric on a page of metrics.
pub(crate) fn sum(page: &str, metric: &str) -> f64 {
    page.lines()
        .filter(|line| line.starts_with(metric))
        .filter(|line| matches!(line.as_bytes().get(metric.len()), Some(b' ' | b'{')))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

pub(crate) fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

fn head(sending: &Sending<'_>) -> String {
    let Sending { url, settings, .. } = sending;
    format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nremote_write:\n  - url: {url}\n    remote_timeout: 5s\n{settings}    queue_config:\n      min_backoff: 30ms\n      max_backoff: 500ms\nscrape_configs:\n"
    )
}

/// A configuration with these jobs; one without an address has no target.
fn render(head: &str, targets: &[(&str, Option<&str>)]) -> String {
    let mut text = head.to_owned();
    for (job, address) in targets {
        let address = address.as_ref().map_or(String::new(), |address| format!("'{address}'"));
        text.push_str(&format!(
            "  - job_name: {job}\n    static_configs:\n      - targets: [{address}]\n"
        ));
    }
    text
}

/// `prometheus.ReadRequest` for every series of all time: one query with the matcher `__name__=~".+"`.
fn read_request() -> Vec<u8> {
    let mut matcher = vec![0x08, 2]; // type = RE
    field(&mut matcher, 2, b"__name__");
    field(&mut matcher, 3, b".+");
    let mut query = vec![0x08, 0, 0x10]; // start_timestamp_ms = 0, end_timestamp_ms = …
    let mut end: u64 = 4_102_444_800_000;
    while end >= 0x80 {
        query.push(end as u8 | 0x80);
        end >>= 7;
    }
    query.push(end as u8);
    field(&mut query, 3, &matcher);
    let mut request = Vec::new();
    field(&mut request, 1, &query);
    request
}

/// Appends a length-delimited field of less than 128 bytes.
fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    message.push(u8::try_from(bytes.len()).ok().filter(|len| *len < 0x80).expect("short"));
    message.extend_from_slice(bytes);
}

/// The length-delimited fields of a message that has no others.
fn length_delimited(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    while let Some((key, rest)) = bytes.split_first() {
        assert_eq!(key & 7, 2, "only length-delimited fields are expected");
        let (mut length, mut shift, mut rest) = (0_usize, 0, rest);
        while let Some((byte, after)) = rest.split_first() {
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            rest = after;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (field, after) = rest.split_at(length);
        fields.push(field);
        bytes = after;
    }
    fields
}
