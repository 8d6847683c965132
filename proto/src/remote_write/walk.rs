//! A request walked in place: no message is built, no string is copied.
//!
//! Finding a known series needs no more than the raw bytes of its labels, or references to them, and a sample is sixteen
//! bytes: decoding into [`super::v1`] or [`super::v2`] structs costs about ten times as much as this walk. Property tests
//! hold the two equal.

mod referenced;

pub use self::referenced::{
    LABEL_REFS_KEPT, RawMetadata, ReferencedSeries, ReferencedVisitor, Symbols, v2,
};
use super::wire::{Element, Wire, WireError};

/// How much is gathered before the visitor is asked: an element takes two bytes on the wire, and ten times as many here.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Samples, exemplars and histograms of one series, each.
    pub elements: usize,
    /// Strings in the table of a 2.0 request.
    pub symbols: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { elements: 1 << 20, symbols: 1 << 20 }
    }
}

#[inline]
fn push<T>(out: &mut Vec<T>, element: T, what: Element, limit: usize) -> Result<(), WireError> {
    if out.len() >= limit {
        return Err(WireError::TooMany { what, limit });
    }
    out.push(element);
    Ok(())
}

/// One sample as it lies in the request.
#[derive(Clone, Copy, Debug)]
pub struct RawSample {
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    pub value: f64,
    /// When the counter started; 0 where unknown, and always in 1.0.
    pub start_timestamp: i64,
}

/// One `TimeSeries` of a remote write 1.0 request.
#[derive(Debug)]
pub struct RawSeries<'a> {
    /// All its label fields, keys and lengths included, in the order in which they came. Equal bytes are equal labels;
    /// [`labels`] takes them apart.
    pub labels: &'a [u8],
    pub samples: &'a [RawSample],
    /// Encoded `Exemplar` messages.
    pub exemplars: &'a [&'a [u8]],
    /// Encoded `Histogram` messages.
    pub histograms: &'a [&'a [u8]],
}

/// Takes what a request holds.
pub trait Visitor {
    /// Why the visitor may stop the walk.
    type Error: From<WireError>;

    fn series(&mut self, series: RawSeries<'_>) -> Result<(), Self::Error>;

    /// An encoded `MetricMetadata` message.
    fn metadata(&mut self, message: &[u8]) -> Result<(), Self::Error>;
}

/// Walks a remote write 1.0 `WriteRequest`.
pub fn v1<V: Visitor>(body: &[u8], bounds: Bounds, visitor: &mut V) -> Result<(), V::Error> {
    let mut samples = Vec::new();
    let mut exemplars = Vec::new();
    let mut histograms = Vec::new();
    let mut scattered = Vec::new();
    let mut wire = Wire(body);
    while !wire.is_empty() {
        match wire.key()? {
            (1, wire_type) => {
                let message = wire.len_delimited(1, wire_type)?;
                samples.clear();
                exemplars.clear();
                histograms.clear();
                let contiguous =
                    v1_series(message, bounds, &mut samples, &mut exemplars, &mut histograms)?;
                let labels = match contiguous {
                    Some(labels) => labels,
                    None => {
                        gather_labels(message, &mut scattered)?;
                        &scattered[..]
                    }
                };
                visitor.series(RawSeries {
                    labels,
                    samples: &samples,
                    exemplars: &exemplars,
                    histograms: &histograms,
                })?;
            }
            (3, wire_type) => visitor.metadata(wire.len_delimited(3, wire_type)?)?,
            (field, wire_type) => wire.skip(field, wire_type)?,
        }
    }
    Ok(())
}

/// Reads one `TimeSeries`; gives the span of its label fields, or `None` if other fields stand between them.
fn v1_series<'a>(
    message: &'a [u8],
    bounds: Bounds,
    samples: &mut Vec<RawSample>,
    exemplars: &mut Vec<&'a [u8]>,
    histograms: &mut Vec<&'a [u8]>,
) -> Result<Option<&'a [u8]>, WireError> {
    let mut wire = Wire(message);
    let mut labels = 0..0;
    let mut contiguous = true;
    while !wire.is_empty() {
        let start = message.len() - wire.0.len();
        match wire.key()? {
            (1, wire_type) => {
                wire.len_delimited(1, wire_type)?;
                let end = message.len() - wire.0.len();
                if labels.is_empty() {
                    labels = start..end;
                } else if labels.end == start {
                    labels.end = end;
                } else {
                    contiguous = false;
                }
            }
            (2, wire_type) => {
                let read = sample::<false>(wire.len_delimited(2, wire_type)?)?;
                push(samples, read, Element::Sample, bounds.elements)?;
            }
            (3, wire_type) => {
                let message = wire.len_delimited(3, wire_type)?;
                push(exemplars, message, Element::Exemplar, bounds.elements)?;
            }
            (4, wire_type) => {
                let message = wire.len_delimited(4, wire_type)?;
                push(histograms, message, Element::Histogram, bounds.elements)?;
            }
            (field, wire_type) => wire.skip(field, wire_type)?,
        }
    }
    Ok(contiguous.then(|| &message[labels]))
}

/// Reads one `Sample`. Only 2.0 knows when counting started; in 1.0 that field's number is nobody's.
#[inline]
fn sample<const HAS_START: bool>(message: &[u8]) -> Result<RawSample, WireError> {
    let mut sample = RawSample { timestamp: 0, value: 0.0, start_timestamp: 0 };
    let mut wire = Wire(message);
    // As every encoder writes it: the value, then the timestamp.
    if let [0x09, value @ ..] = message
        && let Some((value, [0x10, rest @ ..])) = value.split_first_chunk::<8>()
    {
        sample.value = f64::from_le_bytes(*value);
        wire = Wire(rest);
        sample.timestamp = wire.varint()? as i64;
    }
    while !wire.is_empty() {
        match wire.key()? {
            (1, wire_type) => sample.value = wire.double(1, wire_type)?,
            (2, wire_type) => sample.timestamp = wire.int64(2, wire_type)?,
            (3, wire_type) if HAS_START => sample.start_timestamp = wire.int64(3, wire_type)?,
            (field, wire_type) => wire.skip(field, wire_type)?,
        }
    }
    Ok(sample)
}

fn gather_labels(message: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    out.clear();
    let mut wire = Wire(message);
    while !wire.is_empty() {
        let start = message.len() - wire.0.len();
        let (field, wire_type) = wire.key()?;
        wire.skip(field, wire_type)?;
        if field == 1 {
            out.extend_from_slice(&message[start..message.len() - wire.0.len()]);
        }
    }
    Ok(())
}

/// Takes [`RawSeries::labels`] apart: names and values, not yet known to be UTF-8.
pub fn labels(raw: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), WireError>> {
    let mut wire = Wire(raw);
    std::iter::from_fn(move || (!wire.is_empty()).then(|| label(&mut wire)))
}

fn label<'a>(wire: &mut Wire<'a>) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let outcome = wire.key().and_then(|(field, wire_type)| wire.len_delimited(field, wire_type));
    let mut inner = match outcome {
        Ok(message) => Wire(message),
        Err(err) => {
            // Nothing behind an error can be read.
            wire.0 = &[];
            return Err(err);
        }
    };
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while !inner.is_empty() {
        match inner.key()? {
            (1, wire_type) => name = inner.len_delimited(1, wire_type)?,
            (2, wire_type) => value = inner.len_delimited(2, wire_type)?,
            (field, wire_type) => inner.skip(field, wire_type)?,
        }
    }
    Ok((name, value))
}
