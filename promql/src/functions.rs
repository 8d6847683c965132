//! Names and signatures of all functions.

use crate::ast::ValueType::{self, Matrix, Scalar, String, Vector};

/// What a function takes and returns.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    pub name: &'static str,
    pub args: &'static [ValueType],
    pub repeats: Repeats,
    pub returns: ValueType,
    /// Needs the option for experimental functions, because its meaning may still change.
    pub experimental: bool,
}

/// How often the last argument may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    Once,
    /// Not at all, or up to so many times.
    UpTo(usize),
    /// Not at all, or any number of times.
    Any,
}

macro_rules! functions {
    ($($variant:ident $name:literal ($($arg:ident),*) $repeats:expr => $returns:ident $($experimental:ident)?;)*) => {
        /// A function of the language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Function { $($variant),* }

        /// All functions, by name.
        pub const ALL: &[Function] = &[$(Function::$variant),*];

        impl Function {
            pub fn signature(self) -> &'static Signature {
                match self {
                    $(Self::$variant => {
                        const SIGNATURE: Signature = Signature {
                            name: $name,
                            args: &[$($arg),*],
                            repeats: $repeats,
                            returns: $returns,
                            experimental: functions!(@flag $($experimental)?),
                        };
                        &SIGNATURE
                    })*
                }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
    (@flag) => { false };
    (@flag experimental) => { true };
}

use Repeats::{Any, Once, UpTo};

functions! {
    Abs "abs" (Vector) Once => Vector;
    Absent "absent" (Vector) Once => Vector;
    AbsentOverTime "absent_over_time" (Matrix) Once => Vector;
    Acos "acos" (Vector) Once => Vector;
    Acosh "acosh" (Vector) Once => Vector;
    Asin "asin" (Vector) Once => Vector;
    Asinh "asinh" (Vector) Once => Vector;
    Atan "atan" (Vector) Once => Vector;
    Atanh "atanh" (Vector) Once => Vector;
    AvgOverTime "avg_over_time" (Matrix) Once => Vector;
    Ceil "ceil" (Vector) Once => Vector;
    Changes "changes" (Matrix) Once => Vector;
    Clamp "clamp" (Vector, Scalar, Scalar) Once => Vector;
    ClampMax "clamp_max" (Vector, Scalar) Once => Vector;
    ClampMin "clamp_min" (Vector, Scalar) Once => Vector;
    Cos "cos" (Vector) Once => Vector;
    Cosh "cosh" (Vector) Once => Vector;
    CountOverTime "count_over_time" (Matrix) Once => Vector;
    DayOfMonth "day_of_month" (Vector) UpTo(1) => Vector;
    DayOfWeek "day_of_week" (Vector) UpTo(1) => Vector;
    DayOfYear "day_of_year" (Vector) UpTo(1) => Vector;
    DaysInMonth "days_in_month" (Vector) UpTo(1) => Vector;
    Deg "deg" (Vector) Once => Vector;
    Delta "delta" (Matrix) Once => Vector;
    Deriv "deriv" (Matrix) Once => Vector;
    DoubleExponentialSmoothing "double_exponential_smoothing" (Matrix, Scalar, Scalar) Once => Vector experimental;
    End "end" () Once => Scalar experimental;
    Exp "exp" (Vector) Once => Vector;
    FirstOverTime "first_over_time" (Matrix) Once => Vector experimental;
    Floor "floor" (Vector) Once => Vector;
    HistogramAvg "histogram_avg" (Vector) Once => Vector;
    HistogramCount "histogram_count" (Vector) Once => Vector;
    HistogramFraction "histogram_fraction" (Scalar, Scalar, Vector) Once => Vector;
    HistogramQuantile "histogram_quantile" (Scalar, Vector) Once => Vector;
    HistogramQuantiles "histogram_quantiles" (Vector, String, Scalar, Scalar) UpTo(9) => Vector experimental;
    HistogramStddev "histogram_stddev" (Vector) Once => Vector;
    HistogramStdvar "histogram_stdvar" (Vector) Once => Vector;
    HistogramSum "histogram_sum" (Vector) Once => Vector;
    Hour "hour" (Vector) UpTo(1) => Vector;
    Idelta "idelta" (Matrix) Once => Vector;
    Increase "increase" (Matrix) Once => Vector;
    Info "info" (Vector, Vector) UpTo(1) => Vector experimental;
    Irate "irate" (Matrix) Once => Vector;
    LabelJoin "label_join" (Vector, String, String, String) Any => Vector;
    LabelReplace "label_replace" (Vector, String, String, String, String) Once => Vector;
    LastOverTime "last_over_time" (Matrix) Once => Vector;
    Ln "ln" (Vector) Once => Vector;
    Log10 "log10" (Vector) Once => Vector;
    Log2 "log2" (Vector) Once => Vector;
    MadOverTime "mad_over_time" (Matrix) Once => Vector experimental;
    MaxOf "max_of" (Scalar, Scalar) Once => Scalar experimental;
    MaxOverTime "max_over_time" (Matrix) Once => Vector;
    MinOf "min_of" (Scalar, Scalar) Once => Scalar experimental;
    MinOverTime "min_over_time" (Matrix) Once => Vector;
    Minute "minute" (Vector) UpTo(1) => Vector;
    Month "month" (Vector) UpTo(1) => Vector;
    Pi "pi" () Once => Scalar;
    PredictLinear "predict_linear" (Matrix, Scalar) Once => Vector;
    PresentOverTime "present_over_time" (Matrix) Once => Vector;
    QuantileOverTime "quantile_over_time" (Scalar, Matrix) Once => Vector;
    Rad "rad" (Vector) Once => Vector;
    Range "range" () Once => Scalar experimental;
    Rate "rate" (Matrix) Once => Vector;
    Resets "resets" (Matrix) Once => Vector;
    Round "round" (Vector, Scalar) UpTo(1) => Vector;
    Scalar "scalar" (Vector) Once => Scalar;
    Sgn "sgn" (Vector) Once => Vector;
    Sin "sin" (Vector) Once => Vector;
    Sinh "sinh" (Vector) Once => Vector;
    Sort "sort" (Vector) Once => Vector;
    SortByLabel "sort_by_label" (Vector, String) Any => Vector experimental;
    SortByLabelDesc "sort_by_label_desc" (Vector, String) Any => Vector experimental;
    SortDesc "sort_desc" (Vector) Once => Vector;
    Sqrt "sqrt" (Vector) Once => Vector;
    Start "start" () Once => Scalar experimental;
    StartTimestamp "start_timestamp" (Vector) Once => Vector experimental;
    StddevOverTime "stddev_over_time" (Matrix) Once => Vector;
    StdvarOverTime "stdvar_over_time" (Matrix) Once => Vector;
    Step "step" () Once => Scalar experimental;
    SumOverTime "sum_over_time" (Matrix) Once => Vector;
    Tan "tan" (Vector) Once => Vector;
    Tanh "tanh" (Vector) Once => Vector;
    Time "time" () Once => Scalar;
    Timestamp "timestamp" (Vector) Once => Vector;
    TsOfFirstOverTime "ts_of_first_over_time" (Matrix) Once => Vector experimental;
    TsOfLastOverTime "ts_of_last_over_time" (Matrix) Once => Vector experimental;
    TsOfMaxOverTime "ts_of_max_over_time" (Matrix) Once => Vector experimental;
    TsOfMinOverTime "ts_of_min_over_time" (Matrix) Once => Vector experimental;
    Vector "vector" (Scalar) Once => Vector;
    Year "year" (Vector) UpTo(1) => Vector;
}

impl Function {
    pub fn name(self) -> &'static str {
        self.signature().name
    }

    /// Whether the result depends on the evaluation time even where all arguments are pinned with `@`.
    pub fn depends_on_time(self) -> bool {
        matches!(
            self,
            Self::DayOfMonth
                | Self::DayOfWeek
                | Self::DayOfYear
                | Self::DaysInMonth
                | Self::End
                | Self::Hour
                | Self::Minute
                | Self::Month
                | Self::PredictLinear
                | Self::Range
                | Self::Start
                | Self::StartTimestamp
                | Self::Step
                | Self::Time
                | Self::Timestamp
                | Self::Year
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_lead_back() {
        for neighbours in ALL.windows(2) {
            assert!(neighbours[0].name() < neighbours[1].name());
        }
        for function in ALL {
            assert_eq!(Function::from_name(function.name()), Some(*function));
        }
    }
}
