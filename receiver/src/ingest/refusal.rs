//! What was not stored, and why: for the sender in words, for us in counters.

use std::collections::BTreeMap;

use crate::{model::SeriesId, storage::commit::Appended};

/// Why a series or a sample is refused. A closed set: it feeds the answer and the metric's label alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    NoMetricName,
    EmptyLabelName,
    DuplicateLabel,
    InvalidUtf8,
    NulByte,
    TooManyLabels,
    TooManyReplicas,
    TooManyActiveSeries,
    TooManyNewSeries,
    LabelNameTooLong,
    LabelValueTooLong,
    TooFarInFuture,
    TooOld,
    TimeOutOfRange,
    Conflict,
    InvalidHistogram,
    InvalidExemplar,
    BadReference,
    NoSamples,
}

impl Reason {
    pub const ALL: [Self; 19] = [
        Self::NoMetricName,
        Self::EmptyLabelName,
        Self::DuplicateLabel,
        Self::InvalidUtf8,
        Self::NulByte,
        Self::TooManyLabels,
        Self::TooManyReplicas,
        Self::TooManyActiveSeries,
        Self::TooManyNewSeries,
        Self::LabelNameTooLong,
        Self::LabelValueTooLong,
        Self::TooFarInFuture,
        Self::TooOld,
        Self::TimeOutOfRange,
        Self::Conflict,
        Self::InvalidHistogram,
        Self::InvalidExemplar,
        Self::BadReference,
        Self::NoSamples,
    ];

    /// The value of the metric's `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMetricName => "no_metric_name",
            Self::EmptyLabelName => "empty_label_name",
            Self::DuplicateLabel => "duplicate_label",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NulByte => "nul_byte",
            Self::TooManyLabels => "too_many_labels",
            Self::TooManyReplicas => "too_many_replicas",
            Self::TooManyActiveSeries => "too_many_active_series",
            Self::TooManyNewSeries => "too_many_new_series",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::TooFarInFuture => "too_far_in_future",
            Self::TooOld => "too_old",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::Conflict => "conflict",
            Self::InvalidHistogram => "invalid_histogram",
            Self::InvalidExemplar => "invalid_exemplar",
            Self::BadReference => "bad_reference",
            Self::NoSamples => "no_samples",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::NoMetricName => "the series has no __name__",
            Self::EmptyLabelName => "a label has an empty name",
            Self::DuplicateLabel => "a label is given twice",
            Self::InvalidUtf8 => "a label is not UTF-8",
            Self::NulByte => "a label holds a NUL byte, which PostgreSQL cannot store",
            Self::TooManyActiveSeries => "the job has as many active series as it may",
            Self::TooManyNewSeries => "the job has made as many series in this minute as it may",
            Self::TooManyReplicas => "there are too many clusters or replicas",
            Self::TooManyLabels => "the series has too many labels",
            Self::LabelNameTooLong => "a label's name is too long",
            Self::LabelValueTooLong => "a label's value is too long",
            Self::TooFarInFuture => {
                "the sample lies too far in the future; is the sender's clock right?"
            }
            Self::TooOld => "the sample is older than what is kept",
            Self::TimeOutOfRange => "the sample's time cannot be stored",
            Self::Conflict => "duplicate sample for timestamp: another value is stored",
            Self::InvalidHistogram => "the native histogram makes no sense",
            Self::InvalidExemplar => "the exemplar makes no sense",
            Self::BadReference => "a reference is odd or leads nowhere in the table of symbols",
            Self::NoSamples => "the series has neither samples nor histograms nor exemplars",
        }
    }
}

/// Longest example that is kept of a reason.
const EXAMPLE_BYTES_MAX: usize = 160;
/// Where many reasons come together, examples give way; below this, explanations do.
const EXAMPLE_BYTES_MIN: usize = 40;
/// Senders log the first KiB of an answer: all reasons have to be in it.
const ANSWER_BYTES_MAX: usize = 1024;

/// All refusals of one request.
#[derive(Debug, Default)]
pub struct Refusals(BTreeMap<Reason, Refused>);

#[derive(Debug)]
struct Refused {
    samples: usize,
    example: String,
}

