//! Native histograms as they are stored: what was sent, bit for bit.
//!
//! A histogram is a [`Layout`] (where its buckets lie, which rarely changes from one to the next) and counts. Integer
//! histograms keep integers, float histograms floats; spans stay as they were sent, empty buckets included. Counts are
//! absolute, whatever the wire says. [`NativeHistogram::to_float`] is the edge to the query language.
//!
//! The format: <https://prometheus.io/docs/specs/native_histograms/>.

mod reduce;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod validate;

use std::sync::Arc;

use promql::model::{
    histogram::{self, Buckets, CounterReset, Span},
    is_stale,
};

pub use self::{
    reduce::{SCHEMA_REDUCIBLE_MAX, reduce},
    validate::InvalidHistogram,
};

/// More buckets, spans or custom bounds than this no histogram has: clients keep to a few hundred.
pub const BUCKETS_MAX: usize = 1 << 14;

/// Where the buckets of a histogram lie.
#[derive(Clone, Debug)]
pub struct Layout {
    schema: i32,
    zero_threshold: f64,
    positive: Box<[Span]>,
    negative: Box<[Span]>,
    custom_bounds: Arc<[f64]>,
    n_positive: usize,
    n_negative: usize,
}

/// What makes a [`Layout`].
#[derive(Clone, Debug, Default)]
pub struct LayoutParts {
    /// -4 to 8, or -53 for custom bounds.
    pub schema: i32,
    pub zero_threshold: f64,
    pub positive: Vec<Span>,
    pub negative: Vec<Span>,
    /// Upper bounds of custom buckets.
    pub custom_bounds: Vec<f64>,
}

/// Spans that describe no buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("more than {BUCKETS_MAX} {what}")]
    TooMany { what: &'static str },
    #[error("span {position} begins before the one in front of it ends")]
    Overlap { position: usize },
    #[error("a bucket's index does not fit 32 bits")]
    Index,
}

impl Layout {
    /// Checks that spans describe buckets: of bounded number, in order. Whether the schema knows such buckets is judged by
    /// [`NativeHistogram::validate`].
    pub fn new(parts: LayoutParts) -> Result<Self, LayoutError> {
        let LayoutParts { schema, zero_threshold, positive, negative, custom_bounds } = parts;
        if custom_bounds.len() > BUCKETS_MAX {
            return Err(LayoutError::TooMany { what: "custom bounds" });
        }
        let (n_positive, n_negative) = (n_buckets(&positive)?, n_buckets(&negative)?);
        if n_positive + n_negative > BUCKETS_MAX {
            return Err(LayoutError::TooMany { what: "buckets" });
        }
        Ok(Self {
            schema,
            zero_threshold,
            positive: positive.into(),
            negative: negative.into(),
            custom_bounds: custom_bounds.into(),
            n_positive,
            n_negative,
        })
    }

    pub fn schema(&self) -> i32 {
        self.schema
    }

    /// Observations up to this distance from zero are in the zero bucket.
    pub fn zero_threshold(&self) -> f64 {
        self.zero_threshold
    }

    pub fn positive(&self) -> &[Span] {
        &self.positive
    }

    pub fn negative(&self) -> &[Span] {
        &self.negative
    }

    pub fn custom_bounds(&self) -> &[f64] {
        &self.custom_bounds
    }

    /// Buckets in all spans, positive and negative.
    pub fn n_buckets(&self) -> usize {
        self.n_positive + self.n_negative
    }

    pub fn n_positive(&self) -> usize {
        self.n_positive
    }
}

/// The buckets in spans whose indexes fit.
fn n_buckets(spans: &[Span]) -> Result<usize, LayoutError> {
    if spans.len() > BUCKETS_MAX {
        return Err(LayoutError::TooMany { what: "spans" });
    }
    let mut n: u64 = 0;
    let mut index: i64 = 0;
    for (position, span) in spans.iter().enumerate() {
        if position > 0 && span.offset < 0 {
            return Err(LayoutError::Overlap { position });
        }
        // 2^14 steps of 2^33 at most: no overflow.
        index += i64::from(span.offset) + i64::from(span.length);
        n += u64::from(span.length);
        if n > BUCKETS_MAX as u64 {
            return Err(LayoutError::TooMany { what: "buckets" });
        }
        if i32::try_from(index).is_err() {
            return Err(LayoutError::Index);
        }
    }
    Ok(n as usize)
}

