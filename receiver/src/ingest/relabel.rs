//! Relabelling of series as they come in, exactly as Prometheus 3 does it (`write_relabel_configs`).
//!
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config>
//!
//! [`Rule`]s are read from the configuration file and applied in their order by [`apply`]. They are pure, so what they
//! say of a series is remembered with the hash of its label bytes (`ingest::gate`) and asked for once.

mod builder;
mod case;
mod rule;

use md5::{Digest as _, Md5};
use promql::model::Labels;

use self::builder::Builder;
pub use self::rule::{Action, Rule};
use super::Reason;

/// Bytes of names and values that rules may make of one series: a rule can double what the one before it made.
const BYTES_MAX: usize = 256 << 10;

/// What rules make of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Pairs in any order, each name once, none empty.
    Kept(Vec<(String, String)>),
    /// Not wanted: the sender is told nothing.
    Dropped,
}

/// Applies rules to a series, one after the other.
pub fn apply(rules: &[Rule], labels: &Labels) -> Result<Outcome, Reason> {
    let mut builder = Builder::new(labels);
    for rule in rules {
        if !rule.apply(&mut builder) {
            return Ok(Outcome::Dropped);
        }
        if builder.n_bytes() > BYTES_MAX {
            return Err(Reason::LabelValueTooLong);
        }
    }
    Ok(Outcome::Kept(builder.into_pairs()))
}

impl Rule {
    /// `false`: the series is dropped.
    fn apply(&self, labels: &mut Builder<'_>) -> bool {
        let values: Vec<&str> = self.source_labels.iter().map(|name| labels.get(name)).collect();
        let value = values.join(&self.separator);
        match self.action {
            Action::Drop => return !self.regex.is_match(value.as_bytes()),
            Action::Keep => return self.regex.is_match(value.as_bytes()),
            Action::DropEqual => return labels.get(&self.target_label) != value,
            Action::KeepEqual => return labels.get(&self.target_label) == value,
            Action::Replace => self.replace(labels, &value),
            Action::Lowercase => labels.set(&self.target_label, case::lower(&value)),
            Action::Uppercase => labels.set(&self.target_label, case::upper(&value)),
            Action::HashMod => {
                let digest = Md5::digest(value.as_bytes());
                let last = digest.last_chunk().expect("MD5 gives sixteen bytes");
                let remainder = u64::from_be_bytes(*last) % self.modulus;
                labels.set(&self.target_label, remainder.to_string());
            }
            Action::LabelMap => {
                for (name, value) in labels.pairs() {
                    if self.regex.is_match(name.as_bytes()) {
                        let target = self.regex.replace_all(name.as_bytes(), &self.replacement);
                        labels.set(&text(target), value);
                    }
                }
            }
            Action::LabelDrop | Action::LabelKeep => {
                for (name, _) in labels.pairs() {
                    let is_match = self.regex.is_match(name.as_bytes());
                    if is_match == (self.action == Action::LabelDrop) {
                        labels.remove(&name);
                    }
                }
            }
        }
        true
    }

    fn replace(&self, labels: &mut Builder<'_>, value: &str) {
        let Some(captures) = self.regex.captures(value.as_bytes()) else { return };
        let target = text(captures.expand(&self.target_label));
        if target.is_empty() {
            return;
        }
        // Empty, it takes the label out.
        labels.set(&target, text(captures.expand(&self.replacement)));
    }
}

/// Groups end at characters, as matches do.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into())
}

#[cfg(test)]
mod tests;
