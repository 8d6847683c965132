//! The query API over HTTP: shapes and words (compared with a real Prometheus in `watchpost/tests/compliance`), limits, and
//! queries that mean harm.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use proto::{
    remote_write::{Message, v1},
    snappy,
};
use receiver::{Config, db::testing, query};
use serde_json::Value;
use tower::ServiceExt;

use crate::harness::{TestReceiver, now, series};

const STEP: i64 = 15_000;

/// Percent-encodes everything that is not a letter or a digit.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs =
        parameters.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Asks by a form, as Grafana does.
async fn ask(test: &TestReceiver, path: &str, parameters: &[(&str, &str)]) -> (StatusCode, Value) {
    let request = Request::post(format!("/api/v1/{path}"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(Body::from(form(parameters)))
        .unwrap();
    let (status, text) = test.send(request).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn filled(limits: query::Limits) -> (TestReceiver, i64) {
    let database = testing::database().await;
    let config = Config { queries: limits, ..Config::new(database.url().to_owned()) };
    let test = TestReceiver::with_config(database, config).await;
    let end = now() / STEP * STEP;
    let mut request = Vec::new();
    for instance in ["a", "b", "c"] {
        let samples: Vec<(i64, f64)> =
            (0..200).map(|n| (end - (199 - n) * STEP, n as f64)).collect();
        request.push(series(
            &[("__name__", "requests_total"), ("instance", instance), ("job", "x")],
            &samples,
        ));
    }
    test.write_surely(request).await;
    (test, end)
}

#[tokio::test]
async fn questions_are_answered() {
    let (test, end) = filled(query::Limits::default()).await;
    let time = (end / 1000).to_string();
    let check = async |path: &str, parameters: &[(&str, &str)], expected: &str| {
        let (status, answer) = ask(&test, path, parameters).await;
        let expected: Value = serde_json::from_str(&expected.replace("TIME", &time)).unwrap();
        assert_eq!((status, &answer["data"]), (StatusCode::OK, &expected), "{path} {parameters:?}");
    };
    check(
        "query",
        &[("query", "sum(requests_total)"), ("time", &time)],
        r#"{"resultType":"vector","result":[{"metric":{},"value":[TIME,"597"]}]}"#,
    )
    .await;
    check(
        "query_range",
        &[("query", "count(requests_total)"), ("start", &time), ("end", &time), ("step", "1m")],
        r#"{"resultType":"matrix","result":[{"metric":{},"values":[[TIME,"3"]]}]}"#,
    )
    .await;
    check("labels", &[], r#"["__name__","instance","job"]"#).await;
    check("labels", &[("match[]", "requests_total"), ("limit", "1")], r#"["__name__"]"#).await;
    check(
        "series",
        &[("match[]", "requests_total{instance=\"a\"}"), ("start", &time), ("end", &time)],
        r#"[{"__name__":"requests_total","instance":"a","job":"x"}]"#,
    )
    .await;
    check("series", &[("match[]", "requests_total"), ("start", "1"), ("end", "2")], "[]").await;
    check("format_query", &[("query", "sum(a)by(b)")], "\"sum by (b) (a)\"").await;
    let request = Request::get("/api/v1/label/instance/values").body(Body::empty()).unwrap();
    assert_eq!(
        test.send(request).await,
        (StatusCode::OK, r#"{"status":"success","data":["a","b","c"]}"#.to_owned())
    );
    // The same when the samples are in blocks.
    test.receiver.storage().housekeep(now()).await.unwrap();
    let start = ((end - 30 * 60_000) / 1000).to_string();
    let times = [("start", start.as_str()), ("end", &time)];
    check(
        "series",
        &[&[("match[]", "{job=\"x\",instance=\"c\"}")], &times[..]].concat(),
        r#"[{"__name__":"requests_total","instance":"c","job":"x"}]"#,
    )
    .await;
}

#[tokio::test]
async fn lines_of_csv() {
    let (test, end) = filled(query::Limits::default()).await;
    let uri = format!(
        "/api/v1/query?{}",
        form(&[
            ("query", "requests_total{instance=\"a\"}[20s]"),
            ("time", &(end / 1000).to_string())
        ])
    );
    let request = Request::get(uri).header("Accept", "text/csv").body(Body::empty()).unwrap();
    let (status, text) = test.send(request).await;
    let (before, last) = (end / 1000 - 15, end / 1000);
    let expected = format!(
        "time,value,__name__,instance,job\r\n{before},198,requests_total,a,x\r\n{last},199,requests_total,a,x\r\n"
    );
    assert_eq!((status, text), (StatusCode::OK, expected));
}

#[tokio::test]
async fn metrics_are_described() {
    let test = TestReceiver::open().await;
    let request = v1::WriteRequest {
        metadata: vec![v1::MetricMetadata {
            r#type: v1::metric_metadata::MetricType::Counter.into(),
            metric_family_name: "requests_total".to_owned(),
            help: "Requests & more".to_owned(),
            unit: "requests".to_owned(),
        }],
        ..v1::WriteRequest::default()
    };
    assert_eq!(test.post(snappy::compress(&request.encode_to_vec())).await.0, 204);
    let get = |uri: &'static str| test.send(Request::get(uri).body(Body::empty()).unwrap());
    let all = r#"{"status":"success","data":{"requests_total":[{"type":"counter","unit":"requests","help":"Requests \u0026 more"}]}}"#;
    for uri in ["/api/v1/metadata", "/api/v1/metadata?metric=requests_total&limit=7"] {
        assert_eq!(get(uri).await, (StatusCode::OK, all.to_owned()));
    }
    let nothing = (StatusCode::OK, r#"{"status":"success","data":{}}"#.to_owned());
    assert_eq!(get("/api/v1/metadata?metric=other").await, nothing);
    assert_eq!(get("/api/v1/metadata?limit=x").await.0, StatusCode::BAD_REQUEST);
}

/// An answer larger than one piece comes whole.
#[tokio::test]
async fn large_answers_come_in_pieces() {
    let (test, end) = filled(query::Limits::default()).await;
    let parameters = [
        ("query", "requests_total * 3.3333333333333335"),
        ("start", &(end / 1000 - 10_900).to_string()),
        ("end", &(end / 1000).to_string()),
        ("step", "1"),
    ];
    let uri = format!("/api/v1/query_range?{}", form(&parameters));
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let router = test.receiver.router(&service::Shutdown::new());
    let response = router.oneshot(request).await.unwrap();
    assert!(response.headers().get("content-length").is_none(), "it is not known beforehand");
    let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
    assert!(body.len() > 200_000, "{} bytes", body.len());
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 3);
    for _ in 0..100 {
        let (_, text) = test.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
        if text.contains("receiver_queries_running 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the turn of the query is not given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_queries_are_refused_or_bounded() {
    let limits = query::Limits {
        timeout: Duration::from_secs(3),
        bytes_max: 16 << 20,
        ..query::Limits::default()
    };
    let (test, end) = filled(limits).await;
    let (time, ago) = ((end / 1000).to_string(), (end / 1000 - 3_000).to_string());
    let year_ago = (end / 1000 - 365 * 86_400).to_string();
    let sum_is = Value::from("597");
    let instant = |query: String| ("query", vec![("query", query), ("time", time.clone())]);
    let range = |query: &str, start: &str, step: &str| {
        let parameters = vec![
            ("query", query.to_owned()),
            ("start", start.to_owned()),
            ("end", time.clone()),
            ("step", step.to_owned()),
        ];
        ("query_range", parameters)
    };
    for ((path, parameters), status, kind) in [
        (instant("1+".repeat(32_000) + "1"), 400, "bad_data"),
        (instant("(".repeat(100_000) + "1" + &")".repeat(100_000)), 400, "bad_data"),
        (instant("-".repeat(60_000) + "1"), 400, "bad_data"),
        (instant("x".repeat(70_000)), 400, "bad_data"),
        (instant("up{a=~\"((a{100}){100}){100}\"}".to_owned()), 400, "bad_data"),
        (instant("{__name__=~\".*\"}".to_owned()), 400, "bad_data"),
        // A pattern that takes other engines for ever.
        (instant("{__name__=~\"(.*)*(.*)*(.*)*x\"}".to_owned()), 200, ""),
        (instant("count({__name__=~\"(r+)+(e+)*.*y\"})".to_owned()), 200, ""),
        (range("requests_total", &year_ago, "0.001"), 400, "bad_data"),
        (range("requests_total", &year_ago, "1"), 400, "bad_data"),
        // All samples of everything, many times over.
        (range("sum_over_time(requests_total[1y:1s])", &ago, "1"), 400, "bad_data"),
        (range("quantile_over_time(0.5, requests_total[100d:1s])", &ago, "1"), 422, "execution"),
        (range("quantile_over_time(0.5, vector(time())[2d:1s])", &ago, "1"), 503, "timeout"),
    ] {
        let began = Instant::now();
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let shown: String = parameters[0].1.chars().take(60).collect();
        // Who asks something harmless meanwhile does not notice.
        let harmless = [("query", "sum(requests_total)"), ("time", time.as_str())];
        let unharmed = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let began = Instant::now();
            (ask(&test, "query", &harmless).await, began.elapsed())
        };
        let ((found, answer), ((harmless, sum), waited)) =
            tokio::join!(ask(&test, path, &parameters), unharmed);
        assert_eq!((harmless, &sum["data"]["result"][0]["value"][1]), (StatusCode::OK, &sum_is));
        assert!(waited < Duration::from_secs(2), "beside {shown}: {waited:?}");
        let found_kind = answer["errorType"].as_str().unwrap_or("");
        let told: String = answer.to_string().chars().take(300).collect();
        assert_eq!((found.as_u16(), found_kind), (status, kind), "{shown}: {told}");
        assert!(began.elapsed() < Duration::from_secs(10), "{shown}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_may_still_change_is_switched_on_by_name() {
    let query = |text| [("query", text), ("time", "1")];
    let experimental = [
        "sort_by_label(vector(1), \"a\")",
        "limitk(1, vector(1))",
        "rate(a[1m] smoothed)",
        "vector(1) + fill(0) vector(1)",
    ];
    let (test, _) = filled(query::Limits::default()).await;
    for text in experimental {
        assert_eq!(ask(&test, "query", &query(text)).await.0, StatusCode::BAD_REQUEST, "{text}");
    }
    let names =
        "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers";
    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        queries: query::Args,
    }
    let program = <Program as clap::Parser>::parse_from(["test", "--enable-feature", names]);
    let (test, _) = filled(program.queries.limits()).await;
    for text in experimental {
        for path in ["query", "parse_query", "format_query", "query_exemplars"] {
            let (status, answer) = ask(&test, path, &query(text)).await;
            assert_eq!(status, StatusCode::OK, "{path} {text}: {answer}");
        }
    }
}

/// Who leaves does not leave work behind.
#[tokio::test]
async fn queries_end_with_their_clients() {
    let limits = query::Limits { concurrency: 1, ..query::Limits::default() };
    let (test, end) = filled(limits).await;
    let (time, ago) = ((end / 1000).to_string(), (end / 1000 - 3_000).to_string());
    let slow = [
        ("query", "quantile_over_time(0.5, vector(time())[2d:1s])"),
        ("start", ago.as_str()),
        ("end", &time),
        ("step", "1"),
    ];
    let left = tokio::time::timeout(Duration::from_millis(300), ask(&test, "query_range", &slow));
    assert!(left.await.is_err(), "this query takes longer");
    let began = Instant::now();
    let quick = [("query", "1"), ("time", "1"), ("timeout", "20s")];
    assert_eq!(ask(&test, "query", &quick).await.0, StatusCode::OK);
    assert!(began.elapsed() < Duration::from_secs(20));
    // Who waits longer than it wants to is told so.
    let (waiting, told) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(2), ask(&test, "query_range", &slow)),
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            ask(&test, "query", &[("query", "1"), ("timeout", "100ms")]).await
        }
    );
    assert!(waiting.is_err());
    assert_eq!(told.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(told.1["errorType"], "timeout");
    let (_, metrics) = test.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert!(metrics.contains("receiver_queries_total{outcome=\"cancelled\"} 2"), "{metrics}");
}

#[tokio::test]
async fn too_many_samples_are_too_many() {
    let limits = query::Limits { samples_max: 300, ..query::Limits::default() };
    let (test, end) = filled(limits).await;
    let time = (end / 1000).to_string();
    let query = [("query", "sum_over_time(requests_total[1h])"), ("time", time.as_str())];
    let (status, answer) = ask(&test, "query", &query).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        answer["error"],
        "query processing would load too many samples into memory in query execution"
    );
}

/// Exemplars of whatever series a query looks at, by series in order of labels.
#[tokio::test]
async fn exemplars_of_a_query() {
    let test = TestReceiver::open().await;
    let t = now() / 1000 * 1000;
    let with_exemplar = |instance: &str, value: f64| {
        let labels = [("__name__", "latency_bucket"), ("instance", instance), ("le", "1")];
        let mut series = series(&labels, &[(t, 3.0)]);
        let labels = vec![v1::Label { name: "trace_id".to_owned(), value: "a\"b".to_owned() }];
        series.exemplars = vec![v1::Exemplar { labels, value, timestamp: t - 1500 }];
        series
    };
    test.write_surely(vec![with_exemplar("b", 0.25), with_exemplar("a", f64::INFINITY)]).await;
    let told = |instance: &str, value: &str| {
        serde_json::json!({
            "seriesLabels": {"__name__": "latency_bucket", "instance": instance, "le": "1"},
            "exemplars": [{
                "labels": {"trace_id": "a\"b"}, "value": value, "timestamp": (t - 1500) as f64 / 1000.0,
            }],
        })
    };
    let query = "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m]))) / scalar(count(absent({le=\"7\"})))";
    let (status, answer) = ask(&test, "query_exemplars", &[("query", query)]).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["data"], serde_json::json!([told("a", "+Inf"), told("b", "0.25")]));
    let (start, end) = ((t - 1000) / 1000, t / 1000);
    for (query, start, end, n) in [
        ("latency_bucket{instance=\"a\"}", start - 1, end, 1),
        ("latency_bucket", start, end, 0),
        ("latency_bucket and latency_bucket", start - 1, start - 1, 0),
        ("nothing", start - 1, end, 0),
    ] {
        let parameters =
            [("query", query), ("start", &start.to_string()), ("end", &end.to_string())];
        let (_, answer) = ask(&test, "query_exemplars", &parameters).await;
        assert_eq!(answer["data"].as_array().map(Vec::len), Some(n), "{query}: {answer}");
    }
}
