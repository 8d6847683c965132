//! One series' values as bytes, without losing a bit.
//!
//! Metrics are decimals: a value is stored as an integer `m` and one decimal exponent `e` for the whole chunk, where
//! `m / 10^e`, one IEEE division of two exact numbers, gives back the same 64 bits in Rust and in SQL. The integers
//! are stored as deltas or deltas of deltas, in whole bytes or, from some values on, in bits ([`packed`]), whichever is
//! shortest. Values that are no decimals (staleness markers, −0, infinities, NaN payloads) are listed apart; a chunk with
//! many of them is stored as decimals with corrections of a few units in the last place, which suits sums, or as the XOR of
//! neighbours. The byte diagram is in `receiver/docs/format/group.md`.

use super::{
    CodecError, packed,
    varint::{self, Reader},
};

/// `h` with this bit set: the length of the chunk follows. Such are packed chunks, and whatever may come later.
const HAS_LENGTH: u8 = 0x80;
const HAS_EXCEPTIONS: u8 = 0x40;
const KIND_SHIFT: u8 = 4;
const KIND_CONSTANT: u8 = 0;
const KIND_DELTA: u8 = 1;
const KIND_DELTA_OF_DELTA: u8 = 2;
const KIND_XOR: u8 = 3;
/// Kinds of chunks that have their length.
const KIND_PACKED: u8 = 0;
const KIND_PACKED_NOISY: u8 = 1;
/// From how many values on packing can be shorter. Batches, which have to be fast, hold fewer of a series.
const PACKED_FROM: usize = 16;
/// The longest chunk that is read: all its values as bytes, and more for what describes them.
const LENGTH_MAX: usize = 1 << 30;

/// Integers up to 2^53 are exact floats.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;
/// The exponent has four bits; 10^15 is an exact float, and so is every power below.
const EXPONENT_MAX: u8 = 15;
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const POWERS_I64: [i64; 16] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
];
/// One value in this many may be an exception before the chunk is stored as XOR: an exception costs ten bytes.
const EXCEPTION_SHARE: usize = 8;

/// Reusable memory of the encoder.
#[derive(Debug, Default)]
pub struct Encoder {
    mantissas: Vec<i64>,
    exponents: Vec<u8>,
    exceptions: Vec<u32>,
    corrections: Vec<i64>,
    packer: packed::Encoder,
    /// A second way to store the chunk, to be compared with the first.
    other: Vec<u8>,
}

impl Encoder {
    /// Appends the chunk of `values`, which are not empty; how many they are is stored elsewhere.
    pub fn encode(&mut self, values: &[f64], out: &mut Vec<u8>) {
        assert!(!values.is_empty(), "a chunk holds at least one value");
        if let [value] = values {
            return encode_single(*value, out);
        }
        let start = out.len();
        match self.decimals(values) {
            Some(exponent) => {
                let kind = self.encode_decimals(values, exponent, out);
                if kind != KIND_CONSTANT && values.len() >= PACKED_FROM {
                    self.encode_packed(values, KIND_PACKED, exponent, start, out);
                }
            }
            None => {
                encode_xor(values, out);
                self.encode_noisy(values, start, out);
            }
        }
    }

    /// Replaces the chunk from `start` on by one of noisy decimals if that is shorter: sums of decimals, such as of
    /// durations, are a few units in the last place away from the decimal that they would be.
    fn encode_noisy(&mut self, values: &[f64], start: usize, out: &mut Vec<u8>) {
        let exceptions_max = exceptions_max(values);
        let fits = |exponent: &u8| {
            let unfit = values.iter().filter(|value| noisy(**value, *exponent).is_none());
            unfit.take(exceptions_max + 1).count() <= exceptions_max
        };
        let Some(exponent) = (1..=EXPONENT_MAX).find(fits) else { return };
        self.mantissas.clear();
        self.corrections.clear();
        self.exceptions.clear();
        for (index, value) in values.iter().enumerate() {
            let (mantissa, correction) = noisy(*value, exponent).unwrap_or_else(|| {
                self.exceptions.push(index as u32);
                (0, 0)
            });
            self.mantissas.push(mantissa);
            self.corrections.push(correction);
        }
        self.repeat_neighbours();
        self.encode_packed(values, KIND_PACKED_NOISY, exponent, start, out);
    }

