//! Families of samples, as an exporter collects them and as a scrape reads them.
//!
//! ```
//! use proto::exposition::{Exposition, Kind};
//!
//! let mut metrics = Exposition::new();
//! metrics
//!     .family("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", Kind::Counter)
//!     .sample(&[("cpu", "0"), ("mode", "idle")], 12.5);
//! assert!(metrics.to_text().ends_with("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 12.5\n"));
//! ```
//!
//! Everything lies in a few flat buffers, so that collecting a thousand samples costs a handful of allocations, and
//! the same collection can be written as text 0.0.4, as OpenMetrics, or walked for remote write.

mod text;

use std::ops::Range;

pub use text::{OPEN_METRICS_CONTENT_TYPE, TEXT_CONTENT_TYPE, write_value};

/// What a family counts; the word behind `# TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// `untyped` in text 0.0.4, `unknown` in OpenMetrics.
    Untyped,
}

/// A collection of families under construction. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    families: Vec<FamilyRecord>,
    samples: Vec<SampleRecord>,
    /// Label names and values, one after the other, each pair a [`LabelRecord`].
    labels: Vec<LabelRecord>,
    /// All the text that families, samples and labels point into.
    arena: String,
}

#[derive(Clone, Debug)]
struct FamilyRecord {
    name: Range<u32>,
    help: Range<u32>,
    kind: Kind,
    samples: Range<u32>,
}

#[derive(Clone, Debug)]
struct SampleRecord {
    /// The sample's own name where it differs from its family's (`_bucket`, `_sum`, `_count`); else empty.
    suffix: Range<u32>,
    labels: Range<u32>,
    value: f64,
    timestamp_ms: Option<i64>,
}

#[derive(Clone, Debug)]
struct LabelRecord {
    name: Range<u32>,
    value: Range<u32>,
}

/// Adds samples to one family. Made by [`Exposition::family`].
#[derive(Debug)]
pub struct FamilyBuilder<'a> {
    exposition: &'a mut Exposition,
}

impl Exposition {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all families and keeps the memory, for the next scrape.
    pub fn clear(&mut self) {
        self.families.clear();
        self.samples.clear();
        self.labels.clear();
        self.arena.clear();
    }

    /// Opens a family. Several blocks of one name are merged when written; the first help and kind win.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) -> FamilyBuilder<'_> {
        let name = self.push_text(name);
        let help = self.push_text(help);
        let start = self.samples.len() as u32;
        self.families.push(FamilyRecord { name, help, kind, samples: start..start });
        FamilyBuilder { exposition: self }
    }

    /// A family of one sample without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help, Kind::Gauge).sample(&[], value);
    }

    /// A family of one sample without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help, Kind::Counter).sample(&[], value);
    }

    /// Takes over everything that `other` holds, which keeps its memory and is empty afterwards.
    pub fn append(&mut self, other: &mut Self) {
        let text = self.arena.len() as u32;
        let labels = self.labels.len() as u32;
        let samples = self.samples.len() as u32;
        let shift = |range: &Range<u32>, by: u32| range.start + by..range.end + by;
        self.arena.push_str(&other.arena);
        self.labels.extend(
            other
                .labels
                .iter()
                .map(|l| LabelRecord { name: shift(&l.name, text), value: shift(&l.value, text) }),
        );
        self.samples.extend(other.samples.iter().map(|s| SampleRecord {
            suffix: shift(&s.suffix, text),
            labels: shift(&s.labels, labels),
            ..s.clone()
        }));
        self.families.extend(other.families.iter().map(|f| FamilyRecord {
            name: shift(&f.name, text),
            help: shift(&f.help, text),
            kind: f.kind,
            samples: shift(&f.samples, samples),
        }));
        other.clear();
    }

    /// How many samples all families hold together.
    pub fn n_samples(&self) -> usize {
        self.samples.len()
    }

    /// How much memory this takes, for those who keep many.
    pub fn heap_bytes(&self) -> usize {
        self.arena.capacity()
            + self.families.capacity() * size_of::<FamilyRecord>()
            + self.samples.capacity() * size_of::<SampleRecord>()
            + self.labels.capacity() * size_of::<LabelRecord>()
    }

    /// The families in order of their names, blocks of one name merged.
    pub fn families(&self) -> impl Iterator<Item = Family<'_>> {
        let mut order: Vec<u32> = (0..self.families.len() as u32).collect();
        // Stable: blocks of one family stay in the order in which they were collected.
        order.sort_by(|a, b| self.name_of(*a).cmp(self.name_of(*b)));
        let mut position = 0;
        std::iter::from_fn(move || {
            let first = *order.get(position)?;
            let name = self.name_of(first);
            let blocks =
                order[position..].iter().take_while(|block| self.name_of(**block) == name).count();
            let family =
                Family { exposition: self, blocks: order[position..position + blocks].to_vec() };
            position += blocks;
            Some(family)
        })
    }

    fn name_of(&self, family: u32) -> &str {
        self.text(&self.families[family as usize].name)
    }

    fn text(&self, range: &Range<u32>) -> &str {
        &self.arena[range.start as usize..range.end as usize]
    }

    fn push_text(&mut self, text: &str) -> Range<u32> {
        let start = self.arena.len() as u32;
        self.arena.push_str(text);
        start..self.arena.len() as u32
    }
}

