//! Integers in as few bits as they need: differences within a window of 2^width values in that many bits each, what lies
//! outside of it as patches, and a factor that all have in common divided out.
//!
//! Sizes of memory are multiples of 4096, those on disks of 512; counters grow by about as much each time, durations vary
//! within a range. Varints spend whole bytes on each; this spends bits, and where nearly nothing changes, only on changes.
//! The byte diagram is in `receiver/docs/format/group.md`.

use super::{
    CodecError,
    varint::{self, Reader},
};

/// Integers up to here, none further than [`DISTANCE_MAX`] from the first: then all sums and differences on the way are
/// exact as floats, which SQL computes with.
const MAGNITUDE_MAX: u64 = 1 << 52;
const DISTANCE_MAX: u64 = 1 << 48;
/// The window, factor included, is no wider than that, for the same reason.
const WINDOW_MAX: i64 = 1 << 50;
/// The most bits of one difference: SQL reads them as an `int`.
const WIDTH_MAX: u32 = 31;
const WIDTH_MASK: u8 = 0x3f;
const ORDER_SHIFT: u8 = 6;

/// How many differences are looked at to find out how to store all of them.
const SAMPLE: usize = 64;
/// What a patch costs, in bits: mostly a byte.
const PATCH_BITS: usize = 12;
/// A patch says in as many bits how far away it is, if it is near; this: that a varint follows.
const NEAR_BITS: u32 = 2;
const FAR: u64 = (1 << NEAR_BITS) - 1;
/// How much wider than the middle half of all differences windows are tried.
const WIDTHS_TRIED: u32 = 7;

/// How integers are stored.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// 0: each by its distance from the first, 1: from the one before, 2: by the change of that.
    order: u8,
    factor: i64,
    /// The lower end of the window, in units of the factor.
    offset: i64,
    width: u32,
}

/// Reusable memory of the encoder.
#[derive(Debug, Default)]
pub struct Encoder {
    sample: Vec<i64>,
    patches: Patches,
    bits: Bits,
}

impl Encoder {
    /// Appends integers, at least two, unless they are too large or too far apart: then `false`.
    pub fn encode(&mut self, integers: &[i64], out: &mut Vec<u8>) -> bool {
        let first = integers[0];
        let fits = |integer: &i64| {
            integer.unsigned_abs() <= MAGNITUDE_MAX && integer.abs_diff(first) <= DISTANCE_MAX
        };
        if !integers.iter().all(fits) {
            return false;
        }
        let plan = self.plan(integers);
        self.patches.clear();
        self.bits.clear();
        match plan.order {
            0 => self.pack(plan, integers, |_, now, _| now - first),
            1 => self.pack(plan, integers, |before, now, _| now - before),
            _ => self.pack(plan, integers, |before, now, delta| now - before - delta),
        }
        self.bits.finish();
        varint::put_signed(out, first);
        varint::put(out, plan.factor as u64);
        varint::put_signed(out, plan.offset);
        out.push(plan.order << ORDER_SHIFT | plan.width as u8);
        varint::put(out, self.patches.bytes.len() as u64);
        out.extend_from_slice(&self.patches.bytes);
        out.extend_from_slice(&self.bits.bytes);
        true
    }

    fn pack(&mut self, plan: Plan, integers: &[i64], difference: impl Fn(i64, i64, i64) -> i64) {
        let mask = (1 << plan.width) - 1;
        let mut delta = 0;
        for (index, pair) in integers.windows(2).enumerate() {
            let mut units = difference(pair[0], pair[1], delta);
            delta = pair[1] - pair[0];
            if plan.factor > 1 {
                units /= plan.factor;
            }
            let above = units - plan.offset;
            if above >> plan.width != 0 {
                self.patches.put(index, above >> plan.width);
            }
            self.bits.put((above & mask) as u64, plan.width);
        }
    }