/// Equality by bits.
impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive == other.positive
            && self.negative == other.negative
            && same_bits(&self.custom_bounds, &other.custom_bounds)
    }
}

/// What the sender says about a counter reset between this histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    #[default]
    Unknown,
    Yes,
    No,
    /// Not a counter at all.
    Gauge,
}

/// How many observations, all together and in each bucket. Buckets are those of the positive spans, then of the negative
/// ones.
#[derive(Clone, Debug)]
pub enum Counts {
    Integer { count: u64, zero_count: u64, buckets: Box<[u64]> },
    Float { count: f64, zero_count: f64, buckets: Box<[f64]> },
}

impl Counts {
    pub fn n_buckets(&self) -> usize {
        match self {
            Self::Integer { buckets, .. } => buckets.len(),
            Self::Float { buckets, .. } => buckets.len(),
        }
    }

    pub fn is_float(&self) -> bool {
        matches!(self, Self::Float { .. })
    }
}

/// Equality by bits.
impl PartialEq for Counts {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Integer { count, zero_count, buckets },
                Self::Integer { count: c, zero_count: z, buckets: b },
            ) => (count, zero_count, buckets) == (c, z, b),
            (
                Self::Float { count, zero_count, buckets },
                Self::Float { count: c, zero_count: z, buckets: b },
            ) => {
                count.to_bits() == c.to_bits()
                    && zero_count.to_bits() == z.to_bits()
                    && same_bits(buckets, b)
            }
            _ => false,
        }
    }
}

/// One histogram. As many bucket counts as its layout has buckets.
#[derive(Clone, Debug)]
pub struct NativeHistogram {
    layout: Arc<Layout>,
    counts: Counts,
    /// The stale marker here makes the whole histogram one.
    pub sum: f64,
    pub reset_hint: ResetHint,
    /// When counting began, in milliseconds since the Unix epoch; 0 is unknown.
    pub start_ts: i64,
}

impl NativeHistogram {
    /// `None` if there are not as many counts as the layout has buckets. Whether the counts make sense is judged by
    /// [`Self::validate`].
    pub fn new(layout: Arc<Layout>, counts: Counts, sum: f64) -> Option<Self> {
        (counts.n_buckets() == layout.n_buckets()).then_some(Self {
            layout,
            counts,
            sum,
            reset_hint: ResetHint::Unknown,
            start_ts: 0,
        })
    }

    /// The histogram that says that a series ended. Everything else in one has no meaning, so all are alike.
    pub fn stale() -> Self {
        let layout = Layout::new(LayoutParts::default()).expect("no spans are in order");
        let counts = Counts::Integer { count: 0, zero_count: 0, buckets: Box::default() };
        Self::new(Arc::new(layout), counts, promql::model::stale_marker())
            .expect("no buckets, no counts")
    }

    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// As the query language has it.
    pub fn to_float(&self) -> histogram::Histogram {
        let (count, zero_count, buckets) = match &self.counts {
            Counts::Integer { count, zero_count, buckets } => {
                let floats = buckets.iter().map(|count| *count as f64).collect();
                (*count as f64, *zero_count as f64, floats)
            }
            Counts::Float { count, zero_count, buckets } => (*count, *zero_count, buckets.to_vec()),
        };
        let (positive, negative) = buckets.split_at(self.layout.n_positive);
        let of = |spans: &[Span], counts: &[f64]| {
            Buckets::from_spans(spans, counts)
                .expect("the layout and the number of counts are checked")
        };
        histogram::Histogram {
            counter_reset: match self.reset_hint {
                ResetHint::Unknown => CounterReset::Unknown,
                ResetHint::Yes => CounterReset::Reset,
                ResetHint::No => CounterReset::NotReset,
                ResetHint::Gauge => CounterReset::Gauge,
            },
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive: of(&self.layout.positive, positive),
            negative: of(&self.layout.negative, negative),
            custom_bounds: Arc::clone(&self.layout.custom_bounds),
        }
    }

