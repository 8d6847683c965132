//! Values as JSON, as Prometheus writes them: numbers in strings, shortest form, milliseconds with three digits.

use std::fmt::Write as _;

use promql::{
    Outcome, SeriesResult, VectorElement,
    model::{
        Histogram, Labels, Value,
        histogram::Bucket,
        number::{Api, Plain},
    },
};

/// Appends a string in quotes, with what HTML understands escaped.
pub(in crate::http) fn escaped(string: &str, out: &mut String) {
    quoted(string, true, out);
}

/// Appends a string in quotes.
fn plain(string: &str, out: &mut String) {
    quoted(string, false, out);
}

fn quoted(string: &str, for_html: bool, out: &mut String) {
    out.push('"');
    for character in string.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if for_html => unicode(character, out),
            control if control < ' ' => unicode(control, out),
            other => out.push(other),
        }
    }
    out.push('"');
}

fn unicode(character: char, out: &mut String) {
    let _ = write!(out, "\\u{:04x}", character as u32);
}

/// Milliseconds as seconds: `1435781451.781`, `0.500`, `4`.
pub(super) fn timestamp(ts: i64, out: &mut String) {
    if ts < 0 {
        out.push('-');
    }
    let (seconds, ms) = (ts.unsigned_abs() / 1000, ts.unsigned_abs() % 1000);
    // Without the machinery of formatting: there is one for each point.
    out.push_str(itoa::Buffer::new().format(seconds));
    if ms != 0 {
        let _ = write!(out, ".{ms:03}");
    }
}

/// `"0.5"`, `"NaN"`
pub(super) fn float(value: f64, out: &mut String) {
    out.push('"');
    Api(value).append_to(out);
    out.push('"');
}

/// `{"__name__":"up","job":"a"}`
pub(super) fn labels(labels: &Labels, out: &mut String) {
    out.push('{');
    for (at, label) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        plain(&label.name, out);
        out.push(':');
        plain(&label.value, out);
    }
    out.push('}');
}

pub(super) fn histogram(histogram: &Histogram, out: &mut String) {
    out.push_str("{\"count\":");
    float(histogram.count, out);
    out.push_str(",\"sum\":");
    float(histogram.sum, out);
    let mut separator = ",\"buckets\":[";
    // Prometheus shows the zero bucket only with observations, others also when negative.
    let is_shown = |bucket: &Bucket| {
        let is_zero_bucket = !histogram.is_custom() && bucket.lower == -bucket.upper;
        bucket.count > 0.0 || (bucket.count != 0.0 && !is_zero_bucket)
    };
    for bucket in histogram.buckets().filter(is_shown) {
        let _ = write!(out, "{separator}[{},", boundaries(histogram, &bucket));
        float(bucket.lower, out);
        out.push(',');
        float(bucket.upper, out);
        out.push(',');
        float(bucket.count, out);
        out.push(']');
        separator = ",";
    }
    if separator == "," {
        out.push(']');
    }
    out.push('}');
}

/// Which bounds belong to a bucket: 0 the upper, 1 the lower, 2 none, 3 both.
fn boundaries(histogram: &Histogram, bucket: &Bucket) -> u8 {
    let (lower, upper) = if histogram.is_custom() {
        (bucket.lower == f64::NEG_INFINITY, true)
    } else {
        (bucket.lower < 0.0, bucket.upper > 0.0)
    };
    match (lower, upper) {
        (false, true) => 0,
        (true, false) => 1,
        (false, false) => 2,
        (true, true) => 3,
    }
}

fn element(element: &VectorElement, out: &mut String) {
    out.push_str("{\"metric\":");
    labels(&element.labels, out);
    match &element.value {
        Value::Float(value) => {
            out.push_str(",\"value\":[");
            timestamp(element.ts, out);
            out.push(',');
            float(*value, out);
        }
        Value::Histogram(value) => {
            out.push_str(",\"histogram\":[");
            timestamp(element.ts, out);
            out.push(',');
            histogram(value, out);
        }
    }
    out.push_str("]}");
}

/// Where text goes piece by piece.
pub(super) trait Sink {
    /// Takes what is in `out`, if it is much; an error ends the encoding.
    fn pass_on(&mut self, out: &mut String) -> Result<(), Gone>;
}

/// Nobody wants the rest.
#[derive(Debug)]
pub(super) struct Gone;

/// Writes `{"resultType":…,"result":…` without the last brace.
pub(super) fn outcome(
    outcome: &Outcome,
    out: &mut String,
    sink: &mut impl Sink,
) -> Result<(), Gone> {
    let kind = match outcome {
        Outcome::Scalar { .. } => "scalar",
        Outcome::String { .. } => "string",
        Outcome::Vector(_) => "vector",
        Outcome::Matrix(_) => "matrix",
    };
    let _ = write!(out, "{{\"resultType\":\"{kind}\",\"result\":[");
    match outcome {
        // Their times are ordinary JSON numbers, and their values never have an exponent.
        Outcome::Scalar { ts, value } => {
            let _ = write!(out, "{},\"{}\"", Api(*ts as f64 / 1000.0), Plain(*value));
        }
        Outcome::String { ts, value } => {
            let _ = write!(out, "{},", Api(*ts as f64 / 1000.0));
            escaped(value, out);
        }
        Outcome::Vector(elements) => {
            for (at, one) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                element(one, out);
                sink.pass_on(out)?;
            }
        }
        Outcome::Matrix(all) => {
            for (at, one) in all.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                series(one, out, sink)?;
            }
        }
    }
    out.push(']');
    Ok(())
}

fn series(result: &SeriesResult, out: &mut String, sink: &mut impl Sink) -> Result<(), Gone> {
    out.push_str("{\"metric\":");
    labels(&result.labels, out);
    let mut separator = ",\"values\":[[";
    for (ts, value) in result.floats() {
        out.push_str(separator);
        timestamp(ts, out);
        out.push(',');
        float(value, out);
        out.push(']');
        separator = ",[";
        sink.pass_on(out)?;
    }
    if separator == ",[" {
        out.push(']');
    }
    let mut separator = ",\"histograms\":[[";
    for (ts, value) in result.histograms() {
        out.push_str(separator);
        timestamp(ts, out);
        out.push(',');
        histogram(value, out);
        out.push(']');
        separator = ",[";
        sink.pass_on(out)?;
    }
    if separator == ",[" {
        out.push(']');
    }
    out.push('}');
    sink.pass_on(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_strings() {
        for (ts, text) in [
            (0, "0"),
            (i64::MIN, "-9223372036854775.808"),
            (500, "0.500"),
            (1_435_781_451_781, "1435781451.781"),
            (-1_001, "-1.001"),
        ] {
            let mut out = String::new();
            timestamp(ts, &mut out);
            assert_eq!(out, text);
        }
        let mut out = String::new();
        escaped("a<\"\\\u{1}\u{7f}é\u{2028}\n", &mut out);
        plain("a<\u{2028}\u{8}", &mut out);
        assert_eq!(out, "\"a\\u003c\\\"\\\\\\u0001\u{7f}é\\u2028\\n\"\"a<\u{2028}\\u0008\"");
    }
}
