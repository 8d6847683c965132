//! Remote write 1.0, with everything read back from PostgreSQL.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use proto::{remote_write, snappy};
use receiver::ingest::Limits;

use crate::harness::{Stored, TestReceiver, now, series};

#[tokio::test]
async fn all_bits_of_every_float_arrive_in_postgres_and_survive_a_restart() {
    let mut test = TestReceiver::open().await;
    let start = now() - 60_000;
    let odd: Vec<f64> = [
        0.0f64.to_bits(),
        (-0.0f64).to_bits(),
        remote_write::STALE_MARKER_BITS,
        0x7ff8_0000_0000_0001,
        0xfff8_dead_beef_0001,
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        1,
        f64::MIN_POSITIVE.to_bits(),
        (-f64::MIN_POSITIVE / 8.0).to_bits(),
        f64::MAX.to_bits(),
        (0.1f64 + 0.2).to_bits(),
        1234.5678f64.to_bits(),
        (-1e300f64).to_bits(),
        9_007_199_254_740_993.0f64.to_bits(),
    ]
    .into_iter()
    .map(f64::from_bits)
    .collect();
    // Each alone, all together, and each hidden among ordinary values.
    let mut sent = Vec::new();
    for (at, value) in odd.iter().enumerate() {
        sent.push(series(&[("__name__", "odd"), ("at", &format!("{at:02}"))], &[(start, *value)]));
        let run: Vec<(i64, f64)> = (0..40)
            .map(|i| (start + i * 1000, if i == 20 { *value } else { i as f64 * 0.25 }))
            .collect();
        sent.push(series(&[("__name__", "hidden"), ("at", &format!("{at:02}"))], &run));
    }
    let all: Vec<(i64, f64)> =
        odd.iter().enumerate().map(|(at, value)| (start + at as i64, *value)).collect();
    sent.push(series(&[("__name__", "together")], &all));
    let expected: Vec<(String, i64, u64)> = sent
        .iter()
        .flat_map(|series| {
            let labels = match series.labels.get(1) {
                Some(label) => format!("{{\"at\": {:?}}}", label.value),
                None => "{}".to_owned(),
            };
            series.samples.iter().map(move |s| (labels.clone(), s.timestamp, s.value.to_bits()))
        })
        .collect();
    assert_eq!(test.write(sent).await, (StatusCode::NO_CONTENT, String::new()));
    for round in [
        "committed",
        "read back",
        "flushed",
        "flushed and restarted",
        "in windows",
        "final",
        "closed",
    ] {
        match round {
            "read back" | "flushed and restarted" => test = test.restart().await,
            // As the writer that holds the batches is dead, the one that lives adopts them.
            "flushed" => {
                flush_all(&test, now()).await;
                assert!(count(&test, "block_recent").await > 0);
            }
            "in windows" => {
                flush_all(&test, now() + 6 * 3_600_000).await;
                // What was superseded goes a while later.
                flush_all(&test, now() + 7 * 3_600_000).await;
                assert_eq!(count(&test, "block_recent").await, 0);
                assert!(count(&test, "block_window").await > 0);
            }
            "final" => {
                flush_all(&test, now() + 3 * 86_400_000).await;
                flush_all(&test, now() + 4 * 86_400_000).await;
                assert_eq!(count(&test, "block_window").await, 0);
                assert!(count(&test, "block").await > 0);
            }
            "closed" => test = TestReceiver::on(test.close().await, Limits::default()).await,
            _ => {}
        }
        let mut from_sql = Vec::new();
        let mut from_storage = Vec::new();
        for metric in ["odd", "hidden", "together"] {
            from_sql.extend(test.stored(metric).await);
            from_storage.extend(test.read(metric).await);
        }
        let mut wanted = expected.clone();
        for list in [&mut from_sql, &mut from_storage, &mut wanted] {
            list.sort();
        }
        assert_same(&from_sql, &wanted, &format!("{round}, SQL"));
        assert_same(&from_storage, &wanted, &format!("{round}, storage"));
    }
}

