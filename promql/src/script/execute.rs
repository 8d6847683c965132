//! Running scripts.

use std::sync::Arc;

use super::{CommandKind, Eval, ExpectedOutcome, Script, compare, pin};
use crate::eval::{Answer, EvalError, Limits, Options, Query, Times, evaluate};
use crate::model::histogram::CounterReset;
use crate::model::{Histogram, Samples};
use crate::parse::Features;
use crate::source::memory::MemorySource;

/// What came of a script.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Lines of evaluations that went as expected.
    pub passed: Vec<usize>,
    pub failed: Vec<Failure>,
}

/// An evaluation that did not go as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    pub line: usize,
    pub query: String,
    pub message: String,
}

/// As Prometheus' own suite runs its scripts.
fn options() -> Options {
    Options {
        delayed_name_removal: true,
        start_timestamps: true,
        limits: Limits { samples_max: 1_000_000, ..Limits::default() },
        ..Options::default()
    }
}

/// Runs a script from beginning to end.
pub fn run(script: &Script) -> Report {
    let mut source = MemorySource::default();
    let mut report = Report::default();
    for command in &script.commands {
        match &command.kind {
            CommandKind::Clear => source = MemorySource::default(),
            CommandKind::Load(loaded) => {
                for (labels, samples) in loaded {
                    append(source.series(labels.clone()), samples);
                }
            }
            CommandKind::Eval(eval) => match check(eval, &source) {
                Ok(()) => report.passed.push(command.line),
                Err(message) => {
                    let query = eval.query.clone();
                    report.failed.push(Failure { line: command.line, query, message });
                }
            },
        }
    }
    report
}

/// Adds samples of a later load; of the same time the later one counts.
fn append(known: &mut Samples, new: &Samples) {
    let starts =
        |samples: &Samples, at: usize| samples.start_timestamps.get(at).copied().unwrap_or(0);
    let mut floats: Vec<(i64, f64, i64)> = Vec::new();
    for samples in [new, known] {
        floats.extend(
            samples
                .timestamps
                .iter()
                .zip(&samples.values)
                .enumerate()
                .map(|(at, (ts, v))| (*ts, *v, starts(samples, at))),
        );
    }
    floats.sort_by_key(|(ts, ..)| *ts);
    floats.dedup_by_key(|(ts, ..)| *ts);
    let mut histograms = [new.histograms.clone(), known.histograms.clone()].concat();
    histograms.sort_by_key(|sample| sample.ts);
    histograms.dedup_by_key(|sample| sample.ts);
    known.clear();
    for (ts, value, start_ts) in floats {
        known.push_since(ts, value, start_ts);
    }
    known.histograms = histograms;
    let mut before: Option<Histogram> = None;
    for sample in &mut known.histograms {
        let mut value = Histogram::clone(&sample.value);
        value.counter_reset = stored_hint(&value, before.as_ref());
        before = Some(Histogram::clone(&sample.value));
        sample.value = Arc::new(value);
    }
}

/// What Prometheus' storage, on which its scripts rely, makes of hints about counter resets: within a chunk there are
/// none, and of the first sample of a chunk nothing is known. A chunk ends at a reset and where the layout changes.
fn stored_hint(value: &Histogram, before: Option<&Histogram>) -> CounterReset {
    if value.counter_reset == CounterReset::Gauge {
        return CounterReset::Gauge;
    }
    let Some(before) = before else { return CounterReset::Unknown };
    let same_layout = value.schema == before.schema
        && value.zero_threshold == before.zero_threshold
        && value.custom_bounds == before.custom_bounds
        && before.counter_reset != CounterReset::Gauge
        && !before.is_stale();
    if !same_layout || value.is_reset_after(before) {
        CounterReset::Unknown
    } else {
        CounterReset::NotReset
    }
}

fn answer(query: &Query, times: Times, source: &MemorySource) -> Result<Answer, EvalError> {
    evaluate(query, times, source, &options(), &())
}

fn check(eval: &Eval, source: &MemorySource) -> Result<(), String> {
    let query = Query::new(&eval.query, Features::ALL);
    if let Some(expected) = &eval.fail {
        let error = match query {
            Err(error) => error.to_string(),
            Ok(query) => match answer(&query, eval.times, source) {
                Err(error) => error.to_string(),
                Ok(answer) => return Err(format!("expected a failure, got {:?}", answer.outcome)),
            },
        };
        return if expected.matches(&error) {
            Ok(())
        } else {
            Err(format!("expected {expected:?}, got {error}"))
        };
    }
    let query = query.map_err(|error| error.to_string())?;
    check_answer(eval, &query, eval.times, source, "")?;
    let Times::Instant(ts) = eval.times else { return Ok(()) };
    if eval.range_vector.is_some() || matches!(eval.outcome, ExpectedOutcome::String(_)) {
        return Ok(());
    }
    check_range(eval, &query, ts, source)?;
    if pin::depends_on_time(&query.expr) {
        return Ok(());
    }
    let mut pinned = query;
    pin::pin(&mut pinned.expr, ts);
    let others =
        if ts == 0 { vec![-1_000, 0, 1_000] } else { vec![-10 * ts, 0, ts / 5, ts, 10 * ts] };
    for other in others {
        let when = format!("pinned to {ts}, at {other}: ");
        check_answer(eval, &pinned, Times::Instant(other), source, &when)?;
        check_range(eval, &pinned, other, source).map_err(|err| format!("{when}{err}"))?;
    }
    Ok(())
}

fn check_answer(
    eval: &Eval,
    query: &Query,
    times: Times,
    source: &MemorySource,
    when: &str,
) -> Result<(), String> {
    let answer = answer(query, times, source).map_err(|error| format!("{when}{error}"))?;
    compare::outcome(eval, &answer).map_err(|err| format!("{when}{err}"))?;
    compare::annotations(eval, &answer).map_err(|err| format!("{when}{err}"))
}

/// An instant query is the middle step of a range query.
fn check_range(eval: &Eval, query: &Query, ts: i64, source: &MemorySource) -> Result<(), String> {
    if pin::asks_for_times(&query.expr) {
        return Ok(());
    }
    let times = Times::Range { start: ts - 60_000, end: ts + 60_000, step: 60_000 };
    let answer =
        answer(query, times, source).map_err(|error| format!("as a range query: {error}"))?;
    compare::step(eval, &answer, ts).map_err(|err| format!("as a range query: {err}"))
}
