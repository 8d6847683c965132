//! LEB128 varints and zigzag, as protobuf has them: <https://protobuf.dev/programming-guides/encoding/#varints>.

use super::CodecError;

/// Appends an unsigned varint: seven bits a byte, lowest first.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed varint, small magnitudes short.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// How many bytes [`put`] appends.
#[inline]
pub fn len(value: u64) -> usize {
    1 + (63 - (value | 1).leading_zeros() as usize) / 7
}

/// 0, −1, 1, −2 → 0, 1, 2, 3.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The bit that says that more follows, in each of eight bytes.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Eight times seven bits, each in a byte, side by side.
#[inline]
fn squeeze(bytes: u64) -> u64 {
    let pairs = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// Reads front to back; running out of bytes is an error, never a panic.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left: a bound for what is counted in them.
    pub fn len_left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(self.at).ok_or(CodecError::Truncated { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(CodecError::Truncated { at: self.at })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Eight bytes, lowest first.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, CodecError> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight were taken")))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, CodecError> {
        // Most varints here are one byte.
        if let Some(byte) = self.bytes.get(self.at)
            && *byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, CodecError> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::VarintTooLong { at: start })
    }

    #[inline]
    pub fn signed(&mut self) -> Result<i64, CodecError> {
        self.varint().map(unzigzag)
    }

    /// Hands `n` signed varints to `sink`. Nearly all are short: eight bytes are looked at together, without a branch on how
    /// long each is.
    #[inline]
    pub fn each_signed(&mut self, n: usize, mut sink: impl FnMut(i64)) -> Result<(), CodecError> {
        let mut left = n;
        while left > 0 {
            let Some(window) = self.bytes[self.at..].first_chunk::<8>() else { break };
            let word = u64::from_le_bytes(*window);
            // The last byte of a varint has no high bit.
            let ends = !word & HIGH_BITS;
            if ends == HIGH_BITS && left >= 8 {
                for byte in window {
                    sink(unzigzag(u64::from(*byte)));
                }
                self.at += 8;
                left -= 8;
                continue;
            }
            if ends == 0 {
                sink(unzigzag(self.long_varint()?));
            } else {
                let n_bits = ends.trailing_zeros() + 1;
                sink(unzigzag(squeeze(word & (u64::MAX >> (64 - n_bits)) & !HIGH_BITS)));
                self.at += (n_bits / 8) as usize;
            }
            left -= 1;
        }
        for _ in 0..left {
            sink(self.signed()?);
        }
        Ok(())
    }

    /// Steps over `n` varints, whatever they say, eight bytes at a time.
    pub fn skip_varints(&mut self, n: usize) -> Result<(), CodecError> {
        let mut left = n;
        while let Some(window) = self.bytes[self.at..].first_chunk::<8>() {
            let ends = (!u64::from_le_bytes(*window) & HIGH_BITS).count_ones() as usize;
            // The last ones are stepped over one by one: the next thing may begin within these bytes.
            if ends >= left {
                break;
            }
            self.at += 8;
            left -= ends;
        }
        for _ in 0..left {
            while self.byte()? & 0x80 != 0 {}
        }
        Ok(())
    }

    /// How many bytes are left.
    pub fn n_left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A count or length that is checked against a bound before anything is allocated for it.
    #[inline]
    pub fn bounded(&mut self, what: &'static str, bound: usize) -> Result<usize, CodecError> {
        let value = self.varint()?;
        if value > bound as u64 {
            return Err(CodecError::OutOfBounds { what, value, bound: bound as u64 });
        }
        Ok(value as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_at_the_edges() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX]
        {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.is_at_end());
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn many_at_once_are_as_one_by_one() {
        let edges = (0..64).flat_map(|bits| [(1i64 << bits).wrapping_sub(1), 1i64 << bits]);
        let short = (0..40).map(|at| at % 60 - 30);
        let all: Vec<i64> =
            edges.flat_map(|value| [value, -1, value.wrapping_neg()]).chain(short).collect();
        let mut bytes = Vec::new();
        all.iter().for_each(|value| put_signed(&mut bytes, *value));
        for n in 0..all.len() {
            let mut seen = Vec::new();
            let mut reader = Reader::new(&bytes);
            reader.each_signed(n, |value| seen.push(value)).unwrap();
            assert_eq!(seen, all[..n]);
            let mut skipping = Reader::new(&bytes);
            skipping.skip_varints(n).unwrap();
            assert_eq!(skipping.position(), reader.position());
            if let Some(next) = all.get(n) {
                assert_eq!(reader.signed(), Ok(*next));
            }
        }
        for cut in 0..bytes.len() {
            assert!(Reader::new(&bytes[..cut]).each_signed(all.len(), |_| {}).is_err());
            assert!(Reader::new(&bytes[..cut]).skip_varints(all.len()).is_err());
        }
        assert!(Reader::new(&[0xff; 30]).each_signed(1, |_| {}).is_err());
    }

    #[test]
    fn damage_is_an_error() {
        assert_eq!(Reader::new(&[]).varint(), Err(CodecError::Truncated { at: 0 }));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(CodecError::Truncated { at: 1 }));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(CodecError::VarintTooLong { at: 0 }));
        assert!(Reader::new(&[0x05]).bounded("series", 4).is_err());
        assert!(Reader::new(&[1, 2]).fixed64().is_err());
    }
}
