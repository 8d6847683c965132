//! Remote write 2.0: all strings stand in one table, and series refer to them by number.

use super::{
    super::wire::{Element, VARINT, Wire, WireError},
    Bounds, RawSample, push, sample,
};

/// More references than this are counted but not gathered: no series has as many labels.
pub const LABEL_REFS_KEPT: usize = 1 << 12;

/// The table of a request's strings, not yet known to be UTF-8.
#[derive(Clone, Debug, Default)]
pub struct Symbols<'a>(Vec<&'a [u8]>);

impl<'a> Symbols<'a> {
    /// The string with this number, if there is one.
    #[inline]
    pub fn get(&self, reference: u32) -> Option<&'a [u8]> {
        self.0.get(reference as usize).copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.0.iter().copied()
    }
}

/// What a series says about its metric: the type's number, and references to its help and unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawMetadata {
    pub kind: i32,
    pub help_ref: u32,
    pub unit_ref: u32,
}

/// One `TimeSeries` of a remote write 2.0 request. Its references are not checked.
#[derive(Debug)]
pub struct ReferencedSeries<'a> {
    /// Name, value, name, value; the first [`LABEL_REFS_KEPT`] of them.
    pub labels: &'a [u32],
    /// How many there are.
    pub n_label_refs: usize,
    pub samples: &'a [RawSample],
    /// Encoded `Exemplar` messages.
    pub exemplars: &'a [&'a [u8]],
    /// Encoded `Histogram` messages.
    pub histograms: &'a [&'a [u8]],
    pub metadata: Option<RawMetadata>,
    /// When counting started, in milliseconds, as drafts up to rc.3 told it for the whole series; 0 where unknown.
    pub created_timestamp: i64,
}

/// Takes what a request holds.
pub trait ReferencedVisitor<'a> {
    /// Why the visitor may stop the walk.
    type Error: From<WireError>;

    /// All strings, before any series.
    fn symbols(&mut self, symbols: &Symbols<'a>) -> Result<(), Self::Error>;

    fn series(
        &mut self,
        symbols: &Symbols<'a>,
        series: ReferencedSeries<'_>,
    ) -> Result<(), Self::Error>;
}

/// Walks a remote write 2.0 `Request`.
pub fn v2<'a, V: ReferencedVisitor<'a>>(
    body: &'a [u8],
    bounds: Bounds,
    visitor: &mut V,
) -> Result<(), V::Error> {
    // Once for the strings: nothing says that they stand before the series. Stepping over a series costs two varints.
    let mut symbols = Symbols::default();
    let mut wire = Wire(body);
    let mut first_series = None;
    while !wire.is_empty() {
        let start = wire;
        if let Some(symbol) = wire.short_field(0x22) {
            push(&mut symbols.0, symbol, Element::Symbol, bounds.symbols)?;
            continue;
        }
        if wire.short_field(0x2a).is_some() {
            first_series.get_or_insert(start);
            continue;
        }
        match wire.key()? {
            (4, wire_type) => {
                let symbol = wire.len_delimited(4, wire_type)?;
                push(&mut symbols.0, symbol, Element::Symbol, bounds.symbols)?;
            }
            (5, wire_type) => {
                first_series.get_or_insert(start);
                wire.skip(5, wire_type)?;
            }
            (field, wire_type) => wire.skip(field, wire_type)?,
        }
    }
    visitor.symbols(&symbols)?;
    let mut gathered = Gathered::default();
    let mut wire = first_series.unwrap_or(wire);
    while !wire.is_empty() {
        let message = match wire.short_field(0x2a) {
            Some(message) => message,
            None => match wire.key()? {
                (5, wire_type) => wire.len_delimited(5, wire_type)?,
                (field, wire_type) => {
                    wire.skip(field, wire_type)?;
                    continue;
                }
            },
        };
        gathered.read(message, bounds)?;
        visitor.series(&symbols, gathered.series())?;
    }
    Ok(())
}

/// The fields of one series; keeps its memory from one to the next.
#[derive(Default)]
struct Gathered<'a> {
    label_refs: Vec<u32>,
    n_label_refs: usize,
    samples: Vec<RawSample>,
    exemplars: Vec<&'a [u8]>,
    histograms: Vec<&'a [u8]>,
    metadata: Option<RawMetadata>,
    created_timestamp: i64,
}

