//! What was not stored, and why: for the sender in words, for us in counters.

use std::{collections::BTreeMap, fmt::Write};

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
    LabelNameTooLong,
    LabelValueTooLong,
    TooFarInFuture,
    TimeOutOfRange,
    Conflict,
    InvalidHistogram,
}

impl Reason {
    /// The value of the metric's `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMetricName => "no_metric_name",
            Self::EmptyLabelName => "empty_label_name",
            Self::DuplicateLabel => "duplicate_label",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NulByte => "nul_byte",
            Self::TooManyLabels => "too_many_labels",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::TooFarInFuture => "too_far_in_future",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::Conflict => "conflict",
            Self::InvalidHistogram => "invalid_histogram",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::NoMetricName => "the series has no __name__",
            Self::EmptyLabelName => "a label has an empty name",
            Self::DuplicateLabel => "a label is given twice",
            Self::InvalidUtf8 => "a label is not UTF-8",
            Self::NulByte => "a label holds a NUL byte, which PostgreSQL cannot store",
            Self::TooManyLabels => "the series has too many labels",
            Self::LabelNameTooLong => "a label's name is too long",
            Self::LabelValueTooLong => "a label's value is too long",
            Self::TooFarInFuture => {
                "the sample lies too far in the future; is the sender's clock right?"
            }
            Self::TimeOutOfRange => "the sample's time cannot be stored",
            Self::Conflict => "duplicate sample for timestamp: another value is stored",
            Self::InvalidHistogram => "the native histogram makes no sense",
        }
    }
}

/// Longest example that is kept of a reason: the whole answer should fit the first KiB, which is what senders log.
const EXAMPLE_BYTES_MAX: usize = 160;

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
            if example.len() > EXAMPLE_BYTES_MAX {
                let cut = (0..=EXAMPLE_BYTES_MAX)
                    .rev()
                    .find(|at| example.is_char_boundary(*at))
                    .unwrap_or(0);
                example.truncate(cut);
                example.push('…');
            }
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

    /// What the sender is told.
    pub fn explain(&self, written: usize) -> String {
        let mut text = format!("{written} samples stored, {} refused", self.samples());
        for (reason, refused) in &self.0 {
            let Refused { samples, example } = refused;
            write!(
                text,
                "\n{samples} × {} ({}), first: {example}",
                reason.explanation(),
                reason.as_str()
            )
            .expect("writing to a String cannot fail");
        }
        text.push('\n');
        text
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
        let text = refusals.explain(1996);
        assert!(text.starts_with("1996 samples stored, 4 refused\n3 × a label is given twice (duplicate_label), first: up{a=\"1\", a=\"2\"}\n"), "{text}");
        assert!(text.len() < 1024);
        assert_eq!(refusals.samples(), 4);
    }
}
