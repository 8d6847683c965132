//! Reading text format 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use proto::exposition::{Exposition, Kind};

use crate::scan;

/// More labels than a sensible series has.
const LABELS_MAX: usize = 100;

/// Why a line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("it is not UTF-8")]
    Utf8,
    #[error("no metric name")]
    Name,
    #[error("labels are not name=\"value\"")]
    Labels,
    #[error("a label appears twice")]
    RepeatedLabel,
    #[error("more than {LABELS_MAX} labels")]
    TooManyLabels,
    #[error("no number")]
    Value,
    #[error("a timestamp, which textfiles must not have")]
    Timestamp,
    #[error("unknown metric type")]
    Kind,
    #[error("the type appears twice, or after samples, or differs from another file's")]
    RepeatedKind,
    #[error("the same series appears twice")]
    RepeatedSeries,
}

/// Reads one file after the other, keeping an eye on what they repeat.
#[derive(Default)]
pub(super) struct Parser {
    families: HashMap<String, FamilyHead>,
    /// Hashes of all series shown.
    series: HashSet<u64>,
}

/// What is known of a family.
#[derive(Clone, Default)]
struct FamilyHead {
    help: Option<String>,
    kind: Option<Kind>,
    /// Samples have been read in this file.
    is_open: bool,
}

/// A sample as its line has it.
struct Line<'a> {
    name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    value: f64,
}

impl Parser {
    /// Adds a file's samples to `out`: all, or none and the line that is wrong.
    ///
    /// Returns what is odd but no reason to refuse the file.
    pub(super) fn parse(
        &mut self,
        text: &[u8],
        path: &Path,
        out: &mut Exposition,
    ) -> Result<Option<String>, (usize, Problem)> {
        let mut file = File {
            known: self,
            families: HashMap::new(),
            series: HashSet::new(),
            conflict: None,
            staged: Exposition::new(),
            default_help: format!("Metric read from {}", path.display()),
        };
        for (number, line) in scan::lines(text).enumerate() {
            file.read_line(line).map_err(|problem| (number + 1, problem))?;
        }
        let File { families, series, conflict, mut staged, .. } = file;
        out.append(&mut staged);
        self.series.extend(series);
        for (name, head) in families {
            self.families.entry(name).or_insert(FamilyHead { is_open: false, ..head });
        }
        Ok(conflict)
    }
}

/// A file on its way.
struct File<'p> {
    known: &'p Parser,
    families: HashMap<String, FamilyHead>,
    series: HashSet<u64>,
    conflict: Option<String>,
    staged: Exposition,
    default_help: String,
}

