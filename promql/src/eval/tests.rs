//! What scripts cannot say: options, limits, interruption, errors, depth, and what is asked of the source.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Answer, EvalError, Limits, Options, Outcome, Query, Stop, Times, evaluate};
use crate::model::{Labels, Samples};
use crate::parse::{DEPTH_MAX, Features};
use crate::source::memory::MemorySource;
use crate::source::{Need, Select, SeriesSet, Source, SourceError};

/// `a` and `b` with two series each, a sample a minute for an hour: `a` counts up by 1, `b` by 2.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for (name, increment) in [("a", 1.0), ("b", 2.0)] {
        for instance in ["x", "y"] {
            let labels = Labels::from_pairs([("__name__", name), ("instance", instance)]).unwrap();
            let samples = source.series(labels);
            for minute in 0..60 {
                samples.push(minute * 60_000, minute as f64 * increment);
            }
        }
    }
    source
}

fn ask(query: &str, times: Times, options: &Options) -> Result<Answer, EvalError> {
    let query = Query::new(query, Features::ALL)?;
    evaluate(&query, times, &source(), options, &())
}

/// An instant vector as text, in its own order.
fn instant(query: &str, options: &Options) -> Result<Vec<String>, String> {
    match ask(query, Times::Instant(1_800_000), options) {
        Ok(Answer { outcome: Outcome::Vector(elements), .. }) => Ok(elements
            .iter()
            .map(|element| format!("{} {:?}", element.labels, element.value))
            .collect()),
        Ok(answer) => Err(format!("{:?}", answer.outcome)),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn names_go_at_once_unless_their_removal_is_delayed() {
    let eager = Options::default();
    let delayed = Options { delayed_name_removal: true, ..Options::default() };
    let sum = "sum by (__name__) (rate({__name__=~\"a|b\", instance=\"x\"}[5m]) * 60)";
    assert_eq!(
        instant(sum, &eager),
        Err("vector cannot contain metrics with the same labelset".to_owned())
    );
    let kept =
        "sum by (__name__) (label_replace(rate(a[5m]) * 60, \"__name__\", \"r\", \"\", \"\"))";
    assert_eq!(instant(kept, &eager), Ok(vec!["r Float(2.0)".to_owned()]));
    assert_eq!(instant(kept, &delayed), Ok(vec!["r Float(2.0)".to_owned()]));
    // Arithmetic drops the name in both, before anything can group by it.
    assert_eq!(
        instant("sum by (__name__) (a + a)", &delayed),
        Ok(vec!["{} Float(120.0)".to_owned()])
    );
    for options in [eager, delayed] {
        for (query, expected) in [
            ("-a{instance=\"x\"}", "{instance=\"x\"} Float(-30.0)"),
            ("+a{instance=\"x\"}", "a{instance=\"x\"} Float(30.0)"),
            ("abs(a{instance=\"x\"})", "{instance=\"x\"} Float(30.0)"),
            ("a{instance=\"x\"} > 1", "a{instance=\"x\"} Float(30.0)"),
            ("a{instance=\"x\"} > bool 1", "{instance=\"x\"} Float(1.0)"),
            ("a{instance=\"x\"} < b", "a{instance=\"x\"} Float(30.0)"),
            ("a{instance=\"x\"} < bool b", "{instance=\"x\"} Float(1.0)"),
            ("last_over_time(a{instance=\"x\"}[5m])", "a{instance=\"x\"} Float(30.0)"),
            ("max_over_time(a{instance=\"x\"}[5m])", "{instance=\"x\"} Float(30.0)"),
            ("timestamp(a{instance=\"x\"})", "{instance=\"x\"} Float(1800.0)"),
            ("sum without (instance) (a)", "{} Float(60.0)"),
        ] {
            assert_eq!(instant(query, &options), Ok(vec![expected.to_owned()]), "{query}");
        }
    }
}

#[test]
fn deep_queries_are_evaluated() {
    let depth = DEPTH_MAX - 10;
    let chain = vec!["a"; depth].join(" + ");
    assert_eq!(
        instant(&format!("sum({chain})"), &Options::default()).map(|found| found.len()),
        Ok(1)
    );
    let chain = vec!["a"; depth].join(" or ");
    assert_eq!(instant(&chain, &Options::default()).map(|found| found.len()), Ok(2));
    let parens = "(".repeat(depth) + "a" + &")".repeat(depth);
    assert_eq!(instant(&parens, &Options::default()).map(|found| found.len()), Ok(2));
    let calls = "abs(".repeat(depth) + "a" + &")".repeat(depth);
    assert_eq!(instant(&calls, &Options::default()).map(|found| found.len()), Ok(2));
}

#[test]
fn limits_are_kept() {
    let with = |limits| Options { limits, ..Options::default() };
    let times = Times::Range { start: 0, end: 3_600_000, step: 60_000 };
    let few_samples = with(Limits { samples_max: 100, ..Limits::default() });
    assert!(matches!(ask("a", times, &few_samples), Err(EvalError::TooManySamples)));
    let little_memory = with(Limits { bytes_max: 1_000, ..Limits::default() });
    assert!(matches!(ask("a", times, &little_memory), Err(EvalError::TooManySamples)));
    assert!(matches!(ask("topk(2, a)", times, &little_memory), Err(EvalError::TooManySamples)));
    let few_steps = with(Limits { steps_max: 10, ..Limits::default() });
    assert!(matches!(ask("a", times, &few_steps), Err(EvalError::BadRequest(_))));
    let subquery = "max_over_time(a[100y:1ms])";
    let error = ask(subquery, Times::Instant(0), &Options::default()).unwrap_err();
    assert!(error.to_string().contains("evaluation times"), "{error}");
}

#[test]
fn bad_requests() {
    let range = |start, end, step| Times::Range { start, end, step };
    for (query, times, expected) in [
        (
            "a",
            range(0, 10, 0),
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        ("a", range(10, 0, 1), "end timestamp must not be before start time"),
        (
            "a[5m]",
            range(0, 1, 1),
            "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        (
            "\"a\"",
            range(0, 1, 1),
            "invalid expression type \"string\" for range query, must be Scalar or instant Vector",
        ),
        ("a[1m-1m]", Times::Instant(0), "duration must be greater than 0"),
        ("a[5m] offset (1/(1-1))", Times::Instant(0), "division by zero"),
    ] {
        assert_eq!(
            ask(query, times, &Options::default()).unwrap_err().to_string(),
            expected,
            "{query}"
        );
    }
}

#[test]
fn interrupts_are_heard() {
    let query = Query::new("sum(rate(a[5m]))", Features::default()).unwrap();
    let cancelled = AtomicBool::new(true);
    let error = evaluate(&query, Times::Instant(0), &source(), &Options::default(), &cancelled)
        .unwrap_err();
    assert!(matches!(error, EvalError::Cancelled));
    cancelled.store(false, Ordering::Relaxed);
    assert!(
        evaluate(&query, Times::Instant(0), &source(), &Options::default(), &cancelled).is_ok()
    );
    let timed_out = || Some(Stop::TimedOut);
    let error = evaluate(&query, Times::Instant(0), &source(), &Options::default(), &timed_out)
        .unwrap_err();
    assert_eq!(error.to_string(), "query timed out in expression evaluation");
}

/// Remembers what it was asked for.
#[derive(Default)]
struct Recorder {
    asked: RefCell<Vec<(String, i64, i64, Need)>>,
}

impl Source for Recorder {
    fn select<'s>(&'s self, request: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        let matchers: Vec<String> = request.matchers.iter().map(ToString::to_string).collect();
        self.asked.borrow_mut().push((
            matchers.join(","),
            request.after,
            request.until,
            request.need,
        ));
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

impl SeriesSet for Nothing {
    fn labels(&self) -> &[Labels] {
        &[]
    }

    fn read(&mut self, _: usize, _: &mut Samples) -> Result<(), SourceError> {
        Ok(())
    }
}

#[test]
fn sources_are_asked_for_exactly_what_is_needed() {
    let (minute, hour) = (60_000, 3_600_000);
    for (query, after, until, need) in [
        ("a", hour - 5 * minute, 2 * hour, Need::Values),
        ("a offset 10m", hour - 15 * minute, 2 * hour - 10 * minute, Need::Values),
        ("rate(a[20m])", hour - 20 * minute, 2 * hour, Need::Values),
        ("rate(a[20m] offset -1m)", hour - 19 * minute, 2 * hour + minute, Need::Values),
        ("a @ 60", -4 * minute, minute, Need::Values),
        ("a @ end() offset 1m", 2 * hour - 6 * minute, 2 * hour - minute, Need::Values),
        // Points of the subquery from 00:41 on, each looking back five minutes.
        ("max_over_time(a[20m:1m])", hour - 24 * minute, 2 * hour, Need::Values),
        ("count(a)", hour - 5 * minute, 2 * hour, Need::Presence),
        ("count_over_time(a[20m])", hour - 20 * minute, 2 * hour, Need::Presence),
        ("absent(a)", hour - 5 * minute, 2 * hour, Need::Presence),
        ("delta(a[20m] smoothed)", hour - 25 * minute, 2 * hour + 5 * minute, Need::Values),
    ] {
        let recorder = Recorder::default();
        let query = Query::new(query, Features::ALL).unwrap();
        let times = Times::Range { start: hour, end: 2 * hour, step: minute };
        evaluate(&query, times, &recorder, &Options::default(), &()).unwrap();
        let asked = recorder.asked.into_inner();
        assert_eq!(asked, [("__name__=\"a\"".to_owned(), after, until, need)], "{}", query.text);
    }
}

/// Notes whose samples are read.
#[derive(Default)]
struct Watched {
    series: MemorySource,
    read: RefCell<Vec<String>>,
}

struct WatchedSet<'s> {
    set: Box<dyn SeriesSet + 's>,
    read: &'s RefCell<Vec<String>>,
}

impl Source for Watched {
    fn select<'s>(&'s self, request: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        Ok(Box::new(WatchedSet { set: self.series.select(request)?, read: &self.read }))
    }
}

impl SeriesSet for WatchedSet<'_> {
    fn labels(&self) -> &[Labels] {
        self.set.labels()
    }

    fn keep_only(&mut self, places: &[usize]) -> bool {
        self.set.keep_only(places)
    }

    fn read(&mut self, place: usize, samples: &mut Samples) -> Result<(), SourceError> {
        let labels = &self.set.labels()[place];
        self.read.borrow_mut().push(format!("{}{}", labels.metric_name(), labels.get("host")));
        self.set.read(place, samples)
    }
}

#[test]
fn what_nobody_matches_is_not_read() {
    let mut watched = Watched::default();
    for (name, hosts) in [("a", &["1", "2", "3"][..]), ("b", &["2", "3", "4"]), ("c", &["3"])] {
        for host in hosts {
            let labels = Labels::from_pairs([("__name__", name), ("host", host)]).unwrap();
            watched.series.series(labels).push(0, 1.0);
        }
    }
    for (query, found, read) in [
        ("a + b", 2, "a2 a3 b2 b3"),
        ("a{host=\"2\"} / b", 1, "a2 b2"),
        ("b > bool on (host) group_left () a{host=\"3\"}", 1, "a3 b3"),
        ("a @ 0 * on (host) group_right () c", 1, "a3 c3"),
        ("a and b", 2, "a2 a3 b2 b3"),
        ("c unless a", 0, "a3 c3"),
        ("a unless c", 2, "a1 a2 a3 c3"),
        ("a or c", 3, "a1 a2 a3 c3"),
        ("a * on () group_left () c", 3, "a1 a2 a3 c3"),
        ("a + d", 0, ""),
        // These may have something to say of what they read.
        ("rate(a[5m]) / c", 0, "a1 a2 a3 c3"),
    ] {
        let query = Query::new(query, Features::default()).unwrap();
        for times in [Times::Instant(0), Times::Range { start: 0, end: 60_000, step: 30_000 }] {
            let answer = evaluate(&query, times, &watched, &Options::default(), &()).unwrap();
            let mut names = watched.read.take();
            names.sort();
            assert_eq!(names.join(" "), read, "{}", query.text);
            let n = match answer.outcome {
                Outcome::Vector(vector) => vector.len(),
                Outcome::Matrix(matrix) => matrix.len(),
                outcome => panic!("{}: {outcome:?}", query.text),
            };
            assert_eq!(n, found, "{}", query.text);
        }
    }
}

/// Fails when samples are read.
struct Broken(Vec<Labels>);

impl Source for Broken {
    fn select<'s>(&'s self, _: &Select<'_>) -> Result<Box<dyn SeriesSet + 's>, SourceError> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

impl SeriesSet for Broken {
    fn labels(&self) -> &[Labels] {
        &self.0
    }

    fn read(&mut self, _: usize, _: &mut Samples) -> Result<(), SourceError> {
        Err(SourceError("disk is gone".into()))
    }
}

#[test]
fn errors_of_the_source_come_through() {
    let broken = Broken(vec![Labels::from_pairs([("__name__", "a")]).unwrap()]);
    for query in
        ["a", "sum(rate(a[5m]))", "a + a", "topk(1, a)", "absent_over_time(a[5m])", "a[5m]"]
    {
        let query = Query::new(query, Features::default()).unwrap();
        let error =
            evaluate(&query, Times::Instant(0), &broken, &Options::default(), &()).unwrap_err();
        assert!(matches!(error, EvalError::Source(_)), "{}", query.text);
        assert_eq!(error.to_string(), "disk is gone");
    }
}

/// No multiple of the step lies in the range: nothing is evaluated, so nothing can be wrong with it.
#[test]
fn subqueries_without_a_step_are_empty() {
    let options = Options::default();
    let ambiguous = "max_over_time((a + on () b)[5s:1m])";
    let at = |ts| ask(ambiguous, Times::Instant(ts), &options);
    assert!(
        matches!(at(1_830_000).unwrap().outcome, Outcome::Vector(elements) if elements.is_empty())
    );
    assert!(at(1_800_000).is_err());
}

/// One pass over sliding windows gives what looking at each window does, to the sign of a zero.
#[test]
fn extremes_of_sliding_windows() {
    let odd = [3.0, f64::NAN, -0.0, 0.0, 7.0, f64::NAN, f64::NAN, f64::INFINITY, 2.0, 2.0, -1.0];
    let samples: Vec<(i64, f64)> =
        (0..300).map(|n: i64| (n * 977, odd[(n * n % 37) as usize % odd.len()])).collect();
    let mut source = MemorySource::default();
    let series = source.series(Labels::from_pairs([("__name__", "m")]).unwrap());
    samples.iter().for_each(|(ts, value)| series.push(*ts, *value));
    for (function, outdoes) in
        [("max_over_time", f64::gt as fn(&f64, &f64) -> bool), ("min_over_time", f64::lt)]
    {
        for (window, step) in [(1, 700), (900, 400), (5_000, 300), (50_000, 7_000), (3_000, 9_000)]
        {
            let text = format!("{function}(m[{window}ms])");
            let query = Query::new(&text, Features::default()).unwrap();
            let times = Times::Range { start: -1_000, end: 310_000, step };
            let answer = evaluate(&query, times, &source, &Options::default(), &()).unwrap();
            let Outcome::Matrix(found) = answer.outcome else { panic!("a range query") };
            let found: Vec<(i64, u64)> = found
                .iter()
                .flat_map(|series| series.floats())
                .map(|(ts, value)| (ts, value.to_bits()))
                .collect();
            let expected: Vec<(i64, u64)> = (-1_000..=310_000)
                .step_by(step as usize)
                .filter_map(|end| {
                    let within = samples.iter().filter(|(ts, _)| end - window < *ts && *ts <= end);
                    let extreme = within.map(|(_, value)| *value).reduce(|best, value| {
                        if outdoes(&value, &best) || best.is_nan() { value } else { best }
                    });
                    Some((end, extreme?.to_bits()))
                })
                .collect();
            assert_eq!(found, expected, "{text} every {step} ms");
        }
    }
}