    /// The order, window and factor that seem to take least, judged by some of the differences.
    fn plan(&mut self, integers: &[i64]) -> Plan {
        let factor = common_factor(integers);
        let n = integers.len() - 1;
        let n_sampled = n.min(SAMPLE);
        let mut best = (usize::MAX, Plan { order: 1, factor, offset: 0, width: 0 });
        for order in 0..=2 {
            self.sample.clear();
            self.sample.extend((0..n_sampled).map(|i| {
                let at = 1 + i * n / n_sampled;
                let before = integers[at] - integers[at - 1];
                let units = match order {
                    0 => integers[at] - integers[0],
                    1 => before,
                    _ if at == 1 => before,
                    _ => before - (integers[at - 1] - integers[at - 2]),
                };
                units / factor
            }));
            self.sample.sort_unstable();
            let (bits, offset, width) = window(&self.sample, factor);
            if bits < best.0 {
                best = (bits, Plan { order, factor, offset, width });
            }
        }
        best.1
    }
}

/// The greatest common divisor of all differences; 1 where all are the same.
fn common_factor(integers: &[i64]) -> i64 {
    let mut factor = 0;
    for pair in integers.windows(2) {
        let difference = pair[1].abs_diff(pair[0]);
        if difference == 0 || factor != 0 && difference % factor == 0 {
            continue;
        }
        factor = gcd(difference, factor);
        if factor == 1 {
            return 1;
        }
    }
    factor.max(1) as i64
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The window that these differences, which ascend, fit into with the fewest bits, patches included: how many those
/// are, where it begins, and its width.
fn window(sorted: &[i64], factor: i64) -> (usize, i64, u32) {
    let n = sorted.len();
    let width_of = |range: i64| 64 - range.leading_zeros();
    let whole = width_of(sorted[n - 1] - sorted[0]);
    let narrowest = width_of(sorted[n * 3 / 4] - sorted[n / 4]).saturating_sub(2);
    let mut best = (usize::MAX, sorted[0], 0);
    for width in narrowest..=whole.min(narrowest + WIDTHS_TRIED).min(WIDTH_MAX) {
        if factor.saturating_mul(1 << width) > WINDOW_MAX {
            break;
        }
        // The place where a window of that width holds most.
        let (mut start, mut covered, mut offset) = (0, 0, sorted[0]);
        for end in 0..n {
            while (sorted[end] - sorted[start]) >> width != 0 {
                start += 1;
            }
            if end + 1 - start > covered {
                (covered, offset) = (end + 1 - start, sorted[start]);
            }
        }
        let bits = n * width as usize + (n - covered) * PATCH_BITS;
        if bits < best.0 {
            best = (bits, offset, width);
        }
    }
    if best.0 == usize::MAX {
        // Everything is a patch.
        best.0 = n * PATCH_BITS * 2;
    }
    best
}

/// What lies outside of the window: how many differences are between, and how many windows away it is.
#[derive(Debug, Default)]
struct Patches {
    bytes: Vec<u8>,
    /// The first difference that may be the next one.
    next: usize,
}

impl Patches {
    fn clear(&mut self) {
        self.bytes.clear();
        self.next = 0;
    }

    fn put(&mut self, index: usize, high: i64) {
        // Zero windows away would be no patch.
        let away = varint::zigzag(high) - 1;
        varint::put(&mut self.bytes, ((index - self.next) as u64) << NEAR_BITS | away.min(FAR));
        if away >= FAR {
            varint::put(&mut self.bytes, away - FAR);
        }
        self.next = index + 1;
    }
}

/// Bits one after the other, the highest of each byte first, as PostgreSQL's bit strings have them.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u64,
    n_pending: u32,
}

impl Bits {
    fn clear(&mut self) {
        self.bytes.clear();
        (self.pending, self.n_pending) = (0, 0);
    }

    #[inline]
    fn put(&mut self, bits: u64, width: u32) {
        self.pending = self.pending << width | bits;
        self.n_pending += width;
        if self.n_pending >= 32 {
            self.n_pending -= 32;
            let whole = (self.pending >> self.n_pending) as u32;
            self.bytes.extend_from_slice(&whole.to_be_bytes());
        }
    }

