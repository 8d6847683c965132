//! Warnings and infos that an evaluation adds to its result.

use std::collections::BTreeMap;
use std::fmt;

use super::number::General;
use super::text::Quoted;
use super::time::Rfc3339;

/// Most distinct annotations kept for one query. Texts carry metric names, so a query over many metrics could
/// otherwise collect one for each; clients show ten.
pub const ANNOTATIONS_MAX: usize = 1_000;

/// What there is to say about a part of a query. Texts are those of Prometheus, because people and alert rules
/// look for them.
#[derive(Clone, Debug, PartialEq)]
pub enum Annotation {
    InvalidQuantile { quantile: f64 },
    InvalidRatio { ratio: f64, capped: f64 },
    BadBucketLabel { metric: String, bound: String },
    MixedFloatsHistograms { metric: String },
    MixedFloatsHistogramsInAggregation,
    MixedClassicNativeHistograms { metric: String },
    NativeHistogramNotCounter { metric: String },
    NativeHistogramNotGauge { metric: String },
    MixedExponentialCustomHistograms { metric: String },
    IncompatibleBucketLayout { operator: &'static str },
    CounterResetCollision { operation: HistogramOperation },
    SortInRangeQuery,
    StartTimeOverlap { metric: String },
    PossibleNonCounter { metric: String },
    ForcedMonotonicity(ForcedMonotonicity),
    IncompatibleTypes { left: &'static str, operator: &'static str, right: &'static str },
    HistogramIgnoredInAggregation { aggregation: &'static str },
    HistogramIgnoredInMixedRange { metric: String },
    MismatchedCustomBuckets { operation: HistogramOperation },
    QuantileOfNaNs { metric: String, all: bool },
    FractionOfNaNs { metric: String },
}

/// Buckets whose counts fell with rising bounds and were lifted. Repetitions are merged into one annotation.
#[derive(Clone, Debug, PartialEq)]
pub struct ForcedMonotonicity {
    pub metric: String,
    /// First and last time of an affected histogram, milliseconds.
    pub first_ts: i64,
    pub last_ts: i64,
    pub n_samples: u64,
    /// Lowest and highest bound of the lifted buckets.
    pub lowest: f64,
    pub highest: f64,
    /// Largest difference that was lifted.
    pub difference: f64,
}

impl ForcedMonotonicity {
    fn merge(&mut self, other: &Self) {
        self.first_ts = self.first_ts.min(other.first_ts);
        self.last_ts = self.last_ts.max(other.last_ts);
        self.n_samples += other.n_samples;
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.max(other.highest);
        self.difference = self.difference.max(other.difference);
    }
}

/// What was done to histograms when an annotation arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl fmt::Display for HistogramOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        })
    }
}

impl Annotation {
    /// Infos point at something odd; warnings at a result that is probably not what was asked for.
    pub fn is_info(&self) -> bool {
        matches!(
            self,
            Self::PossibleNonCounter { .. }
                | Self::ForcedMonotonicity(_)
                | Self::IncompatibleTypes { .. }
                | Self::HistogramIgnoredInAggregation { .. }
                | Self::HistogramIgnoredInMixedRange { .. }
                | Self::MismatchedCustomBuckets { .. }
                | Self::QuantileOfNaNs { .. }
                | Self::FractionOfNaNs { .. }
        )
    }
}

/// ` for metric name "x"`, or nothing where no name is known.
struct ForMetric<'a>(&'a str);

