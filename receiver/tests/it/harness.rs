//! A receiver on a database of its own, and requests to send to it.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use proto::{
    remote_write::{self, Message, v1},
    snappy,
};
use receiver::{
    Config, Receiver,
    db::testing::{self, TestDatabase},
    ingest::Limits,
};
use sqlx::{PgPool, Row};
use tower::ServiceExt;

/// An open receiver; the database goes with it.
pub(crate) struct TestReceiver {
    pub(crate) receiver: Receiver,
    pub(crate) db: PgPool,
    closing: receiver::storage::Closing,
    database: TestDatabase,
}

/// A sample as SQL tells it: labels, milliseconds, the 64 bits.
pub(crate) type Stored = (String, i64, u64);

impl TestReceiver {
    pub(crate) async fn open() -> Self {
        Self::on(testing::database().await, Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::on(testing::database().await, limits).await
    }

    pub(crate) async fn on(database: TestDatabase, limits: Limits) -> Self {
        let config = Config { limits, admin_api: true, ..Config::new(database.url().to_owned()) };
        Self::with_config(database, config).await
    }

    pub(crate) async fn with_config(database: TestDatabase, config: Config) -> Self {
        let (receiver, closing) = Receiver::open(config).await.unwrap();
        let db = PgPool::connect(database.url()).await.unwrap();
        Self { receiver, closing, db, database }
    }

    /// Stops as a program does that was asked to.
    pub(crate) async fn close(self) -> TestDatabase {
        let Self { receiver, closing, db, database } = self;
        drop((receiver, db));
        closing.finished().await;
        database
    }

    /// Stops without saying goodbye to anybody, and starts anew on the same database.
    pub(crate) async fn restart(self) -> Self {
        let Self { receiver, closing, db, database } = self;
        drop((receiver, closing, db));
        Self::on(database, Limits::default()).await
    }

    /// Where the database is.
    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// The answer to a raw body with the usual headers.
    pub(crate) async fn post(&self, body: Vec<u8>) -> (StatusCode, String) {
        let request = Request::post("/api/v1/write")
            .header("Content-Type", remote_write::V1_CONTENT_TYPE)
            .header("Content-Encoding", "snappy")
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let response =
            self.receiver.router(&service::Shutdown::new()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn write(&self, series: Vec<v1::TimeSeries>) -> (StatusCode, String) {
        self.post(snappy::compress(&encode(series))).await
    }

    /// As senders do: tries again after 503, as the present partition is gone when housekeeping was told of a later time.
    pub(crate) async fn write_surely(&self, series: Vec<v1::TimeSeries>) {
        let mut answer = self.write(series.clone()).await;
        for _ in 0..5 {
            if answer.0 == StatusCode::SERVICE_UNAVAILABLE {
                answer = self.write(series.clone()).await;
            }
        }
        assert_eq!(answer, (StatusCode::NO_CONTENT, String::new()));
    }

    /// Everything that SQL says is stored of a metric.
    pub(crate) async fn stored(&self, metric: &str) -> Vec<Stored> {
        sqlx::query("SELECT labels::text, ts_ms, bits FROM watchpost.samples_raw($1) ORDER BY series_id, ts_ms")
            .bind(metric)
            .fetch_all(&self.db)
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get::<i64, _>(2) as u64))
            .collect()
    }

    /// The same as our own reader tells it.
    pub(crate) async fn read(&self, metric: &str) -> Vec<Stored> {
        let storage = self.receiver.storage().reader();
        let matcher = promql::model::Matcher::equal("__name__", metric);
        let ids = storage.select(&[matcher], usize::MAX - 1);
        let mut stored = Vec::new();
        for series in storage.read(&ids, i64::MIN, i64::MAX).await.unwrap() {
            let labels = storage.labels(series.series).unwrap();
            let pairs: Vec<String> = labels
                .iter()
                .filter(|label| &*label.name != "__name__")
                .map(|label| format!("{:?}: {:?}", label.name, label.value))
                .collect();
            let labels = format!("{{{}}}", pairs.join(", "));
            stored.extend(series.samples.iter().map(|s| (labels.clone(), s.ts, s.value.to_bits())));
        }
        stored
    }
}

pub(crate) fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> v1::TimeSeries {
    v1::TimeSeries {
        labels: labels
            .iter()
            .map(|(name, value)| v1::Label { name: (*name).to_owned(), value: (*value).to_owned() })
            .collect(),
        samples: samples
            .iter()
            .map(|(timestamp, value)| v1::Sample { value: *value, timestamp: *timestamp })
            .collect(),
        ..Default::default()
    }
}

/// A time that is neither far in the past nor in the future, in milliseconds.
pub(crate) fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A `WriteRequest` with every value in it: prost, like Go, leaves out what equals the default, and −0 equals 0.
fn encode(series: Vec<v1::TimeSeries>) -> Vec<u8> {
    fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
        out.push(number << 3 | 2);
        prost::encode_length_delimiter(content.len(), out).unwrap();
        out.extend_from_slice(content);
    }
    let mut request = Vec::new();
    for mut series in series {
        let samples = std::mem::take(&mut series.samples);
        let mut message = series.encode_to_vec();
        for sample in samples {
            let mut content = vec![0x09];
            content.extend_from_slice(&sample.value.to_bits().to_le_bytes());
            content.extend_from_slice(
                &v1::Sample { value: 0.0, timestamp: sample.timestamp }.encode_to_vec(),
            );
            field(&mut message, 2, &content);
        }
        field(&mut request, 1, &message);
    }
    request
}