    /// Replaces the chunk from `start` on by a packed one if that is shorter.
    fn encode_packed(
        &mut self,
        values: &[f64],
        kind: u8,
        exponent: u8,
        start: usize,
        out: &mut Vec<u8>,
    ) {
        self.other.clear();
        put_exceptions(&self.exceptions, values, &mut self.other);
        if !self.packer.encode(&self.mantissas, &mut self.other)
            || kind == KIND_PACKED_NOISY && !self.packer.encode(&self.corrections, &mut self.other)
        {
            return;
        }
        let length = self.other.len();
        if 1 + varint::len(length as u64) + length < out.len() - start {
            out.truncate(start);
            let exceptions_bit = if self.exceptions.is_empty() { 0 } else { HAS_EXCEPTIONS };
            out.push(HAS_LENGTH | exceptions_bit | kind << KIND_SHIFT | exponent);
            varint::put(out, length as u64);
            out.extend_from_slice(&self.other);
        }
    }

    /// Fills `mantissas` (scaled to the common exponent) and `exceptions`; `None` if XOR is the better way.
    fn decimals(&mut self, values: &[f64]) -> Option<u8> {
        self.mantissas.clear();
        self.exponents.clear();
        self.exceptions.clear();
        let exceptions_max = exceptions_max(values);
        let mut common = 0;
        for (index, value) in values.iter().enumerate() {
            match decimal(*value, common) {
                Some((mantissa, exponent)) => {
                    self.mantissas.push(mantissa);
                    self.exponents.push(exponent);
                    common = common.max(exponent);
                }
                None => {
                    self.exceptions.push(index as u32);
                    if self.exceptions.len() > exceptions_max {
                        return None;
                    }
                    self.mantissas.push(0);
                    self.exponents.push(EXPONENT_MAX);
                }
            }
        }
        // Bring all to the common exponent; what overflows there becomes an exception too.
        let mut exceptions = self.exceptions.iter().copied().peekable();
        let mut overflown = Vec::new();
        for index in 0..values.len() {
            if exceptions.next_if_eq(&(index as u32)).is_some() {
                continue;
            }
            let scale = POWERS_I64[usize::from(common - self.exponents[index])];
            match self.mantissas[index]
                .checked_mul(scale)
                .filter(|m| m.unsigned_abs() <= MANTISSA_MAX as u64)
            {
                Some(scaled) => self.mantissas[index] = scaled,
                None => overflown.push(index as u32),
            }
        }
        if !overflown.is_empty() {
            self.exceptions.extend(overflown);
            self.exceptions.sort_unstable();
        }
        if self.exceptions.len() > exceptions_max || self.exceptions.len() == values.len() {
            return None;
        }
        self.repeat_neighbours();
        Some(common)
    }

    /// An exception repeats its neighbour, so that it costs one short delta.
    fn repeat_neighbours(&mut self) {
        let Self { mantissas, exceptions, .. } = self;
        let Some(first_decimal) =
            (0..mantissas.len() as u32).find(|i| exceptions.binary_search(i).is_err())
        else {
            return;
        };
        let mut neighbour = mantissas[first_decimal as usize];
        let mut exceptions = exceptions.iter().copied().peekable();
        for (index, mantissa) in mantissas.iter_mut().enumerate() {
            if exceptions.next_if_eq(&(index as u32)).is_some() {
                *mantissa = neighbour;
            } else {
                neighbour = *mantissa;
            }
        }
    }

    /// Appends the chunk as varints, and says of which kind it is.
    fn encode_decimals(&self, values: &[f64], exponent: u8, out: &mut Vec<u8>) -> u8 {
        let mantissas = &self.mantissas[..];
        let first = mantissas[0];
        let kind = if mantissas.iter().all(|m| *m == first) {
            KIND_CONSTANT
        } else if delta_of_delta_is_shorter(mantissas) {
            KIND_DELTA_OF_DELTA
        } else {
            KIND_DELTA
        };
        let exceptions_bit = if self.exceptions.is_empty() { 0 } else { HAS_EXCEPTIONS };
        out.push(exceptions_bit | kind << KIND_SHIFT | exponent);
        put_exceptions(&self.exceptions, values, out);
        varint::put_signed(out, first);
        match kind {
            KIND_CONSTANT => {}
            KIND_DELTA => {
                for pair in mantissas.windows(2) {
                    varint::put_signed(out, pair[1] - pair[0]);
                }
            }
            _ => {
                let mut delta = 0;
                for pair in mantissas.windows(2) {
                    let next = pair[1] - pair[0];
                    varint::put_signed(out, next - delta);
                    delta = next;
                }
            }
        }
        kind
    }
}