impl fmt::Display for ForMetric<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " for metric name {}", Quoted(self.0)) }
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_info() { "PromQL info: " } else { "PromQL warning: " })?;
        match self {
            Self::InvalidQuantile { quantile } => {
                write!(f, "quantile value should be between 0 and 1, got {}", General(*quantile))
            }
            Self::InvalidRatio { ratio, capped } => write!(
                f,
                "ratio value should be between -1 and 1, got {}, capping to {}",
                General(*ratio),
                General(*capped)
            ),
            Self::BadBucketLabel { metric, bound } => write!(
                f,
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                Quoted(bound),
                ForMetric(metric)
            ),
            Self::MixedFloatsHistograms { metric } => {
                write!(
                    f,
                    "encountered a mix of histograms and floats for metric name {}",
                    Quoted(metric)
                )
            }
            Self::MixedFloatsHistogramsInAggregation => {
                f.write_str("encountered a mix of histograms and floats for aggregation")
            }
            Self::MixedClassicNativeHistograms { metric } => {
                write!(
                    f,
                    "vector contains a mix of classic and native histograms{}",
                    ForMetric(metric)
                )
            }
            Self::NativeHistogramNotCounter { metric } => {
                write!(f, "this native histogram metric is not a counter: {}", Quoted(metric))
            }
            Self::NativeHistogramNotGauge { metric } => {
                write!(f, "this native histogram metric is not a gauge: {}", Quoted(metric))
            }
            Self::MixedExponentialCustomHistograms { metric } => write!(
                f,
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                Quoted(metric)
            ),
            Self::IncompatibleBucketLayout { operator } => {
                write!(f, "incompatible bucket layout encountered for binary operator {operator}")
            }
            Self::CounterResetCollision { operation } => {
                write!(f, "conflicting counter resets during histogram {operation}")
            }
            Self::SortInRangeQuery => f.write_str(
                "sort is ineffective for range queries since results are always ordered by labels",
            ),
            Self::StartTimeOverlap { metric } => write!(
                f,
                "sample has start time that overlaps with previous sample timestamp for metric {}",
                Quoted(metric)
            ),
            Self::PossibleNonCounter { metric } => write!(
                f,
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                Quoted(metric)
            ),
            Self::ForcedMonotonicity(forced) => {
                f.write_str(FORCED_MONOTONICITY)?;
                write!(
                    f,
                    ", from buckets {} to {}, with a max diff of {}, ",
                    General(forced.lowest),
                    General(forced.highest),
                    General(two_digits(forced.difference))
                )?;
                if forced.n_samples == 1 {
                    write!(f, "at sample time {}", Rfc3339(forced.first_ts))?;
                } else {
                    let (first, last) = (Rfc3339(forced.first_ts), Rfc3339(forced.last_ts));
                    write!(f, "over {} samples from {first} to {last}", forced.n_samples)?;
                }
                ForMetric(&forced.metric).fmt(f)
            }
            Self::IncompatibleTypes { left, operator, right } => write!(
                f,
                "incompatible sample types encountered for binary operator {}: {left} {operator} {right}",
                Quoted(operator)
            ),
            Self::HistogramIgnoredInAggregation { aggregation } => {
                write!(f, "ignored histogram in {aggregation} aggregation")
            }
            Self::HistogramIgnoredInMixedRange { metric } => write!(
                f,
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                Quoted(metric)
            ),
            Self::MismatchedCustomBuckets { operation } => {
                write!(f, "mismatched custom buckets were reconciled during {operation}")
            }
            Self::QuantileOfNaNs { metric, all } => write!(
                f,
                "input to histogram_quantile has NaN observations, result is {}{}",
                if *all { "NaN" } else { "skewed higher" },
                ForMetric(metric)
            ),
            Self::FractionOfNaNs { metric } => write!(
                f,
                "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                ForMetric(metric)
            ),
        }
    }
}

/// The annotations of one evaluation: each text once for each place in the query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// By text (without what is merged) and position.
    found: BTreeMap<(String, String), Annotation>,
    n_dropped: usize,
}

impl Annotations {
    /// Adds an annotation about the part of the query at `position` (`line:column`).
    pub fn add(&mut self, annotation: Annotation, position: impl fmt::Display) {
        let text = match &annotation {
            Annotation::ForcedMonotonicity(forced) => {
                format!("{FORCED_MONOTONICITY}{}", forced.metric)
            }
            other => other.to_string(),
        };
        let key = (text, position.to_string());
        if let Some(known) = self.found.get_mut(&key) {
            if let (Annotation::ForcedMonotonicity(known), Annotation::ForcedMonotonicity(new)) =
                (known, &annotation)
            {
                known.merge(new);
            }
        } else if self.found.len() >= ANNOTATIONS_MAX {
            self.n_dropped += 1;
        } else {
            self.found.insert(key, annotation);
        }
    }

    /// Rendered with their positions, as the HTTP API shows them.
    pub fn warnings(&self) -> Vec<String> {
        self.texts(false)
    }

    /// Rendered with their positions, as the HTTP API shows them.
    pub fn infos(&self) -> Vec<String> {
        self.texts(true)
    }

    fn texts(&self, infos: bool) -> Vec<String> {
        let chosen = self.found.iter().filter(|(_, annotation)| annotation.is_info() == infos);
        chosen.map(|((_, position), annotation)| format!("{annotation} ({position})")).collect()
    }

    /// How many more there were when [`ANNOTATIONS_MAX`] was reached (repetitions included).
    pub fn n_dropped(&self) -> usize {
        self.n_dropped
    }
}

const FORCED_MONOTONICITY: &str = "input to histogram_quantile needed to be fixed for monotonicity (see \
     https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

/// Rounded to two significant digits.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_without_repetition() {
        let mut annotations = Annotations::default();
        for n in 0..ANNOTATIONS_MAX + 10 {
            let metric = format!("m{n}");
            annotations.add(Annotation::PossibleNonCounter { metric }, "1:6");
        }
        assert_eq!(annotations.infos().len(), ANNOTATIONS_MAX);
        assert_eq!(annotations.n_dropped(), 10);
        let mut twice = Annotations::default();
        twice.add(Annotation::InvalidQuantile { quantile: 5.0 }, "1:1");
        twice.add(Annotation::InvalidQuantile { quantile: 5.0 }, "1:1");
        assert_eq!(
            twice.warnings(),
            ["PromQL warning: quantile value should be between 0 and 1, got 5 (1:1)"]
        );
    }
}
