//! The protobuf wire format, read in place: <https://protobuf.dev/programming-guides/encoding/>.

/// Bytes that are no valid message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    #[error("the message ends early")]
    Truncated,
    #[error("a varint is longer than ten bytes")]
    VarintTooLong,
    #[error("field {field} has wire type {wire_type}, which does not fit")]
    WrongType { field: u32, wire_type: u8 },
    #[error("a field has the number 0 or one beyond 2^29")]
    BadFieldNumber,
    #[error("groups are nested too deep")]
    TooDeep,
    /// Not a fault of the bytes: whoever reads them does not want so many.
    #[error("the request holds more than {limit} of a kind: {what:?}")]
    TooMany { what: Element, limit: usize },
}

/// What a walk gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Sample,
    Histogram,
    Exemplar,
    Symbol,
}

/// As deep as prost follows.
const GROUP_DEPTH_MAX: u32 = 100;

pub(super) const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a>(pub(crate) &'a [u8]);

impl<'a> Wire<'a> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        match self.0 {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline]
    fn long_varint(&mut self) -> Result<u64, WireError> {
        // Eight bytes at once: a timestamp in milliseconds takes six.
        let (first, last) = match (self.0.first_chunk::<8>(), self.0.len()) {
            (Some(word), _) => (u64::from_le_bytes(*word), 0),
            // Two halves that overlap; what is behind the end looks like more of the varint.
            (None, len @ 4..) => {
                let half = |at: usize| {
                    let bytes = self.0[at..].first_chunk::<4>().copied().unwrap_or_default();
                    u64::from(u32::from_le_bytes(bytes))
                };
                let bits = 8 * len as u32;
                (half(0) | half(len - 4) << (bits - 32), u64::MAX << bits)
            }
            _ => return self.any_varint(),
        };
        let word = first | last;
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.any_varint();
        }
        let n_bits = ends.trailing_zeros() + 1;
        self.0 = &self.0[n_bits as usize / 8..];
        Ok(without_high_bits(word & (u64::MAX >> (64 - n_bits))))
    }

    #[cold]
    fn any_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    return Err(WireError::VarintTooLong);
                }
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 { WireError::Truncated } else { WireError::VarintTooLong })
    }

    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The field number and the wire type of the next field.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<(u32, u8), WireError> {
        let key = self.varint()?;
        let field = u32::try_from(key >> 3).ok().filter(|field| (1..1 << 29).contains(field));
        Ok((field.ok_or(WireError::BadFieldNumber)?, (key & 7) as u8))
    }

    /// The contents of a length-delimited field whose key was just read.
    #[inline]
    pub(crate) fn len_delimited(
        &mut self,
        field: u32,
        wire_type: u8,
    ) -> Result<&'a [u8], WireError> {
        if wire_type != LEN {
            return Err(WireError::WrongType { field, wire_type });
        }
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        self.take(length)
    }

    /// The contents of the next field if its key is this byte and it is shorter than 128 bytes, and whole.
    #[inline]
    pub(super) fn short_field(&mut self, key: u8) -> Option<&'a [u8]> {
        let [first, length, rest @ ..] = self.0 else { return None };
        if *first != key || *length >= 0x80 {
            return None;
        }
        let (content, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some(content)
    }

    #[inline]
    pub(crate) fn double(&mut self, field: u32, wire_type: u8) -> Result<f64, WireError> {
        if wire_type != FIXED64 {
            return Err(WireError::WrongType { field, wire_type });
        }
        let bytes = self.take(8)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes.try_into().expect("eight were taken"))))
    }

    #[inline]
    pub(crate) fn int64(&mut self, field: u32, wire_type: u8) -> Result<i64, WireError> {
        if wire_type != VARINT {
            return Err(WireError::WrongType { field, wire_type });
        }
        Ok(self.varint()? as i64)
    }

    /// Steps over an unknown field.
    #[inline]
    pub(crate) fn skip(&mut self, field: u32, wire_type: u8) -> Result<(), WireError> {
        self.skip_nested(field, wire_type, GROUP_DEPTH_MAX)
    }

    fn skip_nested(&mut self, field: u32, wire_type: u8, depth: u32) -> Result<(), WireError> {
        match wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.take(8).map(drop),
            LEN => self.len_delimited(field, wire_type).map(drop),
            FIXED32 => self.take(4).map(drop),
            GROUP_START => {
                let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
                loop {
                    let (inner, inner_type) = self.key()?;
                    if inner_type == GROUP_END {
                        if inner != field {
                            return Err(WireError::WrongType {
                                field: inner,
                                wire_type: inner_type,
                            });
                        }
                        return Ok(());
                    }
                    self.skip_nested(inner, inner_type, depth)?;
                }
            }
            _ => Err(WireError::WrongType { field, wire_type }),
        }
    }
}

/// Moves the low seven bits of each byte together.
#[inline]
fn without_high_bits(word: u64) -> u64 {
    let sevens = word & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (sevens & 0x007f_007f_007f_007f) | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    (fours & 0x0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_with_anything_behind_them() {
        let mut values: Vec<u64> = (0..64).flat_map(|n| [1 << n, (1 << n) - 1, !0 >> n]).collect();
        values.extend([1_800_000_000_123, -1_i64 as u64, i64::MIN as u64]);
        for value in values {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(value, &mut bytes);
            let length = bytes.len();
            for behind in [&[][..], &[0; 9], &[0xff; 9], &[0x80, 1]] {
                bytes.truncate(length);
                bytes.extend_from_slice(behind);
                let mut wire = Wire(&bytes);
                assert_eq!(wire.varint(), Ok(value), "{bytes:x?}");
                assert_eq!(wire.0, behind, "{bytes:x?}");
            }
            for end in 0..length {
                assert_eq!(Wire(&bytes[..end]).varint(), Err(WireError::Truncated));
            }
        }
        assert_eq!(Wire(&[0xff; 12]).varint(), Err(WireError::VarintTooLong));
        let too_large = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2];
        assert_eq!(Wire(&too_large).varint(), Err(WireError::VarintTooLong));
        // Longer than it need be.
        assert_eq!(Wire(&[0x80, 0x80, 0]).varint(), Ok(0));
    }
}