fn exceptions_max(values: &[f64]) -> usize {
    values.len() / EXCEPTION_SHARE + 1
}

fn put_exceptions(exceptions: &[u32], values: &[f64], out: &mut Vec<u8>) {
    if exceptions.is_empty() {
        return;
    }
    varint::put(out, exceptions.len() as u64);
    let mut previous = 0;
    for index in exceptions {
        varint::put(out, u64::from(index - previous));
        out.extend_from_slice(&values[*index as usize].to_bits().to_le_bytes());
        previous = *index;
    }
}

/// The commonest chunk of a batch: one sample.
fn encode_single(value: f64, out: &mut Vec<u8>) {
    match decimal(value, 0) {
        Some((mantissa, exponent)) => {
            out.push(KIND_CONSTANT << KIND_SHIFT | exponent);
            varint::put_signed(out, mantissa);
        }
        None => encode_xor(&[value], out),
    }
}

fn encode_xor(values: &[f64], out: &mut Vec<u8>) {
    out.push(KIND_XOR << KIND_SHIFT);
    let mut previous = values[0].to_bits();
    out.extend_from_slice(&previous.to_le_bytes());
    for value in &values[1..] {
        let bits = value.to_bits();
        let xor = bits ^ previous;
        previous = bits;
        if xor == 0 {
            out.push(0);
            continue;
        }
        let trailing = xor.trailing_zeros() / 8;
        let significant = xor >> (trailing * 8);
        let n_bytes = 8 - significant.leading_zeros() / 8;
        out.push((trailing << 4 | n_bytes) as u8);
        out.extend_from_slice(&significant.to_le_bytes()[..n_bytes as usize]);
    }
}

/// `value` as `mantissa / 10^exponent`, exactly and with the smallest exponent from `hint` on or below it;
/// `None` if it is no such decimal.
#[inline]
fn decimal(value: f64, hint: u8) -> Option<(i64, u8)> {
    // The exponent of the values before is nearly always right.
    if let Some(mantissa) = exact(value, hint) {
        return Some((mantissa, hint));
    }
    let magnitude = value.abs();
    if magnitude.is_nan() || magnitude > MANTISSA_MAX {
        return None;
    }
    for exponent in hint + 1..=(hint + 3).min(EXPONENT_MAX) {
        if let Some(mantissa) = exact(value, exponent) {
            return Some((mantissa, exponent));
        }
    }
    // Any decimal with fewer digits is one with the most digits that fit, too: one test decides.
    let mut widest = EXPONENT_MAX;
    while widest > 0 && magnitude * POWERS[usize::from(widest)] > MANTISSA_MAX {
        widest -= 1;
    }
    let mut mantissa = exact(value, widest)?;
    let mut exponent = widest;
    while exponent > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        exponent -= 1;
    }
    Some((mantissa, exponent))
}

/// The integer whose quotient by 10^exponent has the same bits as `value`.
#[inline]
fn exact(value: f64, exponent: u8) -> Option<i64> {
    let power = POWERS[usize::from(exponent)];
    let scaled = value * power;
    // A NaN is no number of any size.
    if scaled.is_nan() || scaled.abs() > MANTISSA_MAX {
        return None;
    }
    // Rounded to the nearest; which of two at equal distance does not matter, for neither is exact. Beyond 2^52 there are
    // no fractions to round.
    let half = if scaled.abs() < MANTISSA_MAX / 2.0 { 0.5f64.copysign(scaled) } else { 0.0 };
    // −0 fails below, as it must: the integer 0 divides to +0.
    let mantissa = (scaled + half) as i64;
    ((mantissa as f64 / power).to_bits() == value.to_bits()).then_some(mantissa)
}

/// A correction of more units in the last place is longer than the byte that it should cost.
const CORRECTION_MAX: i64 = 63;

