//! The queries that the public compliance suite asks, in kind and number, of our own samples: 539 over a range, and the
//! same at one time.

use crate::{
    compare::{self, Words},
    pair::Pair,
    samples, tolerated,
};

const RANGES: &[&str] = &["1s", "15s", "1m", "5m", "15m", "1h"];
const OFFSETS: &[&str] = &["1m", "5m", "10m"];
const QUANTILES: &[&str] = &["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"];
const SIMPLE: &[&str] = &["sum", "avg", "max", "min", "count", "stddev", "stdvar"];
const RANKED: &[&str] = &["topk", "bottomk"];
const OVER_TIME: &[&str] =
    &["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last", "present"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^"];
const COMPARISON: &[&str] = &["==", "!=", "<", ">", "<=", ">="];
const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="];
const MATHS: &[&str] = &[
    "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round", "sgn", "acos", "acosh",
    "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinh", "tan", "tanh", "deg", "rad",
];
const DATES: &[&str] = &[
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
];

/// What stands for a word in a template.
const WORDS: &[(&str, &[&str])] = &[
    ("RANGE", RANGES),
    ("OFFSET", OFFSETS),
    ("QUANTILE", QUANTILES),
    ("SIMPLE", SIMPLE),
    ("RANKED", RANKED),
    ("OVER", OVER_TIME),
    ("ARITH", ARITHMETIC),
    ("COMPARE", COMPARISON),
    ("BINARY", OPERATORS),
    ("MATH", MATHS),
    ("DATE", DATES),
    ("RATE", &["delta", "rate", "increase"]),
    ("LASTTWO", &["idelta", "irate"]),
    ("CLAMP", &["clamp_min", "clamp_max"]),
];

/// One line, or more with words that stand for several.
const TEMPLATES: &[&str] = &[
    // Literals.
    "42",
    "1.234",
    ".123",
    "1.23e-3",
    "0x3d",
    "Inf",
    "+Inf",
    "-Inf",
    "NaN",
    // Selectors.
    "shop_memory_bytes",
    "{__name__=\"shop_memory_bytes\"}",
    "shop_memory_bytes{type=\"free\"}",
    "shop_memory_bytes{type!=\"free\"}",
    "shop_memory_bytes{instance=~\"shop.example:.*\"}",
    "shop_memory_bytes{instance=~\"shop\"}",
    "shop_memory_bytes{instance!~\".*:10000\"}",
    "shop_memory_bytes{type=\"free\", instance!=\"shop.example:10000\"}",
    "{type=\"free\", instance!=\"shop.example:10000\"}",
    "{__name__=~\".*\"}",
    "no_such_metric",
    "shop_memory_bytes offset OFFSET",
    "shop_memory_bytes offset -OFFSET",
    "shop_intermittent",
    // Aggregations.
    "SIMPLE(shop_memory_bytes)",
    "SIMPLE(no_such_metric)",
    "SIMPLE by() (shop_memory_bytes)",
    "SIMPLE by(instance) (shop_memory_bytes)",
    "SIMPLE by(instance, type) (shop_memory_bytes)",
    "SIMPLE by(no_such_label) (shop_memory_bytes)",
    "SIMPLE without() (shop_memory_bytes)",
    "SIMPLE without(instance) (shop_memory_bytes)",
    "SIMPLE without(instance, type) (shop_memory_bytes)",
    "SIMPLE without(no_such_label) (shop_memory_bytes)",
    "RANKED (3, shop_memory_bytes)",
    "RANKED by(instance) (2, shop_memory_bytes)",
    "RANKED without(instance) (2, shop_memory_bytes)",
    "RANKED without() (2, shop_memory_bytes)",
    "quantile(QUANTILE, shop_memory_bytes)",
    "avg(max by(type) (shop_memory_bytes))",
    // Operators.
    "1 * 2 + 4 / 6 - 10 % 2 ^ 2",
    "shop_cpus + (1 COMPARE bool 2)",
    "shop_memory_bytes BINARY 1.2345",
    "shop_memory_bytes COMPARE bool 1.2345",
    "1.2345 COMPARE bool shop_memory_bytes",
    "0.12345 BINARY shop_memory_bytes",
    "(1 * 2 + 4 / 6 - (10%7)^2) BINARY shop_memory_bytes",
    "shop_memory_bytes BINARY (1 * 2 + 4 / 6 - 10)",
    "timestamp(shop_memory_bytes * 1)",
    "timestamp(-shop_memory_bytes)",
    "shop_memory_bytes BINARY on(instance, job, type) shop_memory_bytes",
    "sum by(instance, type) (shop_memory_bytes) BINARY on(instance, type) group_left(job) shop_memory_bytes",
    "shop_memory_bytes COMPARE bool on(instance, job, type) shop_memory_bytes",
    "shop_memory_bytes / on(instance, job, type, __name__) shop_memory_bytes",
    "sum without(job) (shop_memory_bytes) / on(instance, type) shop_memory_bytes",
    "sum without(job) (shop_memory_bytes) / on(instance, type) group_left shop_memory_bytes",
    "sum without(job) (shop_memory_bytes) / on(instance, type) group_left(job) shop_memory_bytes",
    "shop_memory_bytes / on(instance, job) group_left shop_cpus",
    "shop_memory_bytes / on(instance, type, job, no_such_label) shop_memory_bytes",
    "shop_cpus * Inf",
    "shop_cpus * -Inf",
    "shop_cpus * NaN",
    "shop_memory_bytes + -(1)",
    "-shop_memory_bytes",
    "-1 ^ 2",
    // Scalars that change.
    "1 ARITH time()",
    "time() ARITH 1",
    "time() COMPARE bool 1",
    "1 COMPARE bool time()",
    "time() ARITH time()",
    "time() COMPARE bool time()",
    "time() BINARY shop_memory_bytes",
    "shop_memory_bytes BINARY time()",
    // Functions.
    "OVER_over_time(shop_memory_bytes[RANGE])",
    "quantile_over_time(QUANTILE, shop_memory_bytes[RANGE])",
    "timestamp(shop_cpus)",
    "timestamp(timestamp(shop_cpus))",
    "MATH(shop_memory_bytes)",
    "MATH(-shop_memory_bytes)",
    "RATE(no_such_metric[5m])",
    "RATE(shop_cpu_seconds_total[RANGE])",
    "deriv(shop_disk_bytes[RANGE])",
    "predict_linear(shop_disk_bytes[RANGE], 600)",
    "time()",
    "label_replace(shop_cpus, \"job\", \"to-$1\", \"instance\", \"shop.example:(.*)\")",
    "label_replace(shop_cpus, \"job\", \"to-$1\", \"instance\", \"host:(.*)\")",
    "label_replace(shop_cpus, \"job\", \"$1-$2\", \"instance\", \"sho(.*):(.*)\")",
    "label_replace(shop_cpus, \"job\", \"v-$1\", \"no_such_label\", \"source-(.*)\")",
    "label_replace(shop_cpus, \"job\", \"v-$1\", \"no_such_label\", \"(.*)\")",
    "label_replace(shop_cpus, \"job\", \"v-$1\", \"instance\", \"never\")",
    "label_replace(shop_cpus, \"job\", \"\", \"to\", \".*\")",
    "label_replace(shop_cpus, \"job\", \"v-$1\", \"from\", \"(.*\")",
    "label_replace(shop_cpus, \"\\xff\", \"\", \"from\", \"(.*)\")",
    "label_replace(shop_cpus, \"instance\", \"\", \"\", \"\")",
    "label_join(shop_cpus, \"joined\", \"-\", \"instance\", \"job\")",
    "label_join(shop_cpus, \"job\", \"-\", \"instance\", \"job\")",
    "label_join(shop_cpus, \"job\", \"-\", \"instance\")",
    "label_join(shop_cpus, \"\\xff\", \"-\", \"instance\")",
    "DATE()",
    "DATE(shop_batch_success_timestamp_seconds offset OFFSET)",
    "LASTTWO(shop_cpu_seconds_total[RANGE])",
    "CLAMP(shop_memory_bytes, 2)",
    "clamp(shop_memory_bytes, 0, 1)",
    "clamp(shop_memory_bytes, 0, 1000000000000)",
    "clamp(shop_memory_bytes, 1000000000000, 0)",
    "clamp(shop_memory_bytes, 1000000000000, 1000000000000)",
    "resets(shop_cpu_seconds_total[RANGE])",
    "changes(shop_batch_success_timestamp_seconds[RANGE])",
    "vector(1.23)",
    "vector(time())",
    "histogram_quantile(QUANTILE, rate(shop_request_seconds_bucket[1m]))",
    "histogram_quantile(0.9, no_such_metric)",
    "histogram_quantile(0.9, shop_memory_bytes)",
    "histogram_quantile(0.9, {__name__=~\"shop_request_seconds_.+\"})",
    "count_values(\"value\", shop_request_seconds_bucket)",
    "absent(shop_memory_bytes)",
    "absent(no_such_metric)",
    // Subqueries.
    "max_over_time((time() - max(shop_batch_success_timestamp_seconds) < 1000)[5m:10s] offset 5m)",
    "avg_over_time(rate(shop_cpu_seconds_total[1m])[2m:10s])",
];

/// Every template with every choice of its words.
fn queries() -> Vec<String> {
    let mut all = Vec::new();
    for template in TEMPLATES {
        let mut forms = vec![(*template).to_owned()];
        for (word, choices) in WORDS {
            if !template.contains(word) {
                continue;
            }
            let expand = |form: &String| -> Vec<String> {
                choices.iter().map(|choice| form.replace(word, choice)).collect()
            };
            forms = forms.iter().flat_map(expand).collect();
        }
        all.extend(forms);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_prometheus() {
    let Some(pair) = Pair::start().await else { return };
    let end = receiver::model::now_ms() / 60_000 * 60_000;
    pair.write(&samples::requests(end)).await;
    let queries = queries();
    let mut differences = Vec::new();
    let seconds = |ts: i64| (ts as f64 / 1000.0).to_string();
    let until = end - 2 * 60_000;
    let (start, until) = (seconds(until - 10 * 60_000), seconds(until));
    for query in &queries {
        let range = [("query", query.as_str()), ("start", &start), ("end", &until), ("step", "10")];
        let instant = [("query", query.as_str()), ("time", &until)];
        for (path, parameters) in [("query_range", &range[..]), ("query", &instant[..])] {
            let (reference, ours) = pair.post(path, parameters).await;
            let found = compare::difference(&reference, &ours, Words::Exact);
            if let Some(found) = found.filter(|_| !tolerated::is(query, &reference, &ours)) {
                differences.push(format!("{path} {query}\n    {found}"));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} answers differ:\n{}",
        differences.len(),
        2 * queries.len(),
        differences.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
    eprintln!("{} queries, over a range and at one time, answered as by Prometheus", queries.len());
}
