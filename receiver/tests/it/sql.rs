//! What people see with nothing but SQL.

use axum::http::StatusCode;

use crate::harness::{TestReceiver, now, series};

#[tokio::test]
async fn samples_and_latest() {
    let test = TestReceiver::open().await;
    let ts = now() / 1000 * 1000;
    let stale = proto::remote_write::stale_marker();
    let written = test
        .write(vec![
            series(
                &[("__name__", "load"), ("instance", "a"), ("job", "node")],
                &[(ts - 2000, 0.5), (ts - 1000, 0.75)],
            ),
            series(
                &[("__name__", "load"), ("instance", "b"), ("job", "node")],
                &[(ts - 2000, 1.5), (ts - 1000, stale)],
            ),
            series(&[("__name__", "other"), ("instance", "a")], &[(ts, 9.0)]),
        ])
        .await;
    assert_eq!(written.0, StatusCode::NO_CONTENT);
    let rows: Vec<(String, f64, f64)> = sqlx::query_as(
        "SELECT labels ->> 'instance', extract(epoch FROM ts)::float8 * 1000, value FROM watchpost.samples('load')",
    )
    .fetch_all(&test.db)
    .await
    .unwrap();
    let row = |instance: &str, ts: i64, value| (instance.to_owned(), ts as f64, value);
    assert_eq!(
        rows,
        [row("a", ts - 2000, 0.5), row("a", ts - 1000, 0.75), row("b", ts - 2000, 1.5)]
    );

    let count = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(&test.db).await.unwrap()
    };
    assert_eq!(
        count("SELECT count(*) FROM watchpost.samples('load', '{\"instance\": \"a\"}')").await,
        2
    );
    assert_eq!(
        count("SELECT count(*) FROM watchpost.samples('load', '{\"instance\": \"none\"}')").await,
        0
    );
    assert_eq!(count("SELECT count(*) FROM watchpost.samples('no such metric')").await, 0);
    assert_eq!(
        count(
            "SELECT count(*) FROM watchpost.samples('load', \"to\" => now() - interval '1 hour')"
        )
        .await,
        0
    );
    assert_eq!(count("SELECT count(*) FROM watchpost.samples_raw('load')").await, 4);
    // The series that ended has no latest value.
    let latest: Vec<(String, f64)> =
        sqlx::query_as("SELECT labels ->> 'instance', value FROM watchpost.latest('load')")
            .fetch_all(&test.db)
            .await
            .unwrap();
    assert_eq!(latest, [("a".to_owned(), 0.75)]);
}

#[tokio::test]
async fn floats_and_their_bits() {
    let test = TestReceiver::open().await;
    for value in [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        1e300,
        -1e-300,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        -f64::from_bits(7),
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let bits = value.to_bits() as i64;
        let (back, to): (f64, i64) =
            sqlx::query_as("SELECT watchpost.float8_from_bits($1), watchpost.float8_to_bits($2)")
                .bind(bits)
                .bind(value)
                .fetch_one(&test.db)
                .await
                .unwrap();
        assert_eq!((back.to_bits(), to), (value.to_bits(), bits), "{value}");
    }
}