/// The decimal nearest to `value`, and by how many units in its last place `value` lies above it; `None` if that is far, or
/// there is no positive number.
#[inline]
fn noisy(value: f64, exponent: u8) -> Option<(i64, i64)> {
    // Sums begin with zero.
    if value.to_bits() == 0 {
        return Some((0, 0));
    }
    let power = POWERS[usize::from(exponent)];
    let scaled = value * power;
    // Negative numbers and what is no number are for the other kinds; so is what leaves no room for noise.
    if !(value.is_normal() && value > 0.0 && scaled < MANTISSA_MAX / 2.0) {
        return None;
    }
    let mantissa = (scaled + 0.5) as i64;
    let decimal = mantissa as f64 / power;
    let correction = value.to_bits() as i64 - decimal.to_bits() as i64;
    // Beside a power of two, where units change, the bits are further apart than the numbers.
    let is_near = mantissa > 0 && correction.abs() <= CORRECTION_MAX;
    (is_near && corrected(decimal, correction).to_bits() == value.to_bits())
        .then_some((mantissa, correction))
}

/// So many units in the last place of `decimal` above it.
#[inline]
fn corrected(decimal: f64, correction: i64) -> f64 {
    const EXPONENT_BITS: u64 = 0x7ff << 52;
    // The power of two below it, scaled down by as many digits as follow: all exact.
    let unit = f64::from_bits(decimal.to_bits() & EXPONENT_BITS) * f64::EPSILON;
    decimal + correction as f64 * unit
}

fn delta_of_delta_is_shorter(mantissas: &[i64]) -> bool {
    let mut delta = 0;
    let (mut delta_bits, mut second_bits) = (0, 0);
    for pair in mantissas.windows(2) {
        let next = pair[1] - pair[0];
        delta_bits += varint_bits(varint::zigzag(next));
        second_bits += varint_bits(varint::zigzag(next - delta));
        delta = next;
    }
    second_bits < delta_bits
}

#[inline]
fn varint_bits(value: u64) -> u32 {
    // Bytes, but also a little for small against large numbers, which lz4 sees later: zeros pack best.
    8 * (1 + (63 - (value | 1).leading_zeros()) / 7) + u32::from(value != 0)
}

/// Appends `n` values to `out`. `n` is bounded by the caller.
pub fn decode(reader: &mut Reader<'_>, n: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let header = reader.byte()?;
    if header & HAS_LENGTH != 0 {
        return decode_packed(reader, header, n, out);
    }
    let kind = header >> KIND_SHIFT & 0x3;
    if kind == KIND_XOR {
        return decode_xor(reader, n, out);
    }
    let start = out.len();
    let exceptions =
        if header & HAS_EXCEPTIONS == 0 { Vec::new() } else { read_exceptions(reader, n)? };
    let power = POWERS[usize::from(header & 0x0f)];
    let mut mantissa = reader.signed()?;
    if kind == KIND_CONSTANT {
        out.resize(start + n, mantissa as f64 / power);
    } else {
        let n_more = n.saturating_sub(1);
        if reader.n_left() < n_more {
            return Err(CodecError::Truncated { at: reader.position() });
        }
        out.reserve(n);
        out.push(mantissa as f64);
        if kind == KIND_DELTA {
            reader.each_signed(n_more, |delta| {
                mantissa = mantissa.wrapping_add(delta);
                out.push(mantissa as f64);
            })?;
        } else {
            let mut delta: i64 = 0;
            reader.each_signed(n_more, |change| {
                delta = delta.wrapping_add(change);
                mantissa = mantissa.wrapping_add(delta);
                out.push(mantissa as f64);
            })?;
        }
        if power != 1.0 {
            // In a loop of its own, where several divisions go at once.
            out[start..].iter_mut().for_each(|value| *value /= power);
        }
    }
    for (index, bits) in exceptions {
        out[start + index] = f64::from_bits(bits);
    }
    Ok(())
}

fn decode_packed(
    reader: &mut Reader<'_>,
    header: u8,
    n: usize,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    let at = reader.position();
    let length = reader.bounded("the length of a chunk", LENGTH_MAX)?;
    let mut inner = Reader::new(reader.take(length)?);
    let kind = header >> KIND_SHIFT & 0x3;
    if kind > KIND_PACKED_NOISY {
        return Err(CodecError::Malformed { what: "a chunk is of a kind that came later", at });
    }
    let exceptions = match header & HAS_EXCEPTIONS {
        0 => Vec::new(),
        _ => read_exceptions(&mut inner, n)?,
    };
    let start = out.len();
    out.reserve(n);
    packed::decode(&mut inner, n, |mantissa| out.push(mantissa as f64))?;
    let power = POWERS[usize::from(header & 0x0f)];
    if power != 1.0 {
        out[start..].iter_mut().for_each(|value| *value /= power);
    }
    if kind == KIND_PACKED_NOISY {
        let mut values = out[start..].iter_mut();
        packed::decode(&mut inner, n, |correction| {
            let value = values.next().expect("as many corrections as values are read");
            *value = corrected(*value, correction);
        })?;
    }
    for (index, bits) in exceptions {
        out[start + index] = f64::from_bits(bits);
    }
    if !inner.is_at_end() {
        return Err(CodecError::Malformed { what: "a chunk is longer than its values", at });
    }
    Ok(())
}

