//! Nothing that comes from outside may panic: random text is parsed, random queries are evaluated over odd data.
//!
//! Queries are made from fragments, so that most parse and reach the evaluator; the data hold what stores hand out on
//! bad days: NaN, infinities, stale markers, histograms of all kinds in one series, times at the ends of the range.

use std::sync::Arc;

use promql::model::histogram::{Buckets, CUSTOM_SCHEMA, CounterReset};
use promql::model::{Histogram, HistogramSample, Labels, stale_marker};
use promql::source::memory::MemorySource;
use promql::{Features, Options, Query, Times, evaluate, parse, pretty};
use proptest::prelude::*;
use proptest::sample::select;

/// Aggregations and functions by the type of what they take.
fn vector_query() -> impl Strategy<Value = String> {
    let selector = select(vec![
        "m",
        "h",
        "{__name__=~\"m|h\"}",
        "m{a=\"1\"}",
        "m offset 1m",
        "m @ 120",
        "h @ end()",
        "m smoothed",
        "nothing",
        "vector(1)",
        "vector(time())",
        "b_bucket",
    ]);
    let leaf = selector.prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let range = (
            inner.clone(),
            select(vec!["m[5m]", "h[5m]", "m[1ms]", "h[10m] anchored", "m[3m] smoothed", ""]),
        )
            .prop_map(|(inner, plain)| {
                if plain.is_empty() { format!("({inner})[5m:30s]") } else { plain.to_owned() }
            });
        let range_functions = select(vec![
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "changes",
            "resets",
            "deriv",
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "sum_over_time",
            "count_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "last_over_time",
            "first_over_time",
            "present_over_time",
            "absent_over_time",
            "mad_over_time",
            "ts_of_max_over_time",
            "ts_of_first_over_time",
        ]);
        let functions = select(vec![
            "abs",
            "ceil",
            "ln",
            "sgn",
            "sort",
            "sort_desc",
            "absent",
            "timestamp",
            "hour",
            "days_in_month",
            "year",
            "histogram_count",
            "histogram_avg",
            "histogram_stddev",
            "start_timestamp",
            "info",
            "-",
            "+",
        ]);
        let scalar = select(vec![
            "1",
            "-1",
            "0.5",
            "NaN",
            "Inf",
            "-Inf",
            "scalar(m)",
            "1e300",
            "0",
            "time()",
        ]);
        let operators = select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "==",
            "!= bool",
            ">",
            "< bool",
            "and",
            "or",
            "unless",
            "</",
            ">/",
            "* on(a)",
            "+ on(a) group_left(le)",
            "- ignoring(a) group_right ()",
            "== on()",
            "+ fill(0)",
            "or on(a)",
        ]);
        let aggregations = select(vec![
            "sum(",
            "avg by (a) (",
            "min without (a) (",
            "count(",
            "group(",
            "stddev(",
            "topk(2, ",
            "bottomk by (a) (1, ",
            "quantile(0.5, ",
            "quantile(NaN, ",
            "count_values(\"v\", ",
            "limitk(1, ",
            "limit_ratio(-0.5, ",
            "topk(time(), ",
        ]);
        prop_oneof![
            (range_functions, range.clone())
                .prop_map(|(function, range)| format!("{function}({range})")),
            (scalar.clone(), range.clone())
                .prop_map(|(q, range)| format!("quantile_over_time({q}, {range})")),
            (range, scalar.clone())
                .prop_map(|(range, by)| format!("predict_linear({range}, {by})")),
            (functions, inner.clone()).prop_map(|(function, inner)| format!("{function}({inner})")),
            (inner.clone(), operators.clone(), inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), select(vec!["+", "/", ">", "</", ">/", "^"]), scalar.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} {b}")),
            (aggregations, inner.clone())
                .prop_map(|(aggregation, inner)| format!("{aggregation}{inner})")),
            (scalar.clone(), inner.clone())
                .prop_map(|(q, inner)| format!("histogram_quantile({q}, {inner})")),
            (scalar.clone(), scalar.clone(), inner.clone()).prop_map(|(low, high, inner)| format!(
                "histogram_fraction({low}, {high}, {inner})"
            )),
            (inner.clone(), scalar.clone(), scalar).prop_map(|(inner, low, high)| format!(
                "clamp(round({inner}, {low}), {low}, {high})"
            )),
            inner.clone().prop_map(|inner| format!(
                "label_replace({inner}, \"a\", \"$1x\", \"a\", \"(.*)\")"
            )),
            inner.prop_map(|inner| format!(
                "label_join({inner}, \"__name__\", \"-\", \"a\", \"le\")"
            )),
        ]
    })
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -100.0..100.0,
        1 => select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324, stale_marker()]),
    ]
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let counts = || prop::collection::vec(float(), 0..5);
    let hints = select(vec![
        CounterReset::Unknown,
        CounterReset::Reset,
        CounterReset::NotReset,
        CounterReset::Gauge,
    ]);
    let schemas = select(vec![-4, 0, 3, 8, CUSTOM_SCHEMA, 40, -90]);
    (schemas, hints, counts(), counts(), -3..3i32, float(), float(), float(), float()).prop_map(
        |(schema, counter_reset, up, down, first, zero_threshold, zero_count, count, sum)| {
            Histogram {
                counter_reset,
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive: Buckets::from_run(first, &up).expect("a run has no gaps"),
                negative: Buckets::from_run(first, &down).expect("a run has no gaps"),
                custom_bounds: if schema == CUSTOM_SCHEMA { up.into() } else { [].into() },
            }
        },
    )
}

