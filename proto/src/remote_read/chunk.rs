//! Chunks of samples as Prometheus keeps and sends them.
//!
//! Floats are XOR chunks: times as differences of differences, values as differences in bits. A histogram is a chunk of its
//! own, which says all of it.
//! <https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/chunks.md>

use super::{
    Chunk, Encoding,
    bits::{Bits, fits},
};

/// Samples of a chunk: what Prometheus makes, and readers expect.
pub const SAMPLES_MAX: usize = 120;

/// Leading zeros are told in five bits.
const LEADING_MAX: u32 = 31;

/// A chunk of floats: 1 to [`SAMPLES_MAX`] times in rising order, and as many values.
///
/// # Panics
/// On other numbers of samples.
pub fn floats(timestamps: &[i64], values: &[f64]) -> Chunk {
    assert!((1..=SAMPLES_MAX).contains(&timestamps.len()), "the caller cuts chunks");
    assert_eq!(timestamps.len(), values.len());
    let mut bits = Bits::behind((timestamps.len() as u16).to_be_bytes().to_vec());
    bits.put_varint(timestamps[0]);
    bits.put_float(values[0]);
    let mut window = None;
    let mut delta = 0_i64;
    for at in 1..timestamps.len() {
        let next = timestamps[at].wrapping_sub(timestamps[at - 1]);
        if at == 1 {
            bits.put_uvarint(next as u64);
        } else {
            put_time(&mut bits, next.wrapping_sub(delta));
        }
        delta = next;
        put_value(&mut bits, values[at - 1], values[at], &mut window);
    }
    Chunk {
        min_time_ms: timestamps[0],
        max_time_ms: timestamps[timestamps.len() - 1],
        r#type: Encoding::Xor.into(),
        data: bits.into_bytes(),
    }
}

fn put_time(bits: &mut Bits, change: i64) {
    match change {
        0 => bits.put_bit(false),
        _ if fits(change, 14) => {
            bits.put(0b10, 2);
            bits.put(change as u64, 14);
        }
        _ if fits(change, 17) => {
            bits.put(0b110, 3);
            bits.put(change as u64, 17);
        }
        _ if fits(change, 20) => {
            bits.put(0b1110, 4);
            bits.put(change as u64, 20);
        }
        _ => {
            bits.put(0b1111, 4);
            bits.put(change as u64, 64);
        }
    }
}

/// Which bits change; `window` is where they were told to lie last: zeros before and behind.
fn put_value(bits: &mut Bits, before: f64, value: f64, window: &mut Option<(u32, u32)>) {
    let change = before.to_bits() ^ value.to_bits();
    if change == 0 {
        return bits.put_bit(false);
    }
    bits.put_bit(true);
    let (leading, trailing) = (change.leading_zeros().min(LEADING_MAX), change.trailing_zeros());
    if let Some((known_leading, known_trailing)) = *window
        && leading >= known_leading
        && trailing >= known_trailing
    {
        bits.put_bit(false);
        return bits.put(change >> known_trailing, 64 - known_leading - known_trailing);
    }
    *window = Some((leading, trailing));
    let n = 64 - leading - trailing;
    bits.put_bit(true);
    bits.put(u64::from(leading), 5);
    // 64 is told as 0.
    bits.put(u64::from(n), 6);
    bits.put(change >> trailing, n);
}

/// A native histogram with absolute counts.
#[derive(Clone, Debug, Default)]
pub struct Histogram<'a> {
    pub ts: i64,
    /// Not a counter.
    pub is_gauge: bool,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    /// Offset and length of each span, and the counts in them.
    pub positive_spans: Vec<(i32, u32)>,
    pub positive: Vec<f64>,
    pub negative_spans: Vec<(i32, u32)>,
    pub negative: Vec<f64>,
    /// Upper bounds, of histograms with the schema of custom bounds.
    pub custom_bounds: &'a [f64],
}

/// The schema of histograms with bounds of their own.
const CUSTOM_SCHEMA: i32 = -53;
/// What a chunk's first byte behind the number of samples says: its histograms are no counters.
const GAUGE: u8 = 0b1100_0000;

/// A chunk of one histogram.
pub fn histogram(histogram: &Histogram<'_>) -> Chunk {
    let mut bytes = 1_u16.to_be_bytes().to_vec();
    bytes.push(if histogram.is_gauge { GAUGE } else { 0 });
    let mut bits = Bits::behind(bytes);
    put_zero_threshold(&mut bits, histogram.zero_threshold);
    bits.put_varbit(i64::from(histogram.schema));
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        bits.put_varbit_unsigned(spans.len() as u64);
        for (offset, length) in spans {
            bits.put_varbit_unsigned(u64::from(*length));
            bits.put_varbit(i64::from(*offset));
        }
    }
    if histogram.schema == CUSTOM_SCHEMA {
        bits.put_varbit_unsigned(histogram.custom_bounds.len() as u64);
        for bound in histogram.custom_bounds {
            // As it is: zero thousandths plus one stands for "all bits follow".
            bits.put_bit(false);
            bits.put_float(*bound);
        }
    }
    bits.put_varbit(histogram.ts);
    for value in [histogram.count, histogram.zero_count, histogram.sum] {
        bits.put_float(value);
    }
    for count in histogram.positive.iter().chain(&histogram.negative) {
        bits.put_float(*count);
    }
    Chunk {
        min_time_ms: histogram.ts,
        max_time_ms: histogram.ts,
        r#type: Encoding::FloatHistogram.into(),
        data: bits.into_bytes(),
    }
}

/// One byte for 0 and powers of two that are usual; otherwise all bits.
fn put_zero_threshold(bits: &mut Bits, threshold: f64) {
    if threshold == 0.0 {
        return bits.put(0, 8);
    }
    let exponent = ((threshold.to_bits() >> 52) & 0x7ff) as i64 - 1022;
    let is_power = threshold > 0.0 && threshold.to_bits() << 12 == 0;
    if is_power && (-242..=11).contains(&exponent) {
        return bits.put((exponent + 243) as u64, 8);
    }
    bits.put(255, 8);
    bits.put_float(threshold);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_of_floats() {
        let chunk = floats(&[1_000, 2_000, 3_000, 4_500], &[1.0, 1.0, 2.0, 3.0]);
        assert_eq!((chunk.min_time_ms, chunk.max_time_ms), (1_000, 4_500));
        let expected = [
            0x00,
            0x04, // four samples
            0xd0,
            0x0f, // 1000, zigzag
            0x3f,
            0xf0,
            0,
            0,
            0,
            0,
            0,
            0, // 1.0
            0xe8,
            0x07, // 1000 later
            // the same value: 0; the same distance: 0; eleven bits change: 11 00001 001011 11111111111
            0b0011_0000,
            0b1001_0111,
            0b1111_1111,
            0b1100_0000 | 0b10_0000,
        ];
        assert_eq!(chunk.data[..expected.len() - 1], expected[..expected.len() - 1]);
        let one = floats(&[-5], &[f64::NAN]);
        assert_eq!(one.data.len(), 2 + 1 + 8);
    }

    #[test]
    fn zero_thresholds() {
        let written = |threshold| {
            let mut bits = Bits::default();
            put_zero_threshold(&mut bits, threshold);
            bits.into_bytes()
        };
        assert_eq!(written(0.0), [0]);
        // 0.5 * 2^0 and 0.5 * 2^1.
        assert_eq!((written(0.5), written(1.0)), (vec![243], vec![244]));
        assert_eq!(written(2f64.powi(-128)), [116]);
        assert_eq!(written(0.001).len(), 9);
    }
}