impl<'a> Gathered<'a> {
    #[inline]
    fn series(&self) -> ReferencedSeries<'_> {
        ReferencedSeries {
            labels: &self.label_refs,
            n_label_refs: self.n_label_refs,
            samples: &self.samples,
            exemplars: &self.exemplars,
            histograms: &self.histograms,
            metadata: self.metadata,
            created_timestamp: self.created_timestamp,
        }
    }

    #[inline]
    fn read(&mut self, message: &'a [u8], bounds: Bounds) -> Result<(), WireError> {
        self.label_refs.clear();
        self.n_label_refs = 0;
        self.samples.clear();
        self.exemplars.clear();
        self.histograms.clear();
        (self.metadata, self.created_timestamp) = (None, 0);
        let mut wire = Wire(message);
        // As every encoder writes it: packed references, then samples.
        if let Some(packed) = wire.short_field(0x0a) {
            self.refer_all(packed)?;
        }
        while let Some(message) = wire.short_field(0x12) {
            push(&mut self.samples, sample::<true>(message)?, Element::Sample, bounds.elements)?;
        }
        while !wire.is_empty() {
            match wire.key()? {
                (1, VARINT) => {
                    let reference = wire.varint()? as u32;
                    self.refer(reference);
                }
                (1, wire_type) => self.refer_all(wire.len_delimited(1, wire_type)?)?,
                (2, wire_type) => {
                    let read = sample::<true>(wire.len_delimited(2, wire_type)?)?;
                    push(&mut self.samples, read, Element::Sample, bounds.elements)?;
                }
                (3, wire_type) => {
                    let message = wire.len_delimited(3, wire_type)?;
                    push(&mut self.histograms, message, Element::Histogram, bounds.elements)?;
                }
                (4, wire_type) => {
                    let message = wire.len_delimited(4, wire_type)?;
                    push(&mut self.exemplars, message, Element::Exemplar, bounds.elements)?;
                }
                (5, wire_type) => {
                    let message = wire.len_delimited(5, wire_type)?;
                    read_metadata(message, self.metadata.get_or_insert_default())?;
                }
                (6, VARINT) => self.created_timestamp = wire.varint()? as i64,
                (field, wire_type) => wire.skip(field, wire_type)?,
            }
        }
        Ok(())
    }

    /// Takes packed references.
    #[inline]
    fn refer_all(&mut self, packed: &[u8]) -> Result<(), WireError> {
        // A reference takes a byte at least.
        if self.label_refs.len() + packed.len() > LABEL_REFS_KEPT {
            let mut packed = Wire(packed);
            while !packed.is_empty() {
                let reference = packed.varint()? as u32;
                self.refer(reference);
            }
            return Ok(());
        }
        let before = self.label_refs.len();
        self.label_refs.resize(before + packed.len(), 0);
        let mut n_refs = 0;
        let mut rest = packed;
        for place in &mut self.label_refs[before..] {
            // Two bytes reach further than the table of a usual request.
            *place = match *rest {
                [] => break,
                [low, ref behind @ ..] if low < 0x80 => {
                    rest = behind;
                    u32::from(low)
                }
                [low, high, ref behind @ ..] if high < 0x80 => {
                    rest = behind;
                    u32::from(low & 0x7f) | u32::from(high) << 7
                }
                _ => {
                    let mut longer = Wire(rest);
                    let reference = longer.varint()? as u32;
                    rest = longer.0;
                    reference
                }
            };
            n_refs += 1;
        }
        self.label_refs.truncate(before + n_refs);
        self.n_label_refs += n_refs;
        Ok(())
    }

    #[inline]
    fn refer(&mut self, reference: u32) {
        self.n_label_refs += 1;
        if self.label_refs.len() < LABEL_REFS_KEPT {
            self.label_refs.push(reference);
        }
    }
}

/// A field that comes again replaces, as protobuf has it.
fn read_metadata(message: &[u8], metadata: &mut RawMetadata) -> Result<(), WireError> {
    let mut wire = Wire(message);
    while !wire.is_empty() {
        match wire.key()? {
            (1, wire_type) => metadata.kind = wire.int64(1, wire_type)? as i32,
            (3, wire_type) => metadata.help_ref = wire.int64(3, wire_type)? as u32,
            (4, wire_type) => metadata.unit_ref = wire.int64(4, wire_type)? as u32,
            (field, wire_type) => wire.skip(field, wire_type)?,
        }
    }
    Ok(())
}