impl FamilyBuilder<'_> {
    /// Adds a sample. Labels are written in the order given; a repeated label set is the caller's mistake.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.push("", labels, value, None)
    }

    /// Adds a sample of a histogram or summary: `suffix` is `_bucket`, `_sum` or `_count`.
    pub fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.push(suffix, labels, value, None)
    }

    /// Adds a sample that carries its own time, in milliseconds since the Unix epoch.
    pub fn timed(&mut self, labels: &[(&str, &str)], value: f64, timestamp_ms: i64) -> &mut Self {
        self.push("", labels, value, Some(timestamp_ms))
    }

    fn push(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: f64,
        timestamp_ms: Option<i64>,
    ) -> &mut Self {
        let exposition = &mut *self.exposition;
        let suffix = exposition.push_text(suffix);
        let first_label = exposition.labels.len() as u32;
        for (name, value) in labels {
            let name = exposition.push_text(name);
            let value = exposition.push_text(value);
            exposition.labels.push(LabelRecord { name, value });
        }
        let labels = first_label..exposition.labels.len() as u32;
        exposition.samples.push(SampleRecord { suffix, labels, value, timestamp_ms });
        exposition.families.last_mut().expect("a builder has its family").samples.end += 1;
        self
    }
}

/// One family, ready to be written.
#[derive(Clone, Debug)]
pub struct Family<'a> {
    exposition: &'a Exposition,
    blocks: Vec<u32>,
}

impl<'a> Family<'a> {
    pub fn name(&self) -> &'a str {
        self.exposition.name_of(self.blocks[0])
    }

    pub fn help(&self) -> &'a str {
        self.exposition.text(&self.exposition.families[self.blocks[0] as usize].help)
    }

    pub fn kind(&self) -> Kind {
        self.exposition.families[self.blocks[0] as usize].kind
    }

    pub fn samples(&self) -> impl Iterator<Item = Sample<'a>> + '_ {
        let exposition = self.exposition;
        self.blocks
            .iter()
            .flat_map(move |block| exposition.families[*block as usize].samples.clone())
            .map(move |sample| Sample { exposition, record: &exposition.samples[sample as usize] })
    }
}

/// One sample of a family.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    exposition: &'a Exposition,
    record: &'a SampleRecord,
}

impl<'a> Sample<'a> {
    /// What follows the family's name in this sample's: empty, `_bucket`, `_sum` or `_count`.
    pub fn suffix(&self) -> &'a str {
        self.exposition.text(&self.record.suffix)
    }

    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let exposition = self.exposition;
        exposition.labels[self.record.labels.start as usize..self.record.labels.end as usize]
            .iter()
            .map(move |label| (exposition.text(&label.name), exposition.text(&label.value)))
    }

    pub fn value(&self) -> f64 {
        self.record.value
    }

    pub fn timestamp_ms(&self) -> Option<i64> {
        self.record.timestamp_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_one_family_are_merged_in_order_of_names() {
        let mut first = Exposition::new();
        first.gauge("b", "B.", 1.0);
        first.family("a", "A.", Kind::Counter).sample(&[("x", "1")], 1.0);
        let mut second = Exposition::new();
        second.family("a", "other help", Kind::Gauge).sample(&[("x", "2")], 2.0);
        first.append(&mut second);
        assert_eq!(second.n_samples(), 0);
        assert_eq!(
            first.to_text(),
            "# HELP a A.\n# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n# HELP b B.\n# TYPE b gauge\nb 1\n"
        );
    }
}
