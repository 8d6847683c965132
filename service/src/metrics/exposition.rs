//! From what `prometheus-client` writes to valid OpenMetrics and to the text format 0.0.4.
//!
//! `prometheus-client` 0.25 writes OpenMetrics only, does not escape help texts, adds a full stop to those that have
//! one, writes `inf` where both formats say `+Inf`, and repeats the header of a family that two components register.
//! So its output is read back into families, each written anew. A family begins at `# HELP`, whose text ends where
//! `# TYPE` of the same name begins; samples are lines of their own, because label values are escaped.
//!
//! Formats: OpenMetrics 1.0 section "Text format"; Prometheus' "Text-based format" 0.0.4.

use std::{borrow::Cow, fmt::Write as _};

/// One family as read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    unit: Option<&'a str>,
    /// Lines without line breaks.
    samples: Vec<&'a str>,
}

/// Reads what the registry wrote. What is not a family is left out.
pub(super) fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut rest = text;
    while let Some(start) = find_line(rest, "# HELP ") {
        let Some((mut family, after)) = family(&rest[start..]) else { break };
        rest = after;
        match families.iter_mut().find(|known| known.name == family.name) {
            Some(known) => known.samples.append(&mut family.samples),
            None => families.push(family),
        }
    }
    families
}

/// A family and what comes after it; `text` begins with its `# HELP`.
fn family(text: &str) -> Option<(Family<'_>, &str)> {
    let (name, after_name) = text.strip_prefix("# HELP ")?.split_once(' ')?;
    let (help, after_help) = after_name.split_once(&format!("\n# TYPE {name} "))?;
    let (kind, mut rest) = after_help.split_once('\n')?;
    let mut unit = None;
    if let Some(after) = rest.strip_prefix(&format!("# UNIT {name} ")) {
        let (named, after_unit) = after.split_once('\n')?;
        (unit, rest) = (Some(named), after_unit);
    }
    let mut samples = Vec::new();
    while let Some((line, after)) =
        rest.split_once('\n').filter(|(line, _)| !line.starts_with("# "))
    {
        samples.push(line);
        rest = after;
    }
    Some((Family { name, help, kind, unit, samples }, rest))
}

/// Where a line begins with `start`.
fn find_line(text: &str, start: &str) -> Option<usize> {
    if text.starts_with(start) {
        return Some(0);
    }
    text.find(&format!("\n{start}")).map(|before| before + 1)
}

