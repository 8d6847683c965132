//! What the HTTP API says, byte by byte where that is possible.

use serde_json::json;

use crate::{
    compare::{self, Words},
    pair::Pair,
    samples,
};

/// Path and parameters, separated by blanks; `+` is a blank. `END` is the time of the last samples, `AGO` ten minutes
/// earlier.
const SAME_BYTES: &[&str] = &[
    // Times and durations.
    "query query=1 time=4",
    "query query=1 time=4.5",
    "query query=1 time=-4.5",
    "query query=1 time=1970-01-01T00:00:04.25Z",
    "query query=1 time=abc",
    "query query=1 time=2026-13-01T00:00:00Z",
    "query query=1 time=4 timeout=abc",
    "query query=1 time=4 timeout=1m",
    "query query=1 time=4 limit=-1",
    "query query=1 time=4 limit=x",
    "query query=1 time=4 limit=99999999999999999999",
    "query query=1 time=4 lookback_delta=x",
    "query query=1 time=4 lookback_delta=-1",
    "query query=1 time=4 lookback_delta=0",
    // Scalars and strings.
    "query query=1e-7 time=4",
    "query query=1e21 time=4",
    "query query=-0 time=4",
    "query query=NaN time=4",
    "query query=-Inf time=4",
    "query query=\"a<b>&\\\"\\n\" time=4.5",
    "query query=\"\" time=0.001",
    "query query=vector(1e-7) time=4",
    "query query=vector(1e21) time=4",
    "query query=vector(123456789012345678) time=4",
    "query query=vector(0.1)+*+3 time=4",
    // What is wrong with a query.
    "query",
    "query query=",
    "query query=up{",
    "query query=up+",
    "query query=sum(",
    "query query=up[5m",
    "query query=rate(up)",
    "query query=rate(up[5m],1)",
    "query query={}",
    "query query={a=~\"x*\"}",
    "query query=nope(up)",
    "query query=up+%%+up",
    "query query=1+or+2",
    "query query=sum+by+(a",
    "query query=topk(up)",
    "query query=\"abc",
    "query query=up{a=\"b}",
    "query query=up{a=~\"(\"}",
    "query query=1+==+1",
    "query query=up+offset+5m+offset+5m",
    "query query=label_replace(up,\"a\",\"b\",\"c\",\"(\") time=4",
    "query query=histogram_quantile(1,2)",
    "query query=)",
    "query query=up)",
    "query query=a+b",
    "query query=5m5h",
    "query query=up{le=1}",
    "query query=sum(up)+by",
    "query query=+",
    "query_range",
    "query_range query=1 start=1",
    "query_range query=1 start=x end=3 step=1",
    "query_range query=1 start=1 end=0 step=1",
    "query_range query=1 start=1 end=3",
    "query_range query=1 start=1 end=3 step=x",
    "query_range query=1 start=1 end=3 step=0",
    "query_range query=1 start=1 end=3 step=-1",
    "query_range query=1 start=1 end=3 step=1e300",
    "query_range query=1 start=0 end=11000 step=1",
    "query_range query=1 start=0 end=11001 step=1",
    "query_range query=1 start=1 end=3 step=1 limit=-1",
    "query_range query=up[1m] start=1 end=3 step=1",
    "query_range query=\"a\" start=1 end=3 step=1",
    "query_range query=up{ start=1 end=3 step=1",
    "query_range query=time() start=1 end=3.7 step=0.5",
    "query_range query=time() start=1 end=3 step=1 timeout=x",
    "query_range query=time() start=1.5 end=1.5 step=1h",
    // Samples.
    "query query=shop_cpus{instance=\"shop.example:10000\"} time=END",
    "query query=shop_cpus{instance=\"shop.example:10000\"}[12s] time=END",
    "query query=shop_text time=END",
    "query query=shop_odd{instance=\"shop.example:10001\"}[3m] time=END",
    "query query=shop_native_seconds{instance=\"shop.example:10002\"} time=END",
    "query query=shop_native_seconds{instance=\"shop.example:10002\"}[11s] time=END",
    "query query=-rate(shop_native_seconds{instance=\"shop.example:10002\"}[1m]) time=END",
    "query_range query=shop_native_seconds{instance=\"shop.example:10002\"} start=AGO end=END step=1m",
    "query_range query=shop_intermittent start=AGO end=END step=30",
    "query_range query=shop_odd start=AGO end=END step=30",
    "query_range query=sum+by+(type)+(shop_memory_bytes) start=AGO end=END step=30 limit=2",
    "query_range query=rate(shop_cpus[1m]) start=AGO end=END step=5m",
    "query query=quantile(2,shop_cpus) time=END",
    "query query=sum(shop_cpus)+by+(job)[1m:20s] time=END",
    "query query=shop_cpus+*+on(job)+shop_cpus time=END",
    "query query=shop_cpus+*+on(job)+group_left+shop_cpus time=END",
    "query query=shop_cpus{instance=\"shop.example:10000\"} time=END lookback_delta=1ms",
    // Which series there are.
    "series",
    "series match[]=",
    "series match[]={a=\"\"}",
    "series match[]=rate(up[5m])",
    "series match[]=up{",
    "series match[]=shop_cpus start=x",
    "series match[]=shop_cpus limit=-1",
    "series match[]=shop_cpus",
    "series match[]=shop_cpus start=5 end=1",
    "series match[]=shop_cpus start=1 end=2",
    "series match[]=shop_cpus start=AGO end=END",
    "series match[]=no_such_metric",
    "series match[]=shop_text",
    "series match[]=shop_cpus match[]=shop_disk_bytes match[]={__name__=~\"shop_c.*s\"} limit=4",
    "labels",
    "labels limit=3",
    "labels match[]=shop_cpus",
    "labels match[]=shop_cpus match[]=shop_text limit=2",
    "labels match[]={a=\"\"}",
    "labels match[]=x{",
    "labels start=x",
    "labels start=1 end=2",
    "labels start=AGO end=END",
    "label/job/values",
    "label/__name__/values start=AGO end=END",
    "label/text/values",
    "label/text/values match[]={instance=~\".*1\"}",
    "label/le/values match[]=shop_request_seconds_bucket{path=\"/\"}",
    "label/U__job/values",
    "label/U__a_20_b/values",
    "label/U__a_zz_b/values",
    "label/a%20b/values",
    "label/no_such_label/values",
    "label/job/values match[]={a=\"\"}",
    "label/job/values start=1 end=2",
    "label/job/values start=END end=x",
    // What metrics are: Prometheus forgets what it is told by remote write, so only errors and nothing are compared.
    "metadata limit=0",
    "metadata limit=x",
    "metadata limit_per_metric=x",
    "metadata metric=no_such_metric",
    // The query itself.
    "format_query",
    "format_query query=sum(",
    "format_query query=sum(shop_cpus)by(job)",
    "format_query query=a<b",
    "format_query query={\"a.b\",\"c.d\"=\"e\"}",
    "format_query query=sum(rate(foo{a=\"b\",c=~\"d\"}[5m]+offset+1m+@+3.5))+by+(aaaaaaaaaaaaaaaaaaaaaaaa)/on(job)group_left(x)-barbarbarbarbarbarbar>bool+3",
    "parse_query",
    "parse_query query=sum(",
    "parse_query query=1",
    "parse_query query=-1e9",
    "parse_query query=Inf",
    "parse_query query=5m",
    "parse_query query=\"a<b\"",
    "parse_query query=up",
    "parse_query query={__name__=\"up\"}",
    "parse_query query={\"a.b\"}",
    "parse_query query=up{a=\"b\",c!=\"d\",e=~\"f\",g!~\"h\"}",
    "parse_query query=up[5m]+offset+-1m",
    "parse_query query=up+@+start()+offset+90s",
    "parse_query query=rate(up[1h]+@+1.5)",
    "parse_query query=(a+++ignoring(z)+b)[1h:5m]+@+end()+offset+-1m",
    "parse_query query=max_over_time(a[1h:])",
    "parse_query query=topk+without(x)+(3,+a)",
    "parse_query query=count_values(\"v\",a)",
    "parse_query query=sum+by()+(a)",
    "parse_query query=sum(a)",
    "parse_query query=a+*+5m+>+bool+1e9+or+c+unless+on(x)+d",
    "parse_query query=a+/+on(job)+group_left(x)+-b",
    "parse_query query=a+/+on(job)+group_right+b",
    "parse_query query=label_join(a,\"x\",\",\",\"y\",\"z\")",
    "parse_query query=round(a)",
    "parse_query query=day_of_month()",
    "parse_query query=time()+atan2+(1)",
    "parse_query query=histogram_quantile(0.9,sum+by+(le)+(rate(a[5m])))",
    // Exemplars, rules, alerts.
    "query_exemplars",
    "query_exemplars query=up{",
    "query_exemplars query=up start=2 end=1",
    "query_exemplars query=up start=x",
    "query_exemplars query=up start=1 end=2",
    "rules",
    "alerts",
    "status/tsdb limit=0",
    "status/tsdb limit=x",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same_bytes() {
    let Some(pair) = Pair::start().await else { return };
    let end = receiver::model::now_ms() / 60_000 * 60_000;
    pair.write(&samples::requests(end)).await;
    let (end, ago) = ((end / 1000).to_string(), (end / 1000 - 600).to_string());
    let mut differences = Vec::new();
    for line in SAME_BYTES {
        let mut words = line.split(' ');
        let path = words.next().unwrap();
        let pairs: Vec<(String, String)> = words
            .map(|word| {
                let (name, value) = word.split_once('=').unwrap();
                let value = value.replace('+', " ").replace("END", &end).replace("AGO", &ago);
                (name.to_owned(), value.replace("   ", " + "))
            })
            .collect();
        let parameters: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (reference, ours) = pair.get(path, &parameters).await;
        // Elements of an instant vector come in no particular order, and the bounds of exponential buckets, which
        // Prometheus reads from a table, may differ in their last digit.
        let is_loose = reference.json["data"]["resultType"] == "vector"
            || reference.text.contains("\"buckets\"")
            || precision(line) == Words::Kind;
        let is_same = match is_loose {
            true => compare::difference(&reference, &ours, precision(line)).is_none(),
            false => reference.status == ours.status && reference.text == ours.text,
        };
        if !is_same {
            let cut = |text: &str| text.chars().take(600).collect::<String>();
            let (theirs, own) = (cut(&reference.text), cut(&ours.text));
            let statuses = (reference.status, ours.status);
            differences.push(format!("{line} {statuses:?}\n    {theirs}\n    {own}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} answers differ:\n{}",
        differences.len(),
        SAME_BYTES.len(),
        differences.join("\n")
    );
}

/// Which of several duplicates an error names is chance there and alphabetical here.
fn precision(line: &str) -> Words {
    if line.contains("on(job)+shop_cpus") || line.contains("group_left+shop_cpus") {
        Words::Kind
    } else {
        Words::Exact
    }
}

/// What is about the server itself has the same fields.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_about_the_server_have_the_same_fields() {
    let Some(pair) = Pair::start().await else { return };
    for path in ["status/buildinfo", "status/runtimeinfo", "status/tsdb", "status/config"] {
        let (reference, ours) = pair.get(path, &[]).await;
        assert_eq!((reference.status, ours.status), (200, 200), "{path}");
        let ours = ours.json["data"].as_object().unwrap();
        for name in reference.json["data"].as_object().unwrap().keys() {
            assert!(ours.contains_key(name), "{path} has no {name}");
        }
    }
    let (reference, ours) =
        pair.post("query", &[("query", "1"), ("time", "4"), ("stats", "all")]).await;
    let fields = |json: &serde_json::Value, part: &str| {
        let part = json["data"]["stats"][part].as_object().cloned().unwrap_or_default();
        json!(part.keys().collect::<Vec<_>>())
    };
    for part in ["timings", "samples"] {
        assert_eq!(fields(&reference.json, part), fields(&ours.json, part));
    }
}
