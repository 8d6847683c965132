//! What remote write 2.0 says about metrics: with every series, in every request.
//!
//! So each series' last word is remembered by a hash, and only what changed goes to the catalogue.

use std::sync::{Arc, RwLock};

use proto::remote_write::v1::{MetricMetadata, metric_metadata::MetricType};

use crate::storage::catalogue::{Description, Position};

/// Help and unit beyond this length are not looked at, each; what is stored of them is shorter.
pub(super) const METADATA_BYTES_MAX: usize = 4096;

/// The hash of what each series said last, by its position. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Described(Arc<RwLock<Vec<u64>>>);

impl Described {
    pub(super) fn is_known(&self, position: Position, fingerprint: u64) -> bool {
        let known = self.0.read().expect("no holder panics");
        known.get(position.0 as usize) == Some(&fingerprint)
    }

    /// Takes note of what is stored now.
    pub(super) fn remember(&self, stored: &[(Position, u64)]) {
        if stored.is_empty() {
            return;
        }
        let mut known = self.0.write().expect("no holder panics");
        for (position, fingerprint) in stored {
            let at = position.0 as usize;
            if known.len() <= at {
                // Grows with the catalogue, a little ahead so that one new series does not copy everything.
                let len = (at + 1).max(known.len() + known.len() / 8);
                known.resize(len, 0);
            }
            known[at] = *fingerprint;
        }
    }
}

/// The description of the metric family to which a series belongs. `kind` is numbered alike in both protocols.
pub(super) fn description(name: &str, kind: i32, help: &[u8], unit: &[u8]) -> Option<Description> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let kind = MetricType::try_from(kind).unwrap_or_default();
    Description::new(&MetricMetadata {
        r#type: kind as i32,
        metric_family_name: family(name, kind).to_owned(),
        help: text(help),
        unit: text(unit),
    })
}

/// The family's name from that of a series: what exporters describe is `x`, and not `x_bucket`.
fn family(name: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_sum", "_count"],
        MetricType::Gaugehistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Summary => &["_sum", "_count"],
        _ => &[],
    };
    let bare = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    bare.filter(|bare| !bare.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_described_by_their_families() {
        let check = |name: &str, kind: MetricType, expected: &str| {
            let description = description(name, kind as i32, b"Help.", b"").unwrap();
            assert_eq!(description.name, expected);
        };
        check("x_bucket", MetricType::Histogram, "x");
        check("x_count", MetricType::Summary, "x");
        check("x", MetricType::Summary, "x");
        check("x_gsum", MetricType::Gaugehistogram, "x");
        check("x_total", MetricType::Counter, "x_total");
        check("x_count", MetricType::Gauge, "x_count");
        check("_sum", MetricType::Summary, "_sum");
        assert_eq!(description("x", 99, b"", b"").unwrap().kind, "unknown");
    }

    #[test]
    fn what_was_said_before_is_known() {
        let described = Described::default();
        assert!(!described.is_known(Position(4), 7));
        described.remember(&[(Position(4), 7)]);
        assert!(described.is_known(Position(4), 7));
        assert!(!described.is_known(Position(4), 8));
        assert!(!described.is_known(Position(3), 7));
    }
}