    fn finish(&mut self) {
        let last = self.pending << ((64 - self.n_pending) % 64);
        let n_bytes = self.n_pending.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&last.to_be_bytes()[..n_bytes]);
    }
}

/// Reads `n` integers, at least one, and hands them to `sink` in order.
pub fn decode(
    reader: &mut Reader<'_>,
    n: usize,
    mut sink: impl FnMut(i64),
) -> Result<(), CodecError> {
    let first = reader.signed()?;
    let factor = reader.varint()? as i64;
    let offset = reader.signed()?;
    let at = reader.position();
    let shape = reader.byte()?;
    let (order, width) = (shape >> ORDER_SHIFT, u32::from(shape & WIDTH_MASK));
    if order > 2 || width > WIDTH_MAX {
        return Err(CodecError::Malformed { what: "packed integers are of no known shape", at });
    }
    let n_differences = n.saturating_sub(1);
    let patches_len = reader.bounded("the length of the patches", reader.len_left())?;
    let patches = Reader::new(reader.take(patches_len)?);
    let bytes = reader.take((n_differences * width as usize).div_ceil(8))?;
    let packed = Packed { bytes, width, patches, offset, factor, n: n_differences };
    sink(first);
    let (mut integer, mut delta) = (first, 0i64);
    match order {
        0 => packed.each(|difference| sink(first.wrapping_add(difference))),
        1 => packed.each(|difference| {
            integer = integer.wrapping_add(difference);
            sink(integer);
        }),
        _ => packed.each(|difference| {
            delta = delta.wrapping_add(difference);
            integer = integer.wrapping_add(delta);
            sink(integer);
        }),
    }
}

/// Differences as stored.
struct Packed<'a> {
    bytes: &'a [u8],
    width: u32,
    patches: Reader<'a>,
    offset: i64,
    factor: i64,
    n: usize,
}

impl Packed<'_> {
    #[inline]
    fn each(mut self, mut sink: impl FnMut(i64)) -> Result<(), CodecError> {
        let mut at = 0;
        while !self.patches.is_at_end() {
            let patch = self.patches.varint()?;
            let (gap, mut away) = (patch >> NEAR_BITS, patch & FAR);
            if away == FAR {
                away = away.wrapping_add(self.patches.varint()?);
            }
            let bound = (self.n - at) as u64;
            if gap >= bound {
                return Err(CodecError::OutOfBounds {
                    what: "a step to a patch",
                    value: gap,
                    bound,
                });
            }
            let place = at + gap as usize;
            self.run(at, place, 0, &mut sink);
            let high = varint::unzigzag(away.wrapping_add(1)).wrapping_shl(self.width);
            self.run(place, place + 1, high, &mut sink);
            at = place + 1;
        }
        self.run(at, self.n, 0, &mut sink);
        Ok(())
    }

    #[inline]
    fn run(&self, from: usize, to: usize, high: i64, sink: &mut impl FnMut(i64)) {
        let base = self.offset.wrapping_add(high);
        if self.width == 0 {
            return (from..to).for_each(|_| sink(self.factor.wrapping_mul(base)));
        }
        let mask = (1u64 << self.width) - 1;
        let shift = 64 - self.width;
        let mut at = from * self.width as usize;
        for _ in from..to {
            // 31 bits that begin anywhere in a byte lie within eight.
            let window = match self.bytes[at / 8..].first_chunk::<8>() {
                Some(window) => u64::from_be_bytes(*window),
                None => last_bytes(&self.bytes[at / 8..]),
            };
            let bits = (window << (at % 8)) >> shift & mask;
            sink(self.factor.wrapping_mul(base.wrapping_add(bits as i64)));
            at += self.width as usize;
        }
    }
}

