//! A sender of both versions, and what PostgreSQL has of what it sent.

use std::collections::HashMap;

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use proto::{
    remote_write::{self, Message, v1, v2},
    snappy,
};
use receiver::{
    Config, Receiver,
    db::testing::{self, TestDatabase},
    ingest::Limits,
};
use sqlx::{AssertSqlSafe, PgPool, Row};
use tower::ServiceExt;

/// The receiver under test.
pub(crate) struct Receiving {
    pub(crate) receiver: Receiver,
    pub(crate) db: PgPool,
    closing: receiver::storage::Closing,
    database: TestDatabase,
}

/// What a sender gets.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Samples, histograms and exemplars written, as the headers tell.
    pub(crate) fn written(&self) -> Option<(u64, u64, u64)> {
        let count = |what: &str| -> Option<u64> {
            let value = self.headers.get(format!("x-prometheus-remote-write-{what}-written"))?;
            Some(value.to_str().unwrap().parse().unwrap())
        };
        Some((count("samples")?, count("histograms")?, count("exemplars")?))
    }

    /// Everything was stored, and the sender is told how much that is.
    #[track_caller]
    pub(crate) fn assert_written(&self, samples: u64, histograms: u64, exemplars: u64) {
        assert_eq!((self.status, &*self.text), (StatusCode::NO_CONTENT, ""));
        assert_eq!(self.written(), Some((samples, histograms, exemplars)));
    }

    /// Something was refused for good; `reason` says why, in the first KiB.
    #[track_caller]
    pub(crate) fn assert_refused(&self, written: (u64, u64, u64), reason: &str) {
        assert_eq!(self.status, StatusCode::BAD_REQUEST, "{}", self.text);
        assert_eq!(self.written(), Some(written), "{}", self.text);
        assert!(self.text.contains(reason), "{reason} in {}", self.text);
        assert!(self.text.len() <= 1024, "{}", self.text);
    }
}

impl Receiving {
    pub(crate) async fn open() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::on(testing::database().await, limits).await
    }

    /// Samples are kept for so many days.
    pub(crate) async fn keeping_days(days: u64) -> Self {
        let database = testing::database().await;
        let mut config = Config::new(database.url().to_owned());
        config.storage.retention.all = Some(std::time::Duration::from_secs(days * 86_400));
        Self::with_config(database, config).await
    }

    /// With these rules of the configuration file.
    pub(crate) async fn with_rules(text: &str) -> Self {
        let database = testing::database().await;
        let rules = service::config::parse(text, std::path::Path::new("x.yml")).unwrap();
        let config = Config { rules, ..Config::new(database.url().to_owned()) };
        Self::with_config(database, config).await
    }

    async fn on(database: TestDatabase, limits: Limits) -> Self {
        let config = Config { limits, ..Config::new(database.url().to_owned()) };
        Self::with_config(database, config).await
    }

    async fn with_config(database: TestDatabase, config: Config) -> Self {
        let (receiver, closing) = Receiver::open(config).await.unwrap();
        let db = PgPool::connect(database.url()).await.unwrap();
        Self { receiver, db, closing, database }
    }

    /// Stops as a program does that was asked to, and starts again: everything is in blocks then.
    pub(crate) async fn restart(self) -> Self {
        let Self { receiver, db, closing, database } = self;
        drop((receiver, db));
        closing.finished().await;
        Self::on(database, Limits::default()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let router = self.receiver.router(&service::Shutdown::new());
        let (head, body) = router.oneshot(request).await.unwrap().into_parts();
        let text = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }

    /// A body with these headers, to the usual path.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::post("/api/v1/write");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// The bytes of a 2.0 message, not yet compressed.
    pub(crate) async fn post_v2(&self, message: &[u8]) -> Answer {
        self.post(
            &[
                ("Content-Type", remote_write::V2_CONTENT_TYPE),
                ("Content-Encoding", "snappy"),
                ("X-Prometheus-Remote-Write-Version", "2.0.0"),
            ],
            snappy::compress(message),
        )
        .await
    }

    pub(crate) async fn v2(&self, request: &V2) -> Answer {
        self.post_v2(&request.bytes()).await
    }

    pub(crate) async fn post_v1(&self, message: &[u8]) -> Answer {
        self.post(
            &[
                ("Content-Type", "application/x-protobuf"),
                ("Content-Encoding", "snappy"),
                ("X-Prometheus-Remote-Write-Version", "0.1.0"),
            ],
            snappy::compress(message),
        )
        .await
    }

    pub(crate) async fn v1(&self, series: Vec<v1::TimeSeries>) -> Answer {
        let request = v1::WriteRequest { timeseries: series, metadata: Vec::new() };
        self.post_v1(&request.encode_to_vec()).await
    }

    /// Labels (as JSON), milliseconds and bits of all samples of a metric.
    pub(crate) async fn stored(&self, metric: &str) -> Vec<(String, i64, u64)> {
        sqlx::query("SELECT labels::text, ts_ms, bits FROM watchpost.samples_raw($1) ORDER BY series_id, ts_ms")
            .bind(metric)
            .fetch_all(&self.db)
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get::<i64, _>(2) as u64))
            .collect()
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.db).await.unwrap()
    }

    pub(crate) async fn n_series(&self) -> i64 {
        self.number("SELECT count(*) FROM watchpost.series").await
    }

    /// One of the receiver's own metrics, by its name and labels as they stand on the page; 0 where it is not there.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.send(Request::get("/metrics").body(Body::empty()).unwrap()).await.text;
        let line =
            page.lines().find(|line| line.strip_prefix(name).is_some_and(|r| r.starts_with(' ')));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// A 2.0 request in the making: strings find their numbers by themselves.