/// Writes OpenMetrics 1.0, with its end.
pub(super) fn open_metrics(families: &[Family<'_>]) -> String {
    let mut out = String::new();
    for Family { name, help, kind, unit, samples } in families {
        let help = escape(full_stop(help), true);
        put(&mut out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        if let Some(unit) = unit {
            put(&mut out, format_args!("# UNIT {name} {unit}\n"));
        }
        for sample in samples {
            let Sample { series, value, rest } = sample_parts(sample);
            put(&mut out, format_args!("{series} {value}{rest}\n"));
        }
    }
    out.push_str("# EOF\n");
    out
}

/// Writes the text format 0.0.4: counters and infos under the names of their samples, no units, no exemplars.
pub(super) fn text(families: &[Family<'_>]) -> String {
    let mut out = String::new();
    for Family { name, help, kind, samples, .. } in families {
        let (suffix, kind) = match *kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            kind => ("", kind),
        };
        let help = escape(full_stop(help), false);
        put(&mut out, format_args!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        for sample in samples {
            let Sample { series, value, .. } = sample_parts(sample);
            put(&mut out, format_args!("{series} {value}\n"));
        }
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}

/// One full stop where the registry made two.
fn full_stop(help: &str) -> &str {
    if help.ends_with("..") { &help[..help.len() - 1] } else { help }
}

fn escape(help: &str, quotes: bool) -> Cow<'_, str> {
    if !help.contains(['\\', '\n', '"']) {
        return Cow::Borrowed(help);
    }
    let escaped = help.replace('\\', "\\\\").replace('\n', "\\n");
    Cow::Owned(if quotes { escaped.replace('"', "\\\"") } else { escaped })
}

struct Sample<'a> {
    /// Name and labels.
    series: &'a str,
    value: &'a str,
    /// An exemplar with the space before it, or nothing.
    rest: &'a str,
}

fn sample_parts(line: &str) -> Sample<'_> {
    let (series, after) = line.split_at(end_of_series(line));
    let after = after.strip_prefix(' ').unwrap_or(after);
    let (value, rest) = after.split_at(after.find(' ').unwrap_or(after.len()));
    let value = match value {
        "inf" => "+Inf",
        "-inf" => "-Inf",
        value => value,
    };
    Sample { series, value, rest }
}

/// The first space outside of quotes.
fn end_of_series(line: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (position, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' if !quoted => return position,
            _ => {}
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use prometheus_client::{
        encoding::text::encode,
        metrics::{
            counter::Counter, exemplar::CounterWithExemplar, family::Family as Labelled,
            gauge::Gauge, histogram::Histogram, info::Info,
        },
        registry::{Registry, Unit},
    };

    use super::*;

    fn encoded(fill: impl FnOnce(&mut Registry)) -> String {
        let mut registry = Registry::default();
        fill(&mut registry);
        let mut out = String::new();
        encode(&mut out, &registry).unwrap();
        out
    }

    #[test]
    fn all_kinds_in_both_formats() {
        let raw = encoded(|registry| {
            let counter: Counter = Counter::default();
            counter.inc_by(7);
            registry.register("node_forks", "Total number of forks.", counter);
            let gauge: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
            gauge.set(f64::INFINITY);
            registry.register_with_unit("queue", "Longest wait", Unit::Seconds, gauge);
            let labelled = Labelled::<Vec<(String, String)>, Gauge>::default();
            labelled.get_or_create(&vec![("path".to_owned(), "a \"b\\ # {\nc".to_owned())]).set(1);
            registry.register("mounts", "Mounted", labelled);
            registry.register("os", "System", Info::new(vec![("name", "Linux")]));
            let traced = CounterWithExemplar::<Vec<(&str, &str)>>::default();
            traced.inc_by(3, Some(vec![("trace_id", "a b")]), None);
            registry.register("traced", "With an exemplar", traced);
            let histogram = Histogram::new([0.5]);
            histogram.observe(0.25);
            registry.register("wait_seconds", "Waiting", histogram);
        });
        assert_eq!(
            text(&families(&raw)),
            r#"# HELP node_forks_total Total number of forks.
# TYPE node_forks_total counter
node_forks_total 7
# HELP queue_seconds Longest wait.
# TYPE queue_seconds gauge
queue_seconds +Inf
# HELP mounts Mounted.
# TYPE mounts gauge
mounts{path="a \"b\\ # {\nc"} 1
# HELP os_info System.
# TYPE os_info gauge
os_info{name="Linux"} 1
# HELP traced_total With an exemplar.
# TYPE traced_total counter
traced_total 3
# HELP wait_seconds Waiting.
# TYPE wait_seconds histogram
wait_seconds_sum 0.25
wait_seconds_count 1
wait_seconds_bucket{le="0.5"} 1
wait_seconds_bucket{le="+Inf"} 1
"#
        );
        assert_eq!(
            open_metrics(&families(&raw)),
            r#"# HELP node_forks Total number of forks.
# TYPE node_forks counter
node_forks_total 7
# HELP queue_seconds Longest wait.
# TYPE queue_seconds gauge
# UNIT queue_seconds seconds
queue_seconds +Inf
# HELP mounts Mounted.
# TYPE mounts gauge
mounts{path="a \"b\\ # {\nc"} 1
# HELP os System.
# TYPE os info
os_info{name="Linux"} 1
# HELP traced With an exemplar.
# TYPE traced counter
traced_total 3 # {trace_id="a b"} 3.0
# HELP wait_seconds Waiting.
# TYPE wait_seconds histogram
wait_seconds_sum 0.25
wait_seconds_count 1
wait_seconds_bucket{le="0.5"} 1
wait_seconds_bucket{le="+Inf"} 1
# EOF
"#
        );
    }

    #[test]
    fn help_is_escaped_whatever_it_holds() {
        let raw = encoded(|registry| {
            let help = "a \"b\" \\ c\n# TYPE other counter\nother 7\n# EOF";
            registry.register("x", help, Gauge::<i64>::default());
            registry.register("y", "Fine", Gauge::<i64>::default());
        });
        assert_eq!(
            text(&families(&raw)),
            "# HELP x a \"b\" \\\\ c\\n# TYPE other counter\\nother 7\\n# EOF.\n# TYPE x gauge\nx 0\n\
             # HELP y Fine.\n# TYPE y gauge\ny 0\n"
        );
        let help = "# HELP x a \\\"b\\\" \\\\ c\\n# TYPE other counter\\nother 7\\n# EOF.\n";
        assert!(open_metrics(&families(&raw)).starts_with(help));
    }

    #[test]
    fn a_family_registered_twice_has_one_header() {
        let raw = encoded(|registry| {
            for part in ["a", "b"] {
                let family = Labelled::<Vec<(&str, &str)>, Gauge>::default();
                family.get_or_create(&vec![("part", part)]).set(1);
                registry.register("x", "Parts", family);
            }
        });
        assert_eq!(
            text(&families(&raw)),
            "# HELP x Parts.\n# TYPE x gauge\nx{part=\"a\"} 1\nx{part=\"b\"} 1\n"
        );
    }

    #[test]
    fn what_broke_off_is_left_out() {
        let whole = "# HELP a A.\n# TYPE a gauge\na 1\n";
        for broken in [
            "",
            "# HELP",
            "# HELP b B.\n",
            "# HELP b B.\n# TYPE b",
            "# HELP b B.\n# TYPE b gauge\nb",
        ] {
            let raw = format!("{whole}{broken}");
            assert!(text(&families(&raw)).starts_with(whole), "{broken:?}");
        }
    }
}
