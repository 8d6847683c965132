//! Script text to commands.

use super::points::{self, Point};
use super::{
    Command, CommandKind, Eval, Expected, ExpectedOutcome, ExpectedTexts, TextMatch, nhcb,
};
use crate::eval::{Grid, Times};
use crate::model::{HistogramSample, Labels, Samples, duration, number};
use crate::parse::parse_series_labels;

/// A script that can be run.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) commands: Vec<Command>,
}

/// A line that cannot be understood.
#[derive(Clone, Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    pub line: usize,
    pub message: String,
}

type Lines<'a> = std::iter::Peekable<std::vec::IntoIter<(usize, &'a str)>>;

impl Script {
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let lines: Vec<(usize, &str)> = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()))
            .map(|(at, line)| (at, if line.starts_with('#') { "" } else { line }))
            .collect();
        let mut lines = lines.into_iter().peekable();
        let mut commands = Vec::new();
        while let Some((line, text)) = lines.next() {
            let fail = |message: String| ScriptError { line, message };
            let word = text.split_whitespace().next().unwrap_or_default().to_lowercase();
            let kind = match word.as_str() {
                "" => continue,
                "clear" => CommandKind::Clear,
                word if word.starts_with("load") => load(text, &mut lines).map_err(fail)?,
                word if word.starts_with("eval") => {
                    CommandKind::Eval(Box::new(eval(text, &mut lines).map_err(fail)?))
                }
                other => return Err(fail(format!("unknown command {other}"))),
            };
            commands.push(Command { line, kind });
        }
        Ok(Self { commands })
    }
}

/// The lines of a block after its first.
fn block<'a>(lines: &mut Lines<'a>) -> Vec<&'a str> {
    let mut block = Vec::new();
    while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
        block.push(line);
    }
    block
}

/// A time as a script writes it: a duration from the epoch, maybe negative.
fn time(text: &str) -> Result<i64, String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if let Some(seconds) = number::parse(unsigned) {
        return Ok(sign * (seconds * 1_000.0).round() as i64);
    }
    Ok(sign * duration::parse(unsigned).map_err(|err| err.to_string())?)
}

/// Splits a series line into its labels, what follows the braces without a blank (`@st`), and its points.
fn series_line(line: &str) -> Result<(Labels, bool, &str), String> {
    let mut quote = None;
    let mut in_braces = false;
    let mut escaped = false;
    let mut end = line.len();
    for (at, character) in line.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, character) {
            (Some(_), '\\') => escaped = true,
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '{') => in_braces = true,
            (None, '}') => in_braces = false,
            (None, blank) if blank.is_whitespace() && !in_braces => {
                end = at;
                break;
            }
            // A brace that closes the labels may be followed by the points without a blank.
            (None, _) => {}
        }
    }
    let mut head = &line[..end];
    let starts = head.ends_with("@st");
    if starts {
        head = &head[..head.len() - 3];
    }
    Ok((parse_series_labels(head).map_err(|err| err.to_string())?, starts, line[end..].trim()))
}

fn load(text: &str, lines: &mut Lines<'_>) -> Result<CommandKind, String> {
    let (command, step) = text.split_once(char::is_whitespace).ok_or("load needs a step")?;
    let step = duration::parse(step.trim()).map_err(|err| err.to_string())?;
    let mut loaded: Vec<(Labels, Samples)> = Vec::new();
    let mut pending: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in block(lines) {
        let (labels, is_starts, points) = series_line(line)?;
        if is_starts {
            pending = Some((labels, points::start_offsets(points)?));
            continue;
        }
        let starts = pending
            .take()
            .filter(|(of, _)| *of == labels)
            .map(|(_, starts)| starts)
            .unwrap_or_default();
        loaded.push((labels, samples(&points::points(points)?, &starts, step)));
    }
    if command.to_lowercase() == "load_with_nhcb" {
        loaded.extend(nhcb::convert(&loaded));
    }
    Ok(CommandKind::Load(loaded))
}

fn samples(points: &[Point], starts: &[Option<i64>], step: i64) -> Samples {
    let mut samples = Samples::default();
    for (at, point) in points.iter().enumerate() {
        let ts = step * at as i64;
        let start_ts = starts.get(at).copied().flatten().map_or(0, |offset| ts + offset);
        match point {
            Point::Absent => {}
            Point::Float(value) => samples.push_since(ts, *value, start_ts),
            Point::Histogram { histogram, .. } => {
                let value = std::sync::Arc::new(histogram.clone());
                samples.histograms.push(HistogramSample { ts, value, start_ts });
            }
        }
    }
    samples
}