impl File<'_> {
    fn read_line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let line = std::str::from_utf8(line).map_err(|_| Problem::Utf8)?.trim_ascii();
        match line.strip_prefix('#') {
            Some(comment) => self.read_comment(comment.trim_ascii_start()),
            None if line.is_empty() => Ok(()),
            None => self.read_sample(&Line::parse(line)?),
        }
    }

    /// `HELP name text`, `TYPE name kind`, or anything else, which is ignored.
    fn read_comment(&mut self, comment: &str) -> Result<(), Problem> {
        let (keyword, rest) = split_word(comment);
        if keyword != "HELP" && keyword != "TYPE" {
            return Ok(());
        }
        let (name, rest) = split_word(rest);
        if !is_name(name) {
            return Err(Problem::Name);
        }
        let other = self.known.families.get(name);
        let head = self.families.entry(name.to_owned()).or_default();
        if keyword == "HELP" {
            let help = unescape(rest).into_owned();
            if let Some(other) = other.and_then(|other| other.help.as_ref())
                && *other != help
            {
                self.conflict = Some(format!("another file has a different help for {name}"));
            }
            head.help.get_or_insert(help);
            return Ok(());
        }
        let kind = match rest {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            "summary" => Kind::Summary,
            "untyped" => Kind::Untyped,
            _ => return Err(Problem::Kind),
        };
        let differs = other.is_some_and(|other| other.kind.unwrap_or(Kind::Untyped) != kind);
        if head.kind.is_some() || head.is_open || differs {
            return Err(Problem::RepeatedKind);
        }
        head.kind = Some(kind);
        Ok(())
    }

    fn read_sample(&mut self, line: &Line<'_>) -> Result<(), Problem> {
        let (family, suffix) = self.family_of(line.name);
        let series = line.hash();
        if self.known.series.contains(&series) || !self.series.insert(series) {
            return Err(Problem::RepeatedSeries);
        }
        if !self.families.contains_key(family) {
            self.families.insert(family.to_owned(), FamilyHead::default());
        }
        let head = self.families.get_mut(family).expect("inserted above");
        let kind = head.kind.unwrap_or(Kind::Untyped);
        // Blocks of one family are merged later, and the first one's help counts.
        let help = match &head.help {
            _ if head.is_open => "",
            Some(help) => help,
            None => &self.default_help,
        };
        head.is_open = true;
        let labels: Vec<(&str, &str)> =
            line.labels.iter().map(|(name, value)| (*name, &**value)).collect();
        self.staged.family(family, help, kind).suffixed(suffix, &labels, line.value);
        Ok(())
    }

    /// The family that a sample belongs to, and what its name adds to the family's.
    fn family_of<'n>(&self, name: &'n str) -> (&'n str, &'n str) {
        if self.families.get(name).is_some_and(|head| head.kind.is_some()) {
            return (name, "");
        }
        for (suffix, is_summary_too) in [("_bucket", false), ("_sum", true), ("_count", true)] {
            let Some(stem) = name.strip_suffix(suffix) else { continue };
            match self.families.get(stem).and_then(|head| head.kind) {
                Some(Kind::Histogram) => return (stem, suffix),
                Some(Kind::Summary) if is_summary_too => return (stem, suffix),
                _ => {}
            }
        }
        (name, "")
    }
}

impl<'a> Line<'a> {
    /// `name{label="value",…} 1.5`
    fn parse(line: &'a str) -> Result<Self, Problem> {
        let end = line.find(|c: char| !is_name_char(c)).unwrap_or(line.len());
        let (name, mut rest) = line.split_at(end);
        if !is_name(name) {
            return Err(Problem::Name);
        }
        rest = rest.trim_ascii_start();
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = parse_labels(inside, &mut labels)?;
        }
        let mut words = rest.split_ascii_whitespace();
        let value = words.next().and_then(|word| word.parse().ok()).ok_or(Problem::Value)?;
        if words.next().is_some() {
            return Err(Problem::Timestamp);
        }
        Ok(Self { name, labels, value })
    }

    /// Equal for the same series, whatever the order of its labels; empty labels do not count.
    fn hash(&self) -> u64 {
        let mut labels: Vec<_> =
            self.labels.iter().filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (self.name, labels).hash(&mut hasher);
        hasher.finish()
    }
}

/// Reads labels up to the brace; returns what follows it.
fn parse_labels<'a>(
    mut rest: &'a str,
    labels: &mut Vec<(&'a str, Cow<'a, str>)>,
) -> Result<&'a str, Problem> {
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, after) = rest.split_once('=').ok_or(Problem::Labels)?;
        let name = name.trim_ascii_end();
        if !is_name(name) || name.contains(':') {
            return Err(Problem::Labels);
        }
        let quoted = after.trim_ascii_start().strip_prefix('"').ok_or(Problem::Labels)?;
        let end = closing_quote(quoted).ok_or(Problem::Labels)?;
        if labels.iter().any(|(known, _)| *known == name) {
            return Err(Problem::RepeatedLabel);
        }
        if labels.len() == LABELS_MAX {
            return Err(Problem::TooManyLabels);
        }
        labels.push((name, unescape(&quoted[..end])));
        rest = quoted[end + 1..].trim_ascii_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.starts_with('}') => rest,
            None => return Err(Problem::Labels),
        };
    }
}

/// Where the quote is that no backslash stands before.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => byte == b'"',
    })
}

/// `\n`, `\"` and `\\`; other backslashes stay.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, characters.as_str().chars().next()) {
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some(next @ ('\\' | '"'))) => plain.push(next),
            (other, _) => {
                plain.push(other);
                continue;
            }
        }
        characters.next();
    }
    Cow::Owned(plain)
}

/// The first word and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_ascii_start()),
        None => (text, ""),
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(is_name_char)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