    /// How many samples take as much memory, for bounds that are told in samples.
    pub fn weight(&self) -> usize {
        let layout = (self.layout.positive.len() + self.layout.negative.len()) * size_of::<Span>()
            + self.layout.custom_bounds.len() * 8;
        1 + (size_of::<Self>() + size_of::<Layout>() + layout + self.counts.n_buckets() * 8) / 32
    }

    /// Memory that it takes in bytes, roughly, without its layout.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.counts.n_buckets() * 8
    }
}

/// Equality by bits.
impl PartialEq for NativeHistogram {
    fn eq(&self, other: &Self) -> bool {
        self.sum.to_bits() == other.sum.to_bits()
            && self.reset_hint == other.reset_hint
            && self.start_ts == other.start_ts
            && self.counts == other.counts
            && (Arc::ptr_eq(&self.layout, &other.layout) || self.layout == other.layout)
    }
}

/// A histogram and its time, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    pub ts: i64,
    pub histogram: Arc<NativeHistogram>,
}

/// Brings a series' histograms in order of time, each time once.
pub fn sort(samples: &mut Vec<HistogramSample>) {
    if !samples.is_sorted_by(|a, b| a.ts < b.ts) {
        // Stable: of two for one time, the one that was committed first.
        samples.sort_by_key(|sample| sample.ts);
        samples.dedup_by_key(|sample| sample.ts);
    }
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_checked_before_buckets_are_counted() {
        let layout = |positive: &[(i32, u32)]| {
            let positive =
                positive.iter().map(|(offset, length)| Span { offset: *offset, length: *length });
            Layout::new(LayoutParts { positive: positive.collect(), ..LayoutParts::default() })
                .map(|layout| layout.n_buckets())
        };
        assert_eq!(layout(&[(-3, 2), (0, 0), (4, 1)]), Ok(3));
        assert_eq!(layout(&[(0, 1), (-1, 1)]), Err(LayoutError::Overlap { position: 1 }));
        assert_eq!(layout(&[(0, u32::MAX)]), Err(LayoutError::TooMany { what: "buckets" }));
        assert_eq!(layout(&[(i32::MAX, 1)]), Err(LayoutError::Index));
        assert_eq!(layout(&[(0, 1); BUCKETS_MAX]), Ok(BUCKETS_MAX));
        assert_eq!(layout(&[(0, 0); BUCKETS_MAX + 1]), Err(LayoutError::TooMany { what: "spans" }));
    }

    #[test]
    fn as_the_query_language_has_it() {
        let layout = Layout::new(LayoutParts {
            schema: 3,
            zero_threshold: 0.001,
            positive: vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 1 }],
            negative: vec![Span { offset: 0, length: 1 }],
            custom_bounds: vec![],
        })
        .unwrap();
        let counts = Counts::Integer { count: 11, zero_count: 1, buckets: Box::new([3, 0, 5, 2]) };
        let mut stored = NativeHistogram::new(Arc::new(layout), counts, 7.5).unwrap();
        stored.reset_hint = ResetHint::No;
        let float = stored.to_float();
        assert_eq!(float.positive.iter().collect::<Vec<_>>(), [(-1, 3.0), (2, 5.0)]);
        assert_eq!(float.negative.iter().collect::<Vec<_>>(), [(0, 2.0)]);
        assert_eq!(
            (float.count, float.sum, float.zero_count, float.counter_reset),
            (11.0, 7.5, 1.0, CounterReset::NotReset)
        );
    }

    #[test]
    fn stale_markers_are_alike() {
        assert!(NativeHistogram::stale().is_stale());
        assert_eq!(NativeHistogram::stale(), NativeHistogram::stale());
        assert!(NativeHistogram::stale().to_float().is_stale());
    }
}
