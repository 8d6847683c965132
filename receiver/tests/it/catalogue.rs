//! The catalogue's rows: what they cost, and what is refused.

use proto::remote_write::{
    Message,
    v1::{MetricMetadata, WriteRequest, metric_metadata::MetricType},
};
use receiver::{Config, Receiver, db::testing};
use sqlx::PgPool;

use crate::harness::{TestReceiver, now, series};

fn described(name: &str, help: &str) -> MetricMetadata {
    MetricMetadata {
        r#type: MetricType::Gauge as i32,
        metric_family_name: name.to_owned(),
        help: help.to_owned(),
        unit: String::new(),
    }
}

#[tokio::test]
async fn descriptions_of_new_metrics_leave_no_dead_rows() {
    let test = TestReceiver::open().await;
    test.write(vec![series(&[("__name__", "known")], &[(now(), 1.0)])]).await;
    let describe = async |help: &str| {
        let metadata = ["new_a", "known", "new_b"].map(|name| described(name, help)).to_vec();
        let request = WriteRequest { timeseries: Vec::new(), metadata };
        let answer = test.post(proto::snappy::compress(&request.encode_to_vec())).await;
        assert!(answer.0.is_success(), "{answer:?}");
    };
    let helps = async || -> Vec<(String, String)> {
        sqlx::query_as("SELECT name, type || ': ' || help FROM watchpost.metric ORDER BY name")
            .fetch_all(&test.db)
            .await
            .unwrap()
    };
    let all = |help: &str| {
        ["known", "new_a", "new_b"].map(|name| (name.to_owned(), format!("gauge: {help}")))
    };
    describe("first").await;
    assert_eq!(helps().await, all("first"));
    // Only the one that had a series before was written twice.
    let places: i64 =
        sqlx::query_scalar("SELECT max((ctid::text::point)[1])::bigint FROM watchpost.metric")
            .fetch_one(&test.db)
            .await
            .unwrap();
    assert_eq!(places, 4);
    describe("second").await;
    assert_eq!(helps().await, all("second"));
}

#[tokio::test]
async fn a_series_with_an_impossible_number_is_an_error() {
    for id in [-1i64, 1 << 32] {
        let database = testing::database().await;
        let test = TestReceiver::on(database, receiver::ingest::Limits::default()).await;
        test.write(vec![series(&[("__name__", "up")], &[(now(), 1.0)])]).await;
        let database = test.close().await;
        let db = PgPool::connect(database.url()).await.unwrap();
        sqlx::query(
            "INSERT INTO watchpost.series (id, metric_id, pack, identity, labels)
             SELECT $1, metric_id, pack, gen_random_uuid(), '{}' FROM watchpost.series LIMIT 1",
        )
        .bind(id)
        .execute(&db)
        .await
        .unwrap();
        db.close().await;
        let err = Receiver::open(Config::new(database.url().to_owned())).await.err();
        let err = format!("{:?}", err.expect("the catalogue cannot be read"));
        assert!(err.contains(&format!("id {id}")), "{err}");
    }
}