fn eval(text: &str, lines: &mut Lines<'_>) -> Result<Eval, String> {
    let (command, rest) = text.split_once(char::is_whitespace).ok_or("eval needs a query")?;
    let (times, query) = when(rest.trim())?;
    let mut eval = Eval {
        query: query.to_owned(),
        times,
        outcome: ExpectedOutcome::Series(Vec::new()),
        ordered: false,
        range_vector: None,
        fail: None,
        warnings: ExpectedTexts::default(),
        infos: ExpectedTexts::default(),
    };
    // The older form puts the expectation into the command.
    match command.to_lowercase().strip_prefix("eval_") {
        Some("fail") => eval.fail = Some(TextMatch::Any),
        Some("warn") => eval.warnings.required = true,
        Some("info") => eval.infos.required = true,
        Some("ordered") => eval.ordered = true,
        _ => {}
    }
    let mut series = Vec::new();
    for line in block(lines) {
        if let Some(expectation) = line.strip_prefix("expect ") {
            expect(&mut eval, expectation.trim())?;
        } else if let Some(message) = line.strip_prefix("expected_fail_message") {
            eval.fail = Some(TextMatch::Exactly(message.trim().to_owned()));
        } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            eval.fail = Some(pattern_of(pattern.trim())?);
        } else if let Some(value) = number::parse(line) {
            eval.outcome = ExpectedOutcome::Scalar(value);
        } else {
            let (labels, _, points) = series_line(line)?;
            let expected = |point| match point {
                Point::Absent => None,
                Point::Float(value) => Some(Expected::Float(value)),
                Point::Histogram { histogram, with_hint } => {
                    Some(Expected::Histogram { histogram, with_hint })
                }
            };
            series.push((labels, points::points(points)?.into_iter().map(expected).collect()));
        }
    }
    if let (ExpectedOutcome::Series(expected), false) = (&mut eval.outcome, series.is_empty()) {
        *expected = series;
    }
    Ok(eval)
}

/// The first word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn when(text: &str) -> Result<(Times, &str), String> {
    let (kind, rest) = word(text);
    match kind {
        "instant" => match word(rest) {
            ("at", rest) => {
                let (ts, query) = word(rest);
                Ok((Times::Instant(time(ts)?), query))
            }
            _ => Ok((Times::Instant(0), rest)),
        },
        "range" => {
            let (start, rest) = named("from", rest)?;
            let (end, rest) = named("to", rest)?;
            let (step, query) = named("step", rest)?;
            Ok((Times::Range { start, end, step }, query))
        }
        _ => Err("eval must be instant or range".to_owned()),
    }
}

/// `from 5m …`
fn named<'a>(name: &str, text: &'a str) -> Result<(i64, &'a str), String> {
    let (found, rest) = word(text);
    if found != name {
        return Err(format!("expected {name}, found {found}"));
    }
    let (value, rest) = word(rest);
    Ok((time(value)?, rest))
}

fn expect(eval: &mut Eval, expectation: &str) -> Result<(), String> {
    if let Some(times) = expectation.strip_prefix("range vector ") {
        let (Times::Range { start, end, step }, _) = when(&format!("range {times} x"))? else {
            return Err("expected the times of a range vector".to_owned());
        };
        eval.range_vector = Some(Grid::range(start, end, step));
        return Ok(());
    }
    if let Some(quoted) = expectation.strip_prefix("string ") {
        let quoted = quoted.trim();
        let quote = quoted.chars().next().ok_or("expected a string")?;
        let inner = quoted.trim_start_matches(quote).trim_end_matches(quote);
        let value = if quote == '`' {
            inner.to_owned()
        } else {
            crate::parse::unquote::unescape(inner, quote)?
        };
        eval.outcome = ExpectedOutcome::String(value);
        return Ok(());
    }
    let (kind, matcher) = match expectation.split_once(char::is_whitespace) {
        None => (expectation, TextMatch::Any),
        Some((kind, text)) => {
            let text = text.trim();
            if let Some(message) = text.strip_prefix("msg:") {
                (kind, TextMatch::Exactly(message.trim().to_owned()))
            } else if let Some(pattern) = text.strip_prefix("regex:") {
                (kind, pattern_of(pattern.trim())?)
            } else {
                return Err(format!("expected msg: or regex: in {expectation}"));
            }
        }
    };
    let add = |texts: &mut ExpectedTexts| {
        texts.required = true;
        if !matches!(matcher, TextMatch::Any) {
            texts.texts.push(matcher.clone());
        }
    };
    match kind {
        "ordered" => eval.ordered = true,
        "fail" => eval.fail = Some(matcher),
        "warn" => add(&mut eval.warnings),
        "info" => add(&mut eval.infos),
        "no_warn" => eval.warnings.forbidden = true,
        "no_info" => eval.infos.forbidden = true,
        other => return Err(format!("unknown expectation {other}")),
    }
    Ok(())
}

fn pattern_of(pattern: &str) -> Result<TextMatch, String> {
    regexp::Regexp::new(pattern).map(TextMatch::Pattern).map_err(|err| err.to_string())
}
