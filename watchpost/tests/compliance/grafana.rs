//! What Grafana's Prometheus data source sends, in the order in which somebody uses it: the test of the data source, the
//! query editor, a dashboard with variables, the metrics browser. Prometheus and we answer the same.

use serde_json::Value;

use crate::{
    compare::{self, Words},
    pair::Pair,
    samples,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grafana_is_answered() {
    let Some(pair) = Pair::start().await else { return };
    let end = receiver::model::now_ms() / 60_000 * 60_000;
    pair.write(&samples::requests(end)).await;
    let seconds = |ts: i64| (ts / 1000).to_string();
    let (start, end) = (seconds(end - 3_600_000), seconds(end));
    let times = [("start", start.as_str()), ("end", end.as_str())];
    let check = async |method: &str, path: &str, parameters: &[(&str, &str)]| {
        let (reference, ours) = match method {
            "POST" => pair.post(path, parameters).await,
            _ => pair.get(path, parameters).await,
        };
        let found = compare::difference(&reference, &ours, Words::Exact);
        assert_eq!(found, None, "{method} {path} {parameters:?}");
        assert_eq!(ours.status, 200, "{path}");
        ours.json["data"].clone()
    };

    // "Save & test": a query that needs no samples, by POST.
    check("POST", "query", &[("query", "1+1"), ("time", "4")]).await;
    // What this is: a version, and no features, which would mean another product.
    let (_, about) = pair.get("status/buildinfo", &[]).await;
    assert!(about.json["data"]["version"].as_str().unwrap().starts_with("3."));
    assert_eq!(about.json["data"]["features"], Value::Null);

    // The query editor: metrics with their descriptions, labels, values.
    // (Prometheus forgets the descriptions that come by remote write.)
    let (_, described) = pair.get("metadata", &[("limit", "40000")]).await;
    let help = &described.json["data"]["shop_cpus"][0]["help"];
    assert_eq!(help, "Processors <of the shop> & others");
    let metrics = check("GET", "label/__name__/values", &times).await;
    assert_eq!(metrics.as_array().unwrap().len(), 12);
    check(
        "POST",
        "labels",
        &[&times[..], &[("match[]", "shop_cpus"), ("limit", "40000")]].concat(),
    )
    .await;
    let of_metric = [&times[..], &[("match[]", "{__name__=\"shop_memory_bytes\"}")]].concat();
    check("GET", "label/type/values", &of_metric).await;
    check("GET", "label/type/values", &[&of_metric[..], &[("limit", "40000")]].concat()).await;
    check("POST", "series", &[&of_metric[..], &[("limit", "40000")]].concat()).await;

    // Variables: query_result(), label_values() and an instant query in a table.
    check("POST", "query", &[("query", "count by (instance) (shop_cpus)"), ("time", &end)]).await;

    // Panels, with $__rate_interval and $__range filled in.
    for query in [
        "sum by (mode) (rate(shop_cpu_seconds_total{instance=~\"shop.example:10000|shop.example:10001\"}[1m0s]))",
        "histogram_quantile(0.95, sum by (le) (rate(shop_request_seconds_bucket{job=\"shop\"}[1m0s])))",
        "sum(increase(shop_request_seconds_count{status=~\"5..\"}[1h])) / sum(increase(shop_request_seconds_count[1h]))",
        "topk(5, avg_over_time(shop_disk_bytes[5m]))",
        "up{job=\"none\"}",
    ] {
        let range = [&times[..], &[("query", query), ("step", "15")]].concat();
        check("POST", "query_range", &range).await;
        check("POST", "query_exemplars", &[&times[..], &[("query", query)]].concat()).await;
    }
    // The alerting page.
    check("GET", "rules", &[]).await;
    check("GET", "alerts", &[]).await;
    // A wrong query comes twice: by POST, and after 400 by GET.
    for (reference, ours) in [
        pair.post("query_range", &[&times[..], &[("query", "sum("), ("step", "15")]].concat())
            .await,
        pair.get("query_range", &[&times[..], &[("query", "sum("), ("step", "15")]].concat()).await,
    ] {
        assert_eq!((ours.status, &ours.text), (400, &reference.text));
    }
}