#[derive(Clone, Debug)]
pub(crate) struct V2 {
    pub(crate) request: v2::Request,
    known: HashMap<String, u32>,
}

impl V2 {
    pub(crate) fn new() -> Self {
        let mut request = Self { request: v2::Request::default(), known: HashMap::new() };
        request.symbol("");
        request
    }

    pub(crate) fn symbol(&mut self, text: &str) -> u32 {
        let symbols = &mut self.request.symbols;
        *self.known.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u32 - 1
        })
    }

    pub(crate) fn refs(&mut self, labels: &[(&str, &str)]) -> Vec<u32> {
        labels.iter().flat_map(|(name, value)| [self.symbol(name), self.symbol(value)]).collect()
    }

    /// A series that is filled afterwards.
    pub(crate) fn series(&mut self, labels: &[(&str, &str)]) -> &mut v2::TimeSeries {
        let labels_refs = self.refs(labels);
        self.request.timeseries.push(v2::TimeSeries { labels_refs, ..Default::default() });
        self.request.timeseries.last_mut().unwrap()
    }

    pub(crate) fn with(mut self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        self.series(labels).samples =
            samples.iter().map(|(ts, value)| sample(*ts, *value)).collect();
        self
    }

    /// With every value in it: prost, like Go, leaves out what equals the default, and −0 equals 0.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut request = self.request.clone();
        let series = std::mem::take(&mut request.timeseries);
        let mut out = request.encode_to_vec();
        for mut series in series {
            let samples = std::mem::take(&mut series.samples);
            let mut message = series.encode_to_vec();
            for sample in samples {
                let mut content = vec![0x09];
                content.extend_from_slice(&sample.value.to_bits().to_le_bytes());
                content.extend(v2::Sample { value: 0.0, ..sample }.encode_to_vec());
                field(&mut message, 2, &content);
            }
            field(&mut out, 5, &message);
        }
        out
    }
}

/// Appends a length-delimited field.
pub(crate) fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    prost::encode_length_delimiter(content.len(), out).unwrap();
    out.extend_from_slice(content);
}

pub(crate) fn sample(timestamp: i64, value: f64) -> v2::Sample {
    v2::Sample { value, timestamp, start_timestamp: 0 }
}

pub(crate) fn v1_series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> v1::TimeSeries {
    let label = |(name, value): &(&str, &str)| v1::Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    v1::TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples
            .iter()
            .map(|(timestamp, value)| v1::Sample { value: *value, timestamp: *timestamp })
            .collect(),
        ..Default::default()
    }
}

/// The present in milliseconds.
pub(crate) fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// What [`Receiving::stored`] gives of samples without other labels than the name.
pub(crate) fn bare(samples: &[(i64, f64)]) -> Vec<(String, i64, u64)> {
    samples.iter().map(|(ts, value)| ("{}".to_owned(), *ts, value.to_bits())).collect()
}