/// Less than eight bytes, as if zeros followed.
#[cold]
fn last_bytes(bytes: &[u8]) -> u64 {
    let mut padded = [0; 8];
    padded[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(padded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes, if the integers can be packed; what is packed comes back.
    fn round_trip(integers: &[i64]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        if !Encoder::default().encode(integers, &mut bytes) {
            assert!(bytes.is_empty());
            return None;
        }
        let mut back = Vec::new();
        let mut reader = Reader::new(&bytes);
        decode(&mut reader, integers.len(), |integer| back.push(integer)).unwrap();
        assert!(reader.is_at_end());
        assert_eq!(back, integers);
        for cut in 0..bytes.len() {
            assert!(decode(&mut Reader::new(&bytes[..cut]), integers.len(), |_| {}).is_err());
        }
        Some(bytes)
    }

    /// The stored bytes of known integers. A failure here means that stored data would no longer be read.
    #[test]
    fn goldens() {
        let check = |integers: &[i64], hex: &str| {
            let bytes = round_trip(integers).expect("these can be packed");
            let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(bytes, hex, "{integers:?}");
        };
        // first, factor, offset, order and width, patches, bits
        check(&[5, 5, 5, 5], "0a01000000");
        check(&[0, 8, 24, 40, 56], "000802410070");
        check(&[100, 4196, 4196, -3996, 8292], "c8018020010200a3");
        check(
            &[1, 2, 3, 4, 5, 6, 7, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008],
            "02010240031bbc0f",
        );
    }

    #[test]
    fn what_is_too_large_is_not_packed() {
        let fits = |integers: &[i64]| round_trip(integers).is_some();
        let (large, far) = (MAGNITUDE_MAX as i64, DISTANCE_MAX as i64);
        assert!(fits(&[large, large - 1]) && fits(&[-large, 1 - large]));
        assert!(
            !fits(&[large, large + 1]) && !fits(&[i64::MIN, i64::MIN]) && !fits(&[0, i64::MAX])
        );
        assert!(fits(&[0, far, 0, -far]) && !fits(&[0, far + 1]) && !fits(&[-far, 1]));
    }

    #[test]
    fn a_common_factor_costs_nothing() {
        let pages = |of: i64| -> Vec<i64> { (0..100).map(|i| 7 + i * i % 61 * of).collect() };
        let units = round_trip(&pages(1)).unwrap().len();
        for factor in [2, 512, 4096, 1_000_000, 1 << 40] {
            assert!(round_trip(&pages(factor)).unwrap().len() <= units + 6, "{factor}");
        }
    }

    #[test]
    fn few_changes_cost_a_byte_or_two_each() {
        let mut integers = vec![0i64; 500];
        integers[100..].iter_mut().for_each(|integer| *integer = 50_000);
        integers[200..].iter_mut().for_each(|integer| *integer = 0);
        assert!(round_trip(&integers).unwrap().len() <= 12);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            start in -(1i64 << 53)..1 << 53,
            steps in prop::collection::vec((any::<i64>(), 0u32..64), 1..200),
            factor in 1i64..5000,
        ) {
            let mut integer = start;
            let mut integers = vec![start];
            for (step, bits) in steps {
                integer = integer.wrapping_add((step >> bits).wrapping_mul(factor));
                integers.push(integer);
            }
            round_trip(&integers);
        }

        #[test]
        fn noise_and_jumps_come_back(
            width in 0u32..45,
            noise in prop::collection::vec((any::<u64>(), prop::bool::weighted(0.05)), 2..300),
            grows in any::<bool>(),
        ) {
            let mut sum = 0i64;
            let integers: Vec<i64> = noise
                .iter()
                .map(|(bits, jumps)| {
                    let value = (bits >> (63 - width)) as i64 >> if *jumps { 0 } else { width / 2 };
                    sum = if grows { (sum + value) % (1 << 48) } else { value };
                    sum
                })
                .collect();
            prop_assert!(round_trip(&integers).is_some());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), n in 1usize..200) {
            let _ = decode(&mut Reader::new(&bytes), n, |_| {});
        }
    }
}
