//! `limitk` and `limit_ratio`: some of the series, whatever their values.

use super::super::column::Column;
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::operator::{Operator, Series, Vector};
use super::super::scalar::Scalars;
use super::{Aggregation, Groups};
use crate::ast::AggregateOp;
use crate::model::{Annotation, Labels};

pub(super) fn vector<'a>(
    ctx: &Context<'_>,
    aggregation: Aggregation,
    input: Vector<'a>,
    parameter: Scalars,
) -> Result<Vector<'a>, EvalError> {
    let len = aggregation.grid.len;
    if aggregation.op == AggregateOp::LimitRatio {
        for at in 0..len {
            let ratio = parameter.get(at);
            let capped = ratio.clamp(-1.0, 1.0);
            if capped != ratio {
                ctx.annotate(
                    aggregation.parameter_span,
                    Annotation::InvalidRatio { ratio, capped },
                );
            }
        }
        return Ok(Box::new(LimitRatio { input, parameter, next: 0 }));
    }
    let groups = Groups::new(&aggregation, input.series());
    ctx.hold_columns(groups.series.len(), &aggregation.grid)?;
    let taken = vec![vec![0; len]; groups.series.len()];
    Ok(Box::new(LimitK { input, parameter, groups, taken, next: 0 }))
}

/// The first k elements of each group at each time.
struct LimitK<'a> {
    input: Vector<'a>,
    parameter: Scalars,
    groups: Groups,
    taken: Vec<Vec<u64>>,
    next: usize,
}

impl Operator for LimitK<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        let taken = &mut self.taken[self.groups.of[self.next]];
        self.next += 1;
        for at in column.occupied().places() {
            if (taken[at] as f64) < self.parameter.get(at).trunc() {
                taken[at] += 1;
            } else {
                column.unset(at);
            }
        }
        Ok(())
    }
}

/// A share of the series, chosen by their hash: the same ones each time, and a negative share chooses the others.
struct LimitRatio<'a> {
    input: Vector<'a>,
    parameter: Scalars,
    next: usize,
}

impl Operator for LimitRatio<'_> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, ctx: &Context<'_>, column: &mut Column) -> Result<(), EvalError> {
        self.input.next(ctx, column)?;
        let share = share(&self.input.series()[self.next].labels);
        self.next += 1;
        for at in column.occupied().places() {
            let ratio = self.parameter.get(at).clamp(-1.0, 1.0);
            let chosen = if ratio >= 0.0 { share < ratio } else { share >= 1.0 + ratio };
            // A share of zero is nothing, also for a hash of zero.
            if !chosen || ratio == 0.0 {
                column.unset(at);
            }
        }
        Ok(())
    }
}

/// The hash of a label set as a number from 0 to 1; the same hash as in Prometheus, so that the same series are chosen.
fn share(labels: &Labels) -> f64 {
    let mut bytes = Vec::new();
    for label in labels {
        for text in [&label.name, &label.value] {
            // Lengths take one byte, or four where that does not do.
            match u8::try_from(text.len()) {
                Ok(length) if length < 255 => bytes.push(length),
                _ => {
                    bytes.push(255);
                    bytes.extend_from_slice(
                        &u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes()[..3],
                    );
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxh64(&bytes) as f64 / u64::MAX as f64
}

const PRIMES: [u64; 5] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
];

fn xxh64_round(accumulator: u64, input: u64) -> u64 {
    accumulator.wrapping_add(input.wrapping_mul(PRIMES[1])).rotate_left(31).wrapping_mul(PRIMES[0])
}

/// XXH64 with seed 0: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>.
fn xxh64(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
    let mut rest = bytes;
    let mut hash = if bytes.len() >= 32 {
        let mut lanes =
            [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, 0u64.wrapping_sub(PRIMES[0])];
        while rest.len() >= 32 {
            for (lane, chunk) in lanes.iter_mut().zip(rest[..32].chunks_exact(8)) {
                *lane = xxh64_round(*lane, word(chunk));
            }
            rest = &rest[32..];
        }
        let mut hash = 0u64;
        for (lane, bits) in lanes.iter().zip([1, 7, 12, 18]) {
            hash = hash.wrapping_add(lane.rotate_left(bits));
        }
        for lane in lanes {
            hash = (hash ^ xxh64_round(0, lane)).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        }
        hash
    } else {
        PRIMES[4]
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    while rest.len() >= 8 {
        hash ^= xxh64_round(0, word(&rest[..8]));
        hash = hash.rotate_left(27).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        rest = &rest[8..];
    }
    if rest.len() >= 4 {
        let half = u32::from_le_bytes(rest[..4].try_into().expect("four bytes"));
        hash ^= u64::from(half).wrapping_mul(PRIMES[0]);
        hash = hash.rotate_left(23).wrapping_mul(PRIMES[1]).wrapping_add(PRIMES[2]);
        rest = &rest[4..];
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(PRIMES[4]);
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_specified() {
        assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(xxh64(b"abc"), 0x44BC_2CF5_AD77_0999);
        let long = b"Nobody inspects the spammish repetition";
        assert_eq!(xxh64(long), 0xFBCE_A83C_8A37_8BF1);
    }
}
