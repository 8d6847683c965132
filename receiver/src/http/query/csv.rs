//! Answers as lines of text, for spreadsheets: RFC 4180 with a header.
//!
//! The first columns are `time` (Unix seconds) and `value`, behind them one for each label that any series has.

use std::collections::BTreeSet;

use promql::{
    Outcome, Point,
    model::{Histogram, Labels, Value, number::Plain},
};

use super::encode::{self, Gone, Sink};

pub(super) fn outcome(
    outcome: &Outcome,
    out: &mut String,
    sink: &mut impl Sink,
) -> Result<(), Gone> {
    match outcome {
        Outcome::Scalar { ts, value } => {
            header(&[], out);
            line(*ts, &Plain(*value).to_string(), &[], &Labels::default(), out);
        }
        Outcome::String { ts, value } => {
            header(&[], out);
            line(*ts, value, &[], &Labels::default(), out);
        }
        Outcome::Vector(elements) => {
            let names = names(elements.iter().map(|element| &element.labels));
            header(&names, out);
            for element in elements {
                let value = match &element.value {
                    Value::Float(value) => float(*value),
                    Value::Histogram(value) => histogram(value),
                };
                line(element.ts, &value, &names, &element.labels, out);
                sink.pass_on(out)?;
            }
        }
        Outcome::Matrix(all) => {
            let names = names(all.iter().map(|series| &series.labels));
            header(&names, out);
            for series in all {
                for point in series.points() {
                    let value = match point {
                        Point::Float(_, value) => float(value),
                        Point::Histogram(_, value) => histogram(value),
                    };
                    line(point.ts(), &value, &names, &series.labels, out);
                    sink.pass_on(out)?;
                }
            }
        }
    }
    Ok(())
}

/// The labels that any series has, in order.
fn names<'a>(all: impl Iterator<Item = &'a Labels>) -> Vec<&'a str> {
    let names: BTreeSet<&str> =
        all.flat_map(|labels| labels.iter().map(|label| &*label.name)).collect();
    names.into_iter().collect()
}

fn header(names: &[&str], out: &mut String) {
    out.push_str("time,value");
    for name in names {
        out.push(',');
        field(name, out);
    }
    out.push_str("\r\n");
}

fn line(ts: i64, value: &str, names: &[&str], labels: &Labels, out: &mut String) {
    encode::timestamp(ts, out);
    out.push(',');
    field(value, out);
    for name in names {
        out.push(',');
        field(labels.get(name), out);
    }
    out.push_str("\r\n");
}

/// A field, in quotes where it needs them.
fn field(text: &str, out: &mut String) {
    if !text.contains(['"', ',', '\r', '\n']) {
        return out.push_str(text);
    }
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

fn float(value: f64) -> String {
    promql::model::number::Api(value).to_string()
}

fn histogram(value: &Histogram) -> String {
    let mut text = String::new();
    encode::histogram(value, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must() {
        let mut out = String::new();
        let labels = Labels::from_pairs([("a", "x,\"y\""), ("b", "plain")]).unwrap();
        line(1_500, "2", &["a", "b", "c"], &labels, &mut out);
        assert_eq!(out, "1.500,2,\"x,\"\"y\"\"\",plain,\r\n");
    }
}
