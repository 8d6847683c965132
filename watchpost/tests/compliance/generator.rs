//! Queries made up by a grammar over the series that there are. A seed repeats them.

use std::collections::BTreeMap;

use proto::remote_write::v1::WriteRequest;

/// How deep a query nests.
const DEPTH_MAX: u32 = 4;

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What a metric's series look like.
#[derive(Debug, Default)]
struct Metric {
    name: String,
    n_series: usize,
    /// Names with some of their values.
    labels: BTreeMap<String, Vec<String>>,
}

pub(crate) struct Generator {
    random: Random,
    metrics: Vec<Metric>,
}

const DURATIONS: &[&str] = &["5s", "17s", "30s", "1m", "90s", "2m", "5m"];
const OVER_TIME: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "absent_over_time",
];
const MATHS: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "sqrt",
    "ln",
    "log2",
    "log10",
    "round",
    "sgn",
    "sort",
    "sort_desc",
    "timestamp",
    "absent",
    "atan",
    "cosh",
    "sin",
    "deg",
    "hour",
    "day_of_week",
    "minute",
    "histogram_count",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
];
const AGGREGATIONS: &[&str] = &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISON: &[&str] = &["==", "!=", "<", ">", "<=", ">="];
const NUMBERS: &[&str] = &["0", "1", "-1", "2.5", "0.1", "1e9", "NaN", "Inf", "1e-9", "100"];

impl Generator {
    pub(crate) fn new(seed: u64, requests: &[WriteRequest]) -> Self {
        /// Values of a label that are worth choosing from.
        const VALUES_MAX: usize = 20;
        let mut metrics: BTreeMap<&str, Metric> = BTreeMap::new();
        let mut known = std::collections::HashSet::new();
        for series in requests.iter().flat_map(|request| &request.timeseries) {
            if !known.insert(format!("{:?}", series.labels)) {
                continue;
            }
            let name = series.labels.iter().find(|label| label.name == "__name__").expect("a name");
            let metric = metrics.entry(&name.value).or_default();
            metric.name.clone_from(&name.value);
            metric.n_series += 1;
            for label in series.labels.iter().filter(|label| label.name != "__name__") {
                let values = metric.labels.entry(label.name.clone()).or_default();
                if values.len() < VALUES_MAX && !values.contains(&label.value) {
                    values.push(label.value.clone());
                }
            }
        }
        Self { random: Random(seed), metrics: metrics.into_values().collect() }
    }

