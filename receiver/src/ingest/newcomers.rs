//! Series that the index does not know, with what they brought.
//!
//! A request may bring two hundred thousand of them. Until they are created, some at a time, they lie here in columns: a
//! series of its own with its own strings and lists would take many times the bytes that it came in.

use promql::model::Labels;

use super::replicas::Peer;
use crate::{
    model::Sample,
    storage::{catalogue::RawKey, exemplar::Exemplar, histogram::HistogramSample},
};

/// One series that the index does not know.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) raw_key: RawKey,
    /// Who sends it.
    pub(super) peer: Peer,
    pub(super) labels: Labels,
    pub(super) brought: Brought,
}

/// What came with a series.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub(super) samples: Vec<Sample>,
    pub(super) histograms: Vec<HistogramSample>,
    pub(super) exemplars: Vec<Exemplar>,
    /// Times of samples, and since when those count.
    pub(super) starts: Vec<(i64, i64)>,
}

impl Brought {
    /// How many elements there are, by which a series is created: starts alone are nothing.
    pub(super) fn n_elements(&self) -> usize {
        self.samples.len() + self.histograms.len() + self.exemplars.len()
    }
}

/// So many series are created at once; what a request with more of them needs for that, it needs one after the other.
pub(super) const CREATED_AT_ONCE_MAX: usize = 4096;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    /// Of as many series each as are created at once, so that memory is free for others as soon as they are.
    columns: Vec<Columns>,
}

#[derive(Debug, Default)]
struct Columns {
    series: Vec<Lengths>,
    /// Names and values of all labels, one after the other.
    text: String,
    /// The length of each of them. Bounded by the limit of what a request may expand to.
    text_lengths: Vec<u32>,
    brought: Brought,
}

/// How much of each column belongs to a series.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    raw_key: RawKey,
    peer: Peer,
    labels: u32,
    samples: u32,
    histograms: u32,
    exemplars: u32,
    starts: u32,
}

impl Newcomers {
    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(super) fn n_samples(&self) -> usize {
        self.columns.iter().map(|columns| columns.brought.samples.len()).sum()
    }

    pub(super) fn push(&mut self, newcomer: Newcomer) {
        match self.columns.last_mut() {
            Some(last) if last.series.len() < CREATED_AT_ONCE_MAX => last.push(newcomer),
            _ => {
                let mut columns = Columns::default();
                columns.push(newcomer);
                self.columns.push(columns);
            }
        }
    }

    /// The series in the order in which they came.
    pub(super) fn take_apart(self) -> impl Iterator<Item = Newcomer> + Send {
        self.columns.into_iter().flat_map(Columns::take_apart)
    }
}

impl Columns {
    /// The limits of a request keep all counts far below what 32 bits hold.
    fn push(&mut self, newcomer: Newcomer) {
        let Newcomer { raw_key, peer, labels, brought } = newcomer;
        for text in labels.iter().flat_map(|label| [&label.name, &label.value]) {
            self.text.push_str(text);
            self.text_lengths.push(text.len() as u32);
        }
        self.series.push(Lengths {
            raw_key,
            peer,
            labels: labels.len() as u32,
            samples: brought.samples.len() as u32,
            histograms: brought.histograms.len() as u32,
            exemplars: brought.exemplars.len() as u32,
            starts: brought.starts.len() as u32,
        });
        self.brought.samples.extend(brought.samples);
        self.brought.histograms.extend(brought.histograms);
        self.brought.exemplars.extend(brought.exemplars);
        self.brought.starts.extend(brought.starts);
    }

    fn take_apart(self) -> impl Iterator<Item = Newcomer> + Send {
        let Self { series, text, text_lengths, brought } = self;
        let mut text_lengths = text_lengths.into_iter();
        let mut end = 0;
        let mut samples = brought.samples.into_iter();
        let mut histograms = brought.histograms.into_iter();
        let mut exemplars = brought.exemplars.into_iter();
        let mut starts = brought.starts.into_iter();
        series.into_iter().map(move |lengths| {
            let mut next = || {
                let start = end;
                end += text_lengths.next().expect("two for each label") as usize;
                &text[start..end]
            };
            let pairs = (0..lengths.labels).map(|_| (next(), next()));
            let labels = Labels::from_pairs(pairs).expect("they were labels before");
            Newcomer {
                raw_key: lengths.raw_key,
                peer: lengths.peer,
                labels,
                brought: Brought {
                    samples: samples.by_ref().take(lengths.samples as usize).collect(),
                    histograms: histograms.by_ref().take(lengths.histograms as usize).collect(),
                    exemplars: exemplars.by_ref().take(lengths.exemplars as usize).collect(),
                    starts: starts.by_ref().take(lengths.starts as usize).collect(),
                },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let newcomer = |n: usize| {
            let (name, value) = ("x".repeat(n + 1), "ü".repeat(n % 3 + 1));
            let pairs = [("__name__", &*name), ("job", &*value)];
            let sample = |ts: usize| Sample { ts: ts as i64, value: n as f64 };
            let brought = Brought {
                samples: (0..n % 4).map(sample).collect(),
                starts: (0..n % 2).map(|ts| (ts as i64, 7)).collect(),
                ..Brought::default()
            };
            let labels = Labels::from_pairs(pairs.into_iter().take(1 + n % 2)).unwrap();
            Newcomer { raw_key: RawKey(n as u128), peer: Peer(n as u16), labels, brought }
        };
        let mut newcomers = Newcomers::default();
        assert!(newcomers.is_empty());
        let n = CREATED_AT_ONCE_MAX + 100;
        (0..n).for_each(|n| newcomers.push(newcomer(n % 100)));
        assert_eq!(newcomers.n_samples(), n * 3 / 2);
        let shown: Vec<String> = newcomers.take_apart().map(|one| format!("{one:?}")).collect();
        assert_eq!(shown, (0..n).map(|n| format!("{:?}", newcomer(n % 100))).collect::<Vec<_>>());
    }
}