/// Everything that any writer left becomes blocks, and what is due at `now` is merged.
pub(crate) async fn flush_all(test: &TestReceiver, now: i64) {
    for table in ["writer", "lease"] {
        let expire = format!("UPDATE watchpost.{table} SET lease_until = now()");
        sqlx::query(sqlx::AssertSqlSafe(expire)).execute(&test.db).await.unwrap();
    }
    test.receiver.storage().housekeep(now).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM watchpost.batch b JOIN watchpost.writer w ON w.id = b.writer WHERE b.seq > w.flushed_seq",
    )
    .fetch_one(&test.db)
    .await
    .unwrap();
    assert_eq!(left, 0, "batches that no block holds");
}

pub(crate) async fn count(test: &TestReceiver, table: &str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM watchpost.{table}"));
    sqlx::query_scalar(sql).fetch_one(&test.db).await.unwrap()
}

#[tokio::test]
async fn good_series_are_kept_and_bad_ones_named() {
    let test = TestReceiver::open().await;
    let ts = now();
    let (status, text) = test
        .write(vec![
            series(&[("__name__", "good"), ("b", "2"), ("a", "1")], &[(ts, 1.0)]),
            series(&[("job", "no name")], &[(ts, 1.0)]),
            series(&[("__name__", "bad"), ("x", "a\0b")], &[(ts, 1.0), (ts + 1, 1.0)]),
            series(&[("__name__", "bad"), ("x", "1"), ("x", "1")], &[(ts, 1.0)]),
            series(&[("__name__", "future")], &[(ts, 1.0), (ts + 3_600_000, 2.0)]),
        ])
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.starts_with("2 samples stored, 5 refused\n"), "{text}");
    for reason in ["no_metric_name", "nul_byte", "duplicate_label", "too_far_in_future"] {
        assert!(text.contains(reason), "{reason} in {text}");
    }
    assert!(text.len() < 1024);
    assert_eq!(
        test.stored("good").await,
        [("{\"a\": \"1\", \"b\": \"2\"}".to_owned(), ts, 1.0f64.to_bits())]
    );
    assert_eq!(test.stored("future").await.len(), 1);
    assert_eq!(test.stored("bad").await, []);
    let (_, metrics) = test.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert!(metrics.contains("receiver_samples_refused_total{reason=\"nul_byte\"} 2"), "{metrics}");
    assert!(metrics.contains("receiver_samples_total 2"), "{metrics}");
}