    /// One query whose value is a vector or a scalar.
    pub(crate) fn query(&mut self) -> String {
        if self.random.one_in(20) { self.scalar(0) } else { self.vector(0) }
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    fn word(&mut self, from: &[&'static str]) -> &'static str {
        from[self.random.below(from.len())]
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth >= DEPTH_MAX || self.random.one_in(4) {
            return self.selector();
        }
        let deeper = depth + 1;
        match self.random.below(16) {
            0..=3 => {
                let function = self.word(OVER_TIME);
                format!("{function}({})", self.range(deeper))
            }
            4 => {
                let number = self.word(&["0", "0.5", "0.9", "1", "-1", "2", "NaN"]);
                format!("quantile_over_time({number}, {})", self.range(deeper))
            }
            5 => format!("predict_linear({}, {})", self.range(deeper), self.scalar(deeper)),
            6 | 7 => {
                let function = self.word(MATHS);
                format!("{function}({})", self.vector(deeper))
            }
            8 => match self.random.below(4) {
                0 => {
                    let (a, b) = (self.scalar(deeper), self.scalar(deeper));
                    format!("clamp({}, {a}, {b})", self.vector(deeper))
                }
                1 => format!("round({}, {})", self.vector(deeper), self.scalar(deeper)),
                2 => self.replaced(deeper),
                _ => format!("vector({})", self.scalar(deeper)),
            },
            9..=11 => self.aggregation(deeper),
            12 | 13 => self.binary(deeper),
            14 => {
                let number = self.word(&["0.5", "0.9", "0.99", "0", "1", "-1", "2"]);
                let inner = self.vector(deeper);
                format!("histogram_quantile({number}, {inner})")
            }
            _ => format!("-{}", self.vector(deeper)),
        }
    }

    fn scalar(&mut self, depth: u32) -> String {
        match self.random.below(8) {
            0 => "time()".to_owned(),
            1 if depth < DEPTH_MAX => format!("scalar({})", self.vector(depth + 1)),
            2 if depth < DEPTH_MAX => {
                let operator = self.word(ARITHMETIC);
                format!("({} {operator} {})", self.scalar(depth + 1), self.scalar(depth + 1))
            }
            3 if depth < DEPTH_MAX => {
                let operator = self.word(COMPARISON);
                format!("({} {operator} bool {})", self.scalar(depth + 1), self.scalar(depth + 1))
            }
            _ => self.word(NUMBERS).to_owned(),
        }
    }

    fn range(&mut self, depth: u32) -> String {
        let duration = self.word(DURATIONS);
        if depth < DEPTH_MAX && self.random.one_in(4) {
            let step = self.word(&["", "7s", "10s", "1m"]);
            let inner = self.vector(depth);
            let offset = self.shift();
            return format!("({inner})[{duration}:{step}]{offset}");
        }
        let selector = self.bare_selector();
        let offset = self.shift();
        format!("{selector}[{duration}]{offset}")
    }

    fn selector(&mut self) -> String {
        let selector = self.bare_selector();
        selector + &self.shift()
    }

    fn bare_selector(&mut self) -> String {
        // Metrics with few series, mostly: answers stay small.
        let mut place = self.random.below(self.metrics.len());
        for _ in 0..3 {
            if self.metrics[place].n_series > 40 {
                place = self.random.below(self.metrics.len());
            }
        }
        let metric = &self.metrics[place];
        let mut text = metric.name.clone();
        let names: Vec<&String> = metric.labels.keys().collect();
        if names.is_empty() || self.random.below(5) < 3 {
            return text;
        }
        let name = (*self.random.choose(&names)).clone();
        let value = self.random.choose(&metric.labels[&name]).clone();
        let pattern: String = value
            .chars()
            .map(|character| if character.is_ascii_alphanumeric() { character } else { '.' })
            .collect();
        let matcher = match self.random.below(6) {
            0 => format!("{name}={value:?}"),
            1 => format!("{name}!={value:?}"),
            2 => format!("{name}=~\"{pattern}|zzz\""),
            3 => format!("{name}!~\"{pattern}\""),
            4 => format!("{name}=~\".+\""),
            _ => format!("no_such_label=\"\",{name}!=\"\""),
        };
        // Rust and Go write other characters differently.
        if matcher.is_ascii() && !matcher.contains("\\u") {
            text += &format!("{{{matcher}}}");
        }
        text
    }

    fn shift(&mut self) -> String {
        match self.random.below(16) {
            0 => format!(" offset {}", self.word(DURATIONS)),
            1 => format!(" offset -{}", self.word(DURATIONS)),
            2 => " @ end()".to_owned(),
            3 => format!(" @ start() offset {}", self.word(DURATIONS)),
            _ => String::new(),
        }
    }

    /// Some labels, of those that most series have.
    fn labels(&mut self) -> String {
        let names: Vec<String> = {
            let place = self.random.below(self.metrics.len());
            self.metrics[place].labels.keys().cloned().collect()
        };
        let mut chosen: Vec<&str> = Vec::new();
        for name in &names {
            if self.random.one_in(2) {
                chosen.push(name);
            }
        }
        chosen.join(", ")
    }

    fn aggregation(&mut self, depth: u32) -> String {
        let grouping = match self.random.below(4) {
            0 => String::new(),
            1 => format!(" without ({})", self.labels()),
            _ => format!(" by ({})", self.labels()),
        };
        let inner = self.vector(depth);
        match self.random.below(10) {
            0 => format!("topk{grouping} (3, {inner})"),
            1 => format!("bottomk{grouping} (2, {inner})"),
            2 => format!("quantile{grouping} ({}, {inner})", self.word(&["0.5", "0.9", "1.5"])),
            3 => format!("count_values{grouping} (\"value\", {inner})"),
            _ => format!("{}{grouping} ({inner})", self.word(AGGREGATIONS)),
        }
    }

    fn replaced(&mut self, depth: u32) -> String {
        let inner = self.vector(depth);
        match self.random.below(3) {
            0 => format!("label_replace({inner}, \"to\", \"$1-x\", \"instance\", \"(.*):.*\")"),
            1 => format!("label_replace({inner}, \"job\", \"\", \"job\", \".*\")"),
            _ => format!("label_join({inner}, \"to\", \"/\", \"job\", \"instance\")"),
        }
    }

    fn binary(&mut self, depth: u32) -> String {
        let left = self.vector(depth);
        if self.random.one_in(3) {
            let scalar = self.scalar(depth);
            return match self.random.below(4) {
                0 => format!("({left} {} {scalar})", self.word(ARITHMETIC)),
                1 => format!("({scalar} {} {left})", self.word(ARITHMETIC)),
                2 => format!("({left} {} {scalar})", self.word(COMPARISON)),
                _ => format!("({left} {} bool {scalar})", self.word(COMPARISON)),
            };
        }
        // The same series again often match; others rarely do.
        let right = if self.random.one_in(2) { left.clone() } else { self.vector(depth) };
        let on = match self.random.below(5) {
            0 => format!(" on ({})", self.labels()),
            1 => format!(" ignoring ({})", self.labels()),
            _ => String::new(),
        };
        match self.random.below(6) {
            0 => format!("({left} {}{on} {right})", self.word(&["and", "or", "unless"])),
            1 => format!("({left} {}{on} {right})", self.word(COMPARISON)),
            2 => format!("({left} {} bool{on} {right})", self.word(COMPARISON)),
            3 if !on.is_empty() => {
                format!("({left} {}{on} group_left () {right})", self.word(ARITHMETIC))
            }
            _ => format!("({left} {}{on} {right})", self.word(ARITHMETIC)),
        }
    }
}
