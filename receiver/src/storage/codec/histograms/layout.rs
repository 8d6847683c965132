//! Where the buckets of a histogram lie, as bytes.

use promql::model::histogram::Span;

use super::columns;
use crate::storage::{
    codec::{
        CodecError,
        varint::{self, Reader},
    },
    histogram::{BUCKETS_MAX, Layout, LayoutParts},
};

/// Counts are floats.
pub(super) const FLOAT: u8 = 0x01;
const NEGATIVE: u8 = 0x02;
const CUSTOM: u8 = 0x04;
const THRESHOLD_SHIFT: u8 = 4;
const THRESHOLD_ZERO: u8 = 0;
const THRESHOLD_POWER: u8 = 1;
const THRESHOLD_RAW: u8 = 2;
const KNOWN: u8 = FLOAT | NEGATIVE | CUSTOM | 3 << THRESHOLD_SHIFT;

pub(super) fn encode(
    layout: &Layout,
    is_float: bool,
    columns: &mut columns::Encoder,
    out: &mut Vec<u8>,
) {
    let threshold = layout.zero_threshold();
    let power = power_of_two(threshold);
    let kind = match power {
        _ if threshold.to_bits() == 0 => THRESHOLD_ZERO,
        Some(_) => THRESHOLD_POWER,
        None => THRESHOLD_RAW,
    };
    let mut flags = kind << THRESHOLD_SHIFT;
    flags |= if is_float { FLOAT } else { 0 };
    flags |= if layout.negative().is_empty() { 0 } else { NEGATIVE };
    flags |= if layout.custom_bounds().is_empty() { 0 } else { CUSTOM };
    out.push(flags);
    varint::put_signed(out, i64::from(layout.schema()));
    match (kind, power) {
        (THRESHOLD_POWER, Some(power)) => varint::put_signed(out, power),
        (THRESHOLD_RAW, _) => out.extend_from_slice(&threshold.to_bits().to_le_bytes()),
        _ => {}
    }
    encode_spans(layout.positive(), out);
    if flags & NEGATIVE != 0 {
        encode_spans(layout.negative(), out);
    }
    if flags & CUSTOM != 0 {
        varint::put(out, layout.custom_bounds().len() as u64);
        columns.floats.clear();
        columns.floats.extend_from_slice(layout.custom_bounds());
        columns.put_floats(out);
    }
}

fn encode_spans(spans: &[Span], out: &mut Vec<u8>) {
    varint::put(out, spans.len() as u64);
    for span in spans {
        varint::put_signed(out, i64::from(span.offset));
        varint::put(out, u64::from(span.length));
    }
}

/// The exponent of a positive power of two that is no subnormal.
fn power_of_two(value: f64) -> Option<i64> {
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i64;
    (bits.trailing_zeros() >= 52 && (1..2047).contains(&exponent)).then_some(exponent - 1023)
}

/// A layout, and whether its counts are floats.
pub(super) fn decode(reader: &mut Reader<'_>) -> Result<(Layout, bool), CodecError> {
    let at = reader.position();
    let flags = reader.byte()?;
    let kind = flags >> THRESHOLD_SHIFT & 3;
    if flags & !KNOWN != 0 || kind > THRESHOLD_RAW {
        return Err(CodecError::Malformed { what: "a layout is of no known kind", at });
    }
    let schema = small(reader, "a schema")?;
    let zero_threshold = match kind {
        THRESHOLD_ZERO => 0.0,
        THRESHOLD_POWER => {
            let exponent = i64::from(small(reader, "a zero threshold's exponent")?);
            let biased =
                u64::try_from(exponent + 1023).ok().filter(|biased| (1..2047).contains(biased));
            let biased =
                biased.ok_or(CodecError::Malformed { what: "a zero threshold is none", at })?;
            f64::from_bits(biased << 52)
        }
        _ => f64::from_bits(reader.fixed64()?),
    };
    let positive = decode_spans(reader)?;
    let negative = if flags & NEGATIVE != 0 { decode_spans(reader)? } else { Vec::new() };
    let mut custom_bounds = Vec::new();
    if flags & CUSTOM != 0 {
        let n = reader.bounded("the number of custom bounds", BUCKETS_MAX)?;
        if n == 0 {
            return Err(CodecError::Malformed { what: "custom bounds are missing", at });
        }
        columns::floats(reader, n, &mut custom_bounds)?;
    }
    let parts = LayoutParts { schema, zero_threshold, positive, negative, custom_bounds };
    let layout = Layout::new(parts)
        .map_err(|_| CodecError::Malformed { what: "a layout's spans are in no order", at })?;
    Ok((layout, flags & FLOAT != 0))
}

fn decode_spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, CodecError> {
    let n = reader.bounded("the number of spans", BUCKETS_MAX.min(reader.len_left() / 2))?;
    (0..n)
        .map(|_| {
            let offset = small(reader, "a span's offset")?;
            let length = reader.bounded("a span's length", BUCKETS_MAX)? as u32;
            Ok(Span { offset, length })
        })
        .collect()
}

fn small(reader: &mut Reader<'_>, what: &'static str) -> Result<i32, CodecError> {
    let at = reader.position();
    i32::try_from(reader.signed()?).map_err(|_| CodecError::Malformed { what, at })
}