#[tokio::test]
async fn repeats_succeed_conflicts_do_not_and_late_samples_are_welcome() {
    let test = TestReceiver::open().await;
    let ts = now();
    let up = |samples: &[(i64, f64)]| vec![series(&[("__name__", "up")], samples)];
    assert_eq!(test.write(up(&[(ts, 1.0)])).await.0, StatusCode::NO_CONTENT);
    assert_eq!(test.write(up(&[(ts, 1.0)])).await.0, StatusCode::NO_CONTENT);
    let (status, text) = test.write(up(&[(ts, 2.0), (ts + 1, 5.0)])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        text.contains("1 samples stored, 1 refused") && text.contains(&format!("up at {ts}")),
        "{text}"
    );
    // Later than its time, an hour even, twice.
    for _ in 0..2 {
        assert_eq!(test.write(up(&[(ts - 3_600_000, 7.0)])).await.0, StatusCode::NO_CONTENT);
    }
    let (status, _) = test.write(up(&[(ts - 3_600_000, 8.0)])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let expected: Vec<_> = [(ts - 3_600_000, 7.0f64), (ts, 1.0), (ts + 1, 5.0)]
        .map(|(ts, value)| ("{}".to_owned(), ts, value.to_bits()))
        .to_vec();
    assert_eq!(test.stored("up").await, expected);
    assert_eq!(test.read("up").await, expected);
}

#[tokio::test]
async fn what_is_no_remote_write_is_refused_for_good() {
    let limits = Limits { body_bytes_max: 10_000, decoded_bytes_max: 20_000, ..Limits::default() };
    let test = TestReceiver::with_limits(limits).await;
    let check = async |body: Vec<u8>, expected: StatusCode, word: &str| {
        let (status, text) = test.post(body).await;
        assert_eq!(status, expected, "{text}");
        assert!(text.contains(word), "{word} in {text}");
    };
    check(b"not snappy at all".to_vec(), StatusCode::BAD_REQUEST, "snappy").await;
    check(b"\xff\x06\x00\x00sNaPpY".to_vec(), StatusCode::BAD_REQUEST, "framed").await;
    check(b"\xff\xff\xff\xff\x0f".to_vec(), StatusCode::BAD_REQUEST, "compressed").await;
    check(snappy::compress(b"\x0a\xff"), StatusCode::BAD_REQUEST, "prometheus.WriteRequest").await;
    check(vec![0; 10_001], StatusCode::PAYLOAD_TOO_LARGE, "larger").await;
    check(snappy::compress(&[0; 20_001]), StatusCode::PAYLOAD_TOO_LARGE, "limit").await;
    // Nothing at all is a valid request.
    check(snappy::compress(b""), StatusCode::NO_CONTENT, "").await;
    let request = |name: &str, value: &str| {
        Request::post("/api/v1/write").header(name, value).body(Body::from("garbage")).unwrap()
    };
    assert_eq!(
        test.send(request("Content-Type", "application/json")).await.0,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        test.send(request("Content-Encoding", "gzip")).await.0,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let get = Request::get("/api/v1/write").body(Body::empty()).unwrap();
    assert_eq!(test.send(get).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn concurrent_senders_of_the_same_new_series_create_it_once() {
    let test = TestReceiver::open().await;
    let ts = now();
    let writes = (0..20).map(|sender| {
        let test = &test;
        async move {
            let all = (0..50).map(|i| {
                series(&[("__name__", "shared"), ("i", &i.to_string())], &[(ts + sender, 1.0)])
            });
            assert_eq!(test.write(all.collect()).await.0, StatusCode::NO_CONTENT);
        }
    });
    futures_util::future::join_all(writes).await;
    assert_eq!(test.stored("shared").await.len(), 20 * 50);
    let n: i64 = sqlx::query_scalar("SELECT count(*) FROM watchpost.series")
        .fetch_one(&test.db)
        .await
        .unwrap();
    assert_eq!(n, 50);
}

#[tokio::test]
async fn what_exporters_say_about_metrics_is_kept() {
    use proto::remote_write::{Message, v1};
    let test = TestReceiver::open().await;
    let metadata = |help: &str| v1::MetricMetadata {
        r#type: v1::metric_metadata::MetricType::Counter as i32,
        metric_family_name: "node_cpu_seconds_total".to_owned(),
        help: help.to_owned(),
        unit: String::new(),
    };
    for help in ["Seconds.", "Seconds.", "Other\0wise."] {
        let request = v1::WriteRequest { timeseries: Vec::new(), metadata: vec![metadata(help)] };
        let answer = test.post(snappy::compress(&request.encode_to_vec())).await;
        assert_eq!(answer.0, StatusCode::NO_CONTENT);
    }
    let row: (String, String) = sqlx::query_as("SELECT type, help FROM watchpost.metric")
        .fetch_one(&test.db)
        .await
        .unwrap();
    assert_eq!(row, ("counter".to_owned(), "Otherwise.".to_owned()));
}

/// Equality that shows the differences only.
fn assert_same(found: &[Stored], wanted: &[Stored], when: &str) {
    let missing: Vec<_> = wanted.iter().filter(|sample| !found.contains(sample)).take(5).collect();
    let extra: Vec<_> = found.iter().filter(|sample| !wanted.contains(sample)).take(5).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{when}: missing {missing:x?}, extra {extra:x?}"
    );
    assert_eq!(found.len(), wanted.len(), "{when}");
}
