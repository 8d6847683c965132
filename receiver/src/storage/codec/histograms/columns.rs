//! One column of a chunk: the same count of one histogram after the other.

use crate::storage::codec::{
    CodecError, values,
    varint::{self, Reader},
};

const KIND_CONSTANT: u8 = 0;
const KIND_DELTA: u8 = 1;
const KIND_DELTA_OF_DELTA: u8 = 2;

/// Reusable memory of the encoder.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    values: values::Encoder,
    pub(super) integers: Vec<i64>,
    pub(super) floats: Vec<f64>,
}

impl Encoder {
    /// Appends `self.floats`, which are not empty, as a chunk of floats.
    pub(super) fn put_floats(&mut self, out: &mut Vec<u8>) {
        self.values.encode(&self.floats, out);
    }

    /// Appends `self.integers`, which are not empty. All 64 bits count, so sums and differences wrap.
    pub(super) fn put_integers(&self, out: &mut Vec<u8>) {
        let first = self.integers[0];
        if self.integers.len() == 1 {
            return varint::put_signed(out, first);
        }
        let kind = kind_of(&self.integers);
        out.push(kind);
        varint::put_signed(out, first);
        if kind == KIND_CONSTANT {
            return;
        }
        let mut delta: i64 = 0;
        for pair in self.integers.windows(2) {
            let next = pair[1].wrapping_sub(pair[0]);
            varint::put_signed(
                out,
                if kind == KIND_DELTA { next } else { next.wrapping_sub(delta) },
            );
            delta = next;
        }
    }
}

fn kind_of(integers: &[i64]) -> u8 {
    let (mut delta_bytes, mut second_bytes) = (0, 0);
    let (mut delta, mut changes, mut wraps): (i64, bool, bool) = (0, false, false);
    for pair in integers.windows(2) {
        let next = pair[1].wrapping_sub(pair[0]);
        let (second, is_wrapped) = next.overflowing_sub(delta);
        changes |= next != 0;
        wraps |= is_wrapped;
        delta_bytes += cost(next);
        second_bytes += cost(second);
        delta = next;
    }
    match changes {
        false => KIND_CONSTANT,
        // SQL's arithmetic does not wrap; ingested counts are such that their differences do not either.
        true if second_bytes < delta_bytes && !wraps => KIND_DELTA_OF_DELTA,
        true => KIND_DELTA,
    }
}

/// Eighths of bytes, and a little for what is not zero: zeros pack best.
fn cost(value: i64) -> u64 {
    let zigzag = varint::zigzag(value);
    u64::from(8 * (1 + (63 - (zigzag | 1).leading_zeros()) / 7)) + u64::from(zigzag != 0)
}

/// Appends `n` integers, at least one, to `out`.
pub(super) fn integers(
    reader: &mut Reader<'_>,
    n: usize,
    out: &mut Vec<i64>,
) -> Result<(), CodecError> {
    if n == 1 {
        out.push(reader.signed()?);
        return Ok(());
    }
    let at = reader.position();
    let kind = reader.byte()?;
    let mut value = reader.signed()?;
    out.push(value);
    let mut delta: i64 = 0;
    match kind {
        KIND_CONSTANT => out.resize(out.len() + n - 1, value),
        KIND_DELTA | KIND_DELTA_OF_DELTA => {
            for _ in 1..n {
                let step = reader.signed()?;
                delta = if kind == KIND_DELTA { step } else { delta.wrapping_add(step) };
                value = value.wrapping_add(delta);
                out.push(value);
            }
        }
        _ => return Err(CodecError::Malformed { what: "a column is of no known kind", at }),
    }
    Ok(())
}

/// Appends `n` floats, at least one, to `out`.
pub(super) fn floats(
    reader: &mut Reader<'_>,
    n: usize,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    values::decode(reader, n, out)
}