/// Steps over one chunk of `n` values without computing them.
pub fn skip(reader: &mut Reader<'_>, n: usize) -> Result<(), CodecError> {
    let header = reader.byte()?;
    if header & HAS_LENGTH != 0 {
        let length = reader.bounded("the length of a chunk", LENGTH_MAX)?;
        reader.take(length)?;
        return Ok(());
    }
    let kind = header >> KIND_SHIFT & 0x3;
    if kind == KIND_XOR {
        reader.fixed64()?;
        for _ in 1..n {
            let control = reader.byte()?;
            reader.take(usize::from(control & 0x0f))?;
        }
        return Ok(());
    }
    if header & HAS_EXCEPTIONS != 0 {
        read_exceptions(reader, n)?;
    }
    reader.skip_varints(if kind == KIND_CONSTANT { 1 } else { n })
}

fn read_exceptions(reader: &mut Reader<'_>, n: usize) -> Result<Vec<(usize, u64)>, CodecError> {
    let count = reader.bounded("the number of exceptions", n)?;
    let mut exceptions = Vec::with_capacity(count);
    let mut index = 0;
    for _ in 0..count {
        index += reader.bounded("the step to an exception", n)?;
        if index >= n {
            return Err(CodecError::OutOfBounds {
                what: "an exception's index",
                value: index as u64,
                bound: n as u64,
            });
        }
        exceptions.push((index, reader.fixed64()?));
    }
    Ok(exceptions)
}