fn source() -> impl Strategy<Value = MemorySource> {
    let floats = prop::collection::vec((1..90_000i64, float(), 0..4i64), 0..20);
    let histograms = prop::collection::vec((1..90_000i64, histogram()), 0..8);
    let labels = (
        select(vec!["m", "h", "b_bucket"]),
        select(vec!["", "1", "2"]),
        select(vec!["", "1", "+Inf", "x"]),
    );
    prop::collection::vec((labels, floats, histograms), 0..5).prop_map(|series| {
        let mut source = MemorySource::default();
        for ((name, a, le), floats, histograms) in series {
            let samples = source.series(
                Labels::from_pairs([("__name__", name), ("a", a), ("le", le)]).expect("distinct"),
            );
            samples.clear();
            let mut ts = 0;
            for (distance, value, start) in floats {
                ts += distance;
                samples.push_since(ts, value, if start == 0 { 0 } else { ts - start * 10_000 });
            }
            let mut ts = 500;
            for (distance, value) in histograms {
                ts += distance / 7 * 7 + 3;
                samples.histograms.push(HistogramSample {
                    ts,
                    value: Arc::new(value),
                    start_ts: 0,
                });
            }
        }
        source
    })
}

fn times() -> impl Strategy<Value = Times> {
    let end = select(vec![0, 600_000, i64::MAX, i64::MIN, -1]);
    prop_oneof![
        4 => (0..900_000i64).prop_map(Times::Instant),
        4 => (0..600_000i64, 0..600_000i64, 1_000..90_000i64)
            .prop_map(|(start, length, step)| Times::Range { start, end: start + length, step }),
        1 => end.prop_map(Times::Instant),
        1 => Just(Times::Range { start: i64::MIN, end: i64::MAX, step: i64::MAX }),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (any::<bool>(), any::<bool>()).prop_map(|(delayed_name_removal, start_timestamps)| Options {
        delayed_name_removal,
        start_timestamps,
        ..Options::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,60}") {
        let _ = parse(&text, Features::ALL);
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(
        tokens in prop::collection::vec(select(vec![
            "foo", "sum", "by", "(", ")", "{", "}", "[", "]", ",", ":", "5m", "1", "0x", "+", "-", "^", "==", "=~", "=",
            "\"a\"", "'b", "offset", "@", "start", "end", "bool", "on", "group_left", "rate", "and", "fill", "step",
            "anchored", "and", "#", "\n", " ", "1e", "é", "\\", "`", "!", "inf", "nan", "min_of", "</",
        ]), 0..25),
        separator in select(vec!["", " "]),
    ) {
        let _ = parse(&tokens.join(separator), Features::ALL);
    }

    #[test]
    fn printed_queries_read_back(text in vector_query()) {
        let expr = parse(&text, Features::ALL).expect("fragments fit together");
        let printed = expr.to_string();
        prop_assert_eq!(&parse(&printed, Features::ALL).expect("printed query").to_string(), &printed);
        let formatted = pretty(&expr);
        prop_assert_eq!(&parse(&formatted, Features::ALL).expect("formatted query").to_string(), &printed);
    }

    #[test]
    fn any_query_is_evaluated_or_refused(
        text in vector_query(), source in source(), times in times(), options in options(),
    ) {
        let query = Query::new(&text, Features::ALL).expect("fragments fit together");
        let outcome = evaluate(&query, times, &source, &options, &()).map(|answer| answer.outcome);
        if let Ok(promql::Outcome::Matrix(series)) = outcome {
            prop_assert!(series.windows(2).all(|neighbours| neighbours[0].labels < neighbours[1].labels));
        }
    }
}