impl Refusals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts refused samples; `example` says of which series, and is asked for only once a reason.
    pub fn add(&mut self, reason: Reason, samples: usize, example: impl FnOnce() -> String) {
        let refused = self.0.entry(reason).or_insert_with(|| {
            let mut example = example();
            shorten(&mut example, EXAMPLE_BYTES_MAX);
            Refused { samples: 0, example }
        });
        refused.samples += samples;
    }

    /// Adds the samples whose time was taken by another value.
    pub fn conflicts(&mut self, appended: &Appended, name: impl Fn(SeriesId) -> Option<String>) {
        if let Some(first) = appended.conflicting.first() {
            self.add(Reason::Conflict, appended.conflicts, || {
                format!("{} at {}", name(first.series).unwrap_or_default(), first.ts)
            });
        }
    }

    pub fn samples(&self) -> usize {
        self.0.values().map(|refused| refused.samples).sum()
    }

    /// How many samples were refused for each reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, usize)> {
        self.0.iter().map(|(reason, refused)| (*reason, refused.samples))
    }

    /// What the sender is told, given how many samples and exemplars were stored.
    pub(super) fn explain(&self, samples: usize, exemplars: usize) -> String {
        let mut text = format!("{samples} samples ");
        if exemplars > 0 {
            text.push_str(&format!("and {exemplars} exemplars "));
        }
        text.push_str(&format!("stored, {} refused\n", self.samples()));
        // What concerns most comes first.
        let mut reasons: Vec<_> = self.0.iter().collect();
        reasons.sort_by_key(|(_, refused)| std::cmp::Reverse(refused.samples));
        let lines_with = |explained: bool| -> Vec<(String, String)> {
            let line = |(reason, Refused { samples, example }): &(&Reason, &Refused)| {
                let line = match explained {
                    true => format!("{samples} × {} ({})", reason.explanation(), reason.as_str()),
                    false => format!("{samples} × {}", reason.as_str()),
                };
                (line, format!(", first: {example}"))
            };
            reasons.iter().map(line).collect()
        };
        let room_for = |lines: &[(String, String)]| {
            let bare: usize = lines.iter().map(|(line, _)| line.len() + '\n'.len_utf8()).sum();
            ANSWER_BYTES_MAX.saturating_sub(text.len() + bare) / lines.len().max(1)
        };
        let mut lines = lines_with(true);
        if room_for(&lines) < EXAMPLE_BYTES_MIN {
            lines = lines_with(false);
        }
        let room = room_for(&lines);
        for (line, example) in &mut lines {
            shorten(example, room.saturating_sub('…'.len_utf8()));
            text.push_str(line);
            text.push_str(example);
            text.push('\n');
        }
        text
    }
}

/// Cuts a text to so many bytes, and says that it was cut.
fn shorten(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let cut = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_reason_count_and_first_series() {
        let mut refusals = Refusals::default();
        refusals.add(Reason::DuplicateLabel, 2, || "up{a=\"1\", a=\"2\"}".to_owned());
        refusals.add(Reason::DuplicateLabel, 1, || unreachable!("one example is enough"));
        refusals.add(Reason::NulByte, 1, || "x".repeat(500));
        let text = refusals.explain(1996, 0);
        assert!(text.starts_with("1996 samples stored, 4 refused\n3 × a label is given twice (duplicate_label), first: up{a=\"1\", a=\"2\"}\n"), "{text}");
        assert!(text.len() < 1024);
        assert_eq!(refusals.samples(), 4);
        assert!(refusals.explain(1, 2).starts_with("1 samples and 2 exemplars stored, 4 refused"));
    }

    #[test]
    fn all_reasons_at_once_fit_what_senders_log() {
        let mut refusals = Refusals::default();
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            refusals.add(reason, at + 1, || "ä".repeat(500));
        }
        let text = refusals.explain(usize::MAX, usize::MAX);
        assert!(text.len() <= 1024, "{} bytes: {text}", text.len());
        for reason in Reason::ALL {
            assert!(text.contains(reason.as_str()), "{text}");
        }
        let first = format!("{} × no_samples, first: ää", Reason::ALL.len());
        assert_eq!(text.lines().nth(1).map(|line| line.starts_with(&first)), Some(true), "{text}");
    }
}