fn decode_xor(reader: &mut Reader<'_>, n: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let mut bits = reader.fixed64()?;
    out.push(f64::from_bits(bits));
    for _ in 1..n {
        let at = reader.position();
        let control = reader.byte()?;
        let (trailing, n_bytes) = (u32::from(control >> 4), usize::from(control & 0x0f));
        if trailing as usize + n_bytes > 8 {
            return Err(CodecError::Malformed {
                what: "an XOR control byte spans more than eight bytes",
                at,
            });
        }
        let mut significant = [0; 8];
        significant[..n_bytes].copy_from_slice(reader.take(n_bytes)?);
        if n_bytes > 0 {
            bits ^= u64::from_le_bytes(significant) << (trailing * 8);
        }
        out.push(f64::from_bits(bits));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::default().encode(values, &mut bytes);
        let mut reader = Reader::new(&bytes);
        let mut back = Vec::new();
        decode(&mut reader, values.len(), &mut back).unwrap();
        assert!(reader.is_at_end());
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(values), bits(&back), "{values:?}");
        let mut skipper = Reader::new(&bytes);
        skip(&mut skipper, values.len()).unwrap();
        assert!(skipper.is_at_end());
        bytes
    }

    const STALE: u64 = 0x7ff0_0000_0000_0002;

    /// The stored bytes of known chunks. A failure here means that stored data would no longer be read.
    #[test]
    fn goldens() {
        let check = |values: &[f64], hex: &str| {
            let bytes: String = round_trip(values).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(bytes, hex, "{values:?}");
        };
        check(&[0.0], "0000");
        check(&[1.5], "011e");
        check(&[-0.25], "0231");
        check(&[1.0, 1.0, 1.0], "0002");
        check(&[1.0, 3.0, 2.0], "10020401");
        check(&[10.0, 20.0, 30.0, 40.0], "2014140000");
        check(&[0.5, 0.25], "126431");
        check(&[f64::from_bits(STALE)], "30020000000000f07f");
        check(&[7.0, f64::from_bits(STALE)], "400101020000000000f07f0e");
        check(&[-0.0], "300000000000000080");
        check(&[0.1 + 0.2], "30343333333333d33f");
        // Packed: memory in pages, durations; with a staleness marker; sums of decimals.
        let pages: Vec<f64> = (0..20).map(|i| 4096.0 * f64::from(1000 + i * i % 13)).collect();
        check(&pages, "80138080f40380200004001493caac394101493ca0");
        let mut durations: Vec<f64> = (0..20).map(|i| f64::from(100 + i * i % 13) / 1e3).collect();
        check(&durations, "8310c801010004001493caac394101493ca0");
        durations[19] = f64::from_bits(STALE);
        check(&durations, "c31a0113020000000000f07fc801010004001493caac394101493cc0");
        check(&[0.1 + 0.2, 0.1 + 0.2 + 0.3, 0.9, 1.2000000000000002], "910b06030240000201010100a0");
    }

    #[test]
    fn special_values_keep_their_bits() {
        let odd = [
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from_bits(STALE),
            f64::from_bits(0x7ff8_0000_0000_0001),
            f64::from_bits(0xfff0_dead_beef_0001),
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::MAX,
            f64::MIN,
            MANTISSA_MAX,
            -MANTISSA_MAX,
            MANTISSA_MAX + 2.0,
            1e15,
            1e-15,
            123_456_789.123_456_7,
            0.1,
            1.0 / 3.0,
        ];
        for value in odd {
            round_trip(&[value]);
            round_trip(&[value, value]);
            // Hidden in a long run of ordinary values, first, in the middle and last.
            for position in [0, 50, 99] {
                let mut values: Vec<f64> = (0..100).map(|i| f64::from(i) / 4.0).collect();
                values[position] = value;
                round_trip(&values);
            }
        }
        round_trip(&odd);
        round_trip(&[1e-9, 1e12, 5.0]);
    }

    #[test]
    fn a_staleness_marker_costs_ten_bytes_not_the_chunk() {
        let mut values: Vec<f64> = (0..120).map(|i| 1000.0 + f64::from(i * i % 7)).collect();
        let before = round_trip(&values).len();
        values[119] = f64::from_bits(STALE);
        assert!(round_trip(&values).len() <= before + 11);
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let whole = round_trip(&[1.5, f64::NAN, 7.25, 1e9, 3.0, 4.0, 5.0, 6.0, 7.0]);
        for cut in 0..whole.len() {
            let mut out = Vec::new();
            assert!(decode(&mut Reader::new(&whole[..cut]), 9, &mut out).is_err(), "cut at {cut}");
            assert!(skip(&mut Reader::new(&whole[..cut]), 9).is_err(), "cut at {cut}");
        }
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (any::<i32>(), 0..6).prop_map(|(m, e)| f64::from(m) / 10f64.powi(e)),
            2 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(f64::from_bits(STALE)),
            1 => any::<i64>().prop_map(|m| m as f64),
            1 => (any::<i16>(), 0..50).prop_map(|(m, shift)| (i64::from(m) << shift) as f64),
        ]
    }

    proptest! {
        #[test]
        fn all_bits_survive(values in prop::collection::vec(any_value(), 1..300)) {
            round_trip(&values);
        }

        #[test]
        fn decimals_survive(start in -1_000_000i64..1_000_000, steps in prop::collection::vec(-50i64..50, 1..300), e in 0u8..6) {
            let mut m = start;
            let values: Vec<f64> = steps.iter().map(|s| { m += s; m as f64 / POWERS[usize::from(e)] }).collect();
            round_trip(&values);
        }

        #[test]
        fn multiples_survive(factor in 1i64..1 << 45, steps in prop::collection::vec((-50i64..50, any_value()), 1..300), e in 0u8..4) {
            let mut m = 0;
            let values: Vec<f64> = steps
                .iter()
                .map(|(step, other)| {
                    m += step * factor;
                    // An odd one now and then, up to what is beyond all bounds.
                    if *step == 7 { *other } else { m as f64 / POWERS[usize::from(e)] }
                })
                .collect();
            round_trip(&values);
        }

        #[test]
        fn sums_survive(steps in prop::collection::vec(0u32..100_000_000, 1..300)) {
            let mut sum = 0.0;
            let mut values: Vec<f64> = steps.iter().map(|ns| { sum += f64::from(*ns) / 1e9; sum }).collect();
            if steps.len() > 100 {
                values[57] = f64::from_bits(STALE);
            }
            let bytes = round_trip(&values);
            // Nine digits of noise would be more than seven bytes a value; most sums take less than five.
            prop_assert!(values.len() < 20 || bytes.len() <= 6 * values.len() + 30, "{} bytes", bytes.len());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), n in 1usize..200) {
            let _ = decode(&mut Reader::new(&bytes), n, &mut Vec::new());
            let _ = skip(&mut Reader::new(&bytes), n);
        }
    }
}
