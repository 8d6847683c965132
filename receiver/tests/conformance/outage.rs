//! A database that is away: 503 with a time to come back and counts of zero, and no gap once it is there again.

use axum::http::{HeaderMap, StatusCode};
use receiver::{
    Config, Receiver,
    db::{
        managed::{Managed, ManagedConfig},
        testing,
    },
};
use sqlx::{PgPool, Row};
use tower::ServiceExt;

use crate::sender::{V2, now, sample};

async fn send(receiver: &Receiver, request: &V2) -> (StatusCode, HeaderMap) {
    let request = axum::http::Request::post("/api/v1/write")
        .header("Content-Type", proto::remote_write::V2_CONTENT_TYPE)
        .body(axum::body::Body::from(proto::snappy::compress(&request.bytes())))
        .unwrap();
    let answer = receiver.router(&service::Shutdown::new()).oneshot(request).await.unwrap();
    (answer.status(), answer.headers().clone())
}

#[tokio::test]
async fn what_may_succeed_later_is_503_and_does() {
    let folder = testing::folder();
    let start = async || Managed::start(ManagedConfig::new(folder.path().to_owned()), |_| {}).await;
    let postgres = start().await.unwrap();
    let (receiver, closing) = Receiver::open(Config::new(postgres.url())).await.unwrap();
    let ts = now();
    let request = |at: i64| {
        let mut request = V2::new().with(&[("__name__", "steady")], &[(ts + at, at as f64)]);
        let labels_refs = request.refs(&[("trace_id", &at.to_string())]);
        let exemplar =
            proto::remote_write::v2::Exemplar { labels_refs, value: 1.0, timestamp: ts + at };
        request.request.timeseries[0].exemplars = vec![exemplar];
        request.request.timeseries[0].samples[0].start_timestamp = ts - 1000 + at;
        // A series that is new each time, for which the catalogue needs the database, too.
        request.series(&[("__name__", "new"), ("at", &at.to_string())]).samples =
            vec![sample(ts, 1.0)];
        request
    };
    assert_eq!(send(&receiver, &request(0)).await.0, StatusCode::NO_CONTENT);
    postgres.stop().await;
    for _ in 0..3 {
        let (status, headers) = send(&receiver, &request(1)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        for what in ["samples", "histograms", "exemplars"] {
            assert_eq!(headers[format!("x-prometheus-remote-write-{what}-written")], "0");
        }
        let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=5).contains(&seconds), "{seconds}");
    }
    let postgres = start().await.unwrap();
    for at in 1..4 {
        // As a sender does: the same until it succeeds.
        let mut tries = 0;
        while send(&receiver, &request(at)).await.0 != StatusCode::NO_CONTENT {
            tries += 1;
            assert!(tries < 100, "not stored");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    let db = PgPool::connect(&postgres.url()).await.unwrap();
    let rows = sqlx::query(
        "SELECT ts_ms - $1, value, watchpost.start_at(series_id, ts_ms) - $1 FROM watchpost.samples_raw('steady') ORDER BY 1",
    )
    .bind(ts)
    .fetch_all(&db)
    .await
    .unwrap();
    let found: Vec<(i64, f64, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(found, [(0, 0.0, -1000), (1, 1.0, -999), (2, 2.0, -998), (3, 3.0, -997)]);
    for (sql, expected) in [
        ("SELECT count(*) FROM watchpost.samples_raw('new')", 4i64),
        ("SELECT count(*) FROM watchpost.exemplars('steady')", 4),
    ] {
        let n: i64 = sqlx::query_scalar(sql).fetch_one(&db).await.unwrap();
        assert_eq!(n, expected, "{sql}");
    }
    db.close().await;
    drop(receiver);
    closing.finished().await;
    postgres.stop().await;
}
