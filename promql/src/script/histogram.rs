//! Histograms as scripts write them: `{{schema:1 sum:5 count:3 buckets:[1 2]}}`.

use crate::model::histogram::{Buckets, CounterReset};
use crate::model::{Histogram, number};

/// Reads a histogram; also says whether its hint about counter resets was given.
pub(super) fn parse(text: &str) -> Result<(Histogram, bool), String> {
    let inner =
        text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}")).ok_or("expected {{…}}")?;
    let mut histogram = Histogram::default();
    let mut with_hint = false;
    let (mut offset, mut negative_offset) = (0, 0);
    let (mut counts, mut negative_counts) = (Vec::new(), Vec::new());
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (key, after) =
            rest.split_once(':').ok_or_else(|| format!("expected a field at {rest}"))?;
        let (value, after) = if let Some(list) = after.strip_prefix('[') {
            list.split_once(']').ok_or("list is not closed")?
        } else {
            after.split_once(char::is_whitespace).unwrap_or((after, ""))
        };
        rest = after.trim_start();
        let float = || number::parse(value).ok_or_else(|| format!("bad number {value}"));
        let integer = || value.parse::<i32>().map_err(|_| format!("bad number {value}"));
        let list = || {
            let items = value.split_whitespace();
            items
                .map(|item| number::parse(item).ok_or_else(|| format!("bad number {item}")))
                .collect::<Result<Vec<_>, _>>()
        };
        match key.trim() {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = float()?,
            "count" => histogram.count = float()?,
            "z_bucket" => histogram.zero_count = float()?,
            "z_bucket_w" => histogram.zero_threshold = float()?,
            "offset" => offset = integer()?,
            "n_offset" => negative_offset = integer()?,
            "buckets" => counts = list()?,
            "n_buckets" => negative_counts = list()?,
            "custom_values" => histogram.custom_bounds = list()?.into(),
            "counter_reset_hint" => {
                with_hint = true;
                histogram.counter_reset = match value {
                    "unknown" => CounterReset::Unknown,
                    "reset" => CounterReset::Reset,
                    "not_reset" => CounterReset::NotReset,
                    "gauge" => CounterReset::Gauge,
                    other => return Err(format!("unknown counter_reset_hint {other}")),
                };
            }
            other => return Err(format!("unknown field {other}")),
        }
    }
    histogram.positive = Buckets::from_run(offset, &counts).map_err(|err| err.to_string())?;
    histogram.negative =
        Buckets::from_run(negative_offset, &negative_counts).map_err(|err| err.to_string())?;
    Ok((histogram, with_hint))
}
