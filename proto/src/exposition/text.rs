//! Writing an [`Exposition`] as text: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! - <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//! - <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

use std::fmt::Write;

use super::{Exposition, Family, Kind, Sample};

/// `Content-Type` of [`Exposition::to_text`].
pub const TEXT_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// `Content-Type` of [`Exposition::to_open_metrics`].
pub const OPEN_METRICS_CONTENT_TYPE: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    OpenMetrics,
}

impl Exposition {
    /// Text 0.0.4, families in order of their names.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(self.samples.len() * 64);
        for family in self.families() {
            write_family(&mut out, &family, Format::Text);
        }
        out
    }

    /// OpenMetrics 1.0, families in order of their names, closed by `# EOF`.
    pub fn to_open_metrics(&self) -> String {
        let mut out = String::with_capacity(self.samples.len() * 64);
        for family in self.families() {
            write_family(&mut out, &family, Format::OpenMetrics);
        }
        out.push_str("# EOF\n");
        out
    }
}

fn write_family(out: &mut String, family: &Family<'_>, format: Format) {
    // A collector that found no device has opened its families for nothing.
    if family.samples().next().is_none() {
        return;
    }
    let mut head = family.name();
    let mut kind = family.kind();
    if format == Format::OpenMetrics && kind == Kind::Counter {
        match head.strip_suffix("_total") {
            Some(stem) => head = stem,
            // OpenMetrics has no counter whose samples lack `_total`.
            None => kind = Kind::Untyped,
        }
    }
    if !family.help().is_empty() || format == Format::Text {
        out.push_str("# HELP ");
        out.push_str(head);
        out.push(' ');
        escape(out, family.help(), format == Format::OpenMetrics);
        out.push('\n');
    }
    out.push_str("# TYPE ");
    out.push_str(head);
    out.push_str(match (kind, format) {
        (Kind::Counter, _) => " counter\n",
        (Kind::Gauge, _) => " gauge\n",
        (Kind::Histogram, _) => " histogram\n",
        (Kind::Summary, _) => " summary\n",
        (Kind::Untyped, Format::Text) => " untyped\n",
        (Kind::Untyped, Format::OpenMetrics) => " unknown\n",
    });
    for sample in family.samples() {
        write_sample(out, family.name(), &sample, format);
    }
}

fn write_sample(out: &mut String, name: &str, sample: &Sample<'_>, format: Format) {
    out.push_str(name);
    out.push_str(sample.suffix());
    let mut open = '{';
    for (label, value) in sample.labels() {
        out.push(open);
        out.push_str(label);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
        open = ',';
    }
    if open == ',' {
        out.push('}');
    }
    out.push(' ');
    write_value(out, sample.value());
    if let Some(ms) = sample.timestamp_ms() {
        out.push(' ');
        match format {
            Format::Text => write!(out, "{ms}"),
            Format::OpenMetrics => {
                write!(out, "{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
            }
        }
        .expect("writing to a String cannot fail");
    }
    out.push('\n');
}

/// The shortest decimal that reads back as the same float, with Prometheus' names for the special ones.
pub fn write_value(out: &mut String, value: f64) {
    if value.fract() == 0.0
        && value.abs() < EXACT_BELOW
        && (value != 0.0 || value.is_sign_positive())
    {
        write_integer(out, value as i64);
    } else if value.is_nan() {
        out.push_str("NaN");
    } else if value == f64::INFINITY {
        out.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        out.push_str("-Inf");
    } else if value != 0.0 && !(1e-5..1e21).contains(&value.abs()) {
        write!(out, "{value:e}").expect("writing to a String cannot fail");
    } else {
        write!(out, "{value}").expect("writing to a String cannot fail");
    }
}

/// Integers below are exact in an `f64`, so that their digits are those of the shortest decimal. Most samples are
/// such, and the general way costs several times as much.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

fn write_integer(out: &mut String, number: i64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push('-');
    }
    out.push_str(std::str::from_utf8(&digits[start..]).expect("digits are ASCII"));
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    // Nearly always there is nothing to do; bytes are quicker to look through than characters.
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        out.push_str(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.find(|c| c == '\\' || c == '\n' || (quotes && c == '"')) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            _ => "\\\"",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_special_values() {
        let mut metrics = Exposition::new();
        metrics
            .family("x_total", "A \"b\"\\\nc.", Kind::Counter)
            .sample(&[("l", "q\"\\\n")], f64::INFINITY)
            .sample(&[], f64::NAN)
            .timed(&[], -0.0, 1_500);
        assert_eq!(
            metrics.to_text(),
            "# HELP x_total A \"b\"\\\\\\nc.\n# TYPE x_total counter\nx_total{l=\"q\\\"\\\\\\n\"} +Inf\nx_total NaN\nx_total -0 1500\n"
        );
        assert_eq!(
            metrics.to_open_metrics(),
            "# HELP x A \\\"b\\\"\\\\\\nc.\n# TYPE x counter\nx_total{l=\"q\\\"\\\\\\n\"} +Inf\nx_total NaN\nx_total -0 1.500\n# EOF\n"
        );
    }

    #[test]
    fn integers_are_written_as_the_general_way_does() {
        let exact = EXACT_BELOW as i64;
        let edges =
            [0, 1, -1, 9, 10, 99, 1 << 32, exact - 1, exact, exact + 2, -exact + 1, i64::MAX];
        let values = edges.iter().map(|edge| *edge as f64).chain([-0.0, 0.5, -1.5, 1e15 + 0.5]);
        for value in values {
            let mut fast = String::new();
            write_value(&mut fast, value);
            assert_eq!(fast, format!("{value}"));
        }
    }

    #[test]
    fn families_without_samples_are_left_out() {
        let mut metrics = Exposition::new();
        metrics.family("a", "A.", Kind::Gauge);
        assert_eq!(metrics.to_text(), "");
        assert_eq!(metrics.to_open_metrics(), "# EOF\n");
    }

    #[test]
    fn counters_without_total_are_unknown_in_open_metrics() {
        let mut metrics = Exposition::new();
        metrics.counter("node_boots", "Boots.", 1e22);
        assert_eq!(
            metrics.to_open_metrics(),
            "# HELP node_boots Boots.\n# TYPE node_boots unknown\nnode_boots 1e22\n# EOF\n"
        );
    }
}
