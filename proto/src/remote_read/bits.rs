//! Writing bit by bit, and the variable-length integers of chunks.

/// Bits, the highest of a byte first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Of the last byte, how many bits are free.
    n_free: u32,
}

impl Bits {
    /// Behind bytes that are whole.
    pub(super) fn behind(bytes: Vec<u8>) -> Self {
        Self { bytes, n_free: 0 }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The lowest `n` bits of a value.
    pub(super) fn put(&mut self, value: u64, n: u32) {
        let mut left = n;
        while left > 0 {
            if self.n_free == 0 {
                self.bytes.push(0);
                self.n_free = 8;
            }
            let now = left.min(self.n_free);
            let part = (value >> (left - now)) & ((1 << now) - 1);
            let last = self.bytes.last_mut().expect("there is a free bit in it");
            *last |= (part as u8) << (self.n_free - now);
            self.n_free -= now;
            left -= now;
        }
    }

    pub(super) fn put_bit(&mut self, bit: bool) {
        self.put(u64::from(bit), 1);
    }

    pub(super) fn put_float(&mut self, value: f64) {
        self.put(value.to_bits(), 64);
    }

    /// In bytes of seven bits, as protobuf writes them, wherever the byte begins.
    pub(super) fn put_uvarint(&mut self, value: u64) {
        let mut bytes = Vec::new();
        put_uvarint(value, &mut bytes);
        for byte in bytes {
            self.put(u64::from(byte), 8);
        }
    }

    /// The same with the sign in the lowest bit.
    pub(super) fn put_varint(&mut self, value: i64) {
        self.put_uvarint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Prometheus' own: a prefix of ones says how many bits follow.
    pub(super) fn put_varbit(&mut self, value: i64) {
        if value == 0 {
            return self.put_bit(false);
        }
        for (prefix, n) in VARBIT_SIZES {
            if fits(value, n) {
                // A prefix of so many ones and a zero.
                self.put((1 << (prefix + 1)) - 2, prefix + 1);
                return self.put(value as u64, n);
            }
        }
        self.put(0xff, 8);
        self.put(value as u64, 64);
    }

    /// The same without a sign.
    pub(super) fn put_varbit_unsigned(&mut self, value: u64) {
        if value == 0 {
            return self.put_bit(false);
        }
        for (prefix, n) in VARBIT_SIZES {
            if value >> n == 0 {
                self.put((1 << (prefix + 1)) - 2, prefix + 1);
                return self.put(value, n);
            }
        }
        self.put(0xff, 8);
        self.put(value, 64);
    }
}

/// Ones in the prefix, and bits behind it.
const VARBIT_SIZES: [(u32, u32); 7] = [(1, 3), (2, 6), (3, 9), (4, 12), (5, 18), (6, 25), (7, 56)];

/// Whether a number can be told by so many bits: one more above zero than below.
pub(super) fn fits(value: i64, n: u32) -> bool {
    let half = 1_i64 << (n - 1);
    -(half - 1) <= value && value <= half
}

pub(super) fn put_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Bits)) -> Vec<u8> {
        let mut bits = Bits::default();
        write(&mut bits);
        bits.into_bytes()
    }

    #[test]
    fn bits_fill_bytes_from_the_top() {
        assert_eq!(written(|bits| bits.put(0b101, 3)), [0b1010_0000]);
        let mixed = written(|bits| {
            bits.put_bit(true);
            bits.put(0xabc, 12);
            bits.put(u64::MAX, 64);
        });
        assert_eq!(mixed[..2], [0b1101_0101, 0b1110_0111]);
        assert_eq!(mixed.len(), 10);
        assert_eq!(written(|bits| bits.put_varint(-3)), [5]);
        assert_eq!(written(|bits| bits.put_uvarint(300)), [0xac, 2]);
    }

    #[test]
    fn varbits() {
        let check = |value: i64, expected: &[u8]| {
            assert_eq!(written(|bits| bits.put_varbit(value)), expected, "{value}");
        };
        check(0, &[0]);
        check(1, &[0b1000_1000]);
        check(4, &[0b1010_0000]);
        check(-3, &[0b1010_1000]);
        check(5, &[0b1100_0010, 0b1000_0000]);
        check(i64::MIN, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(written(|bits| bits.put_varbit_unsigned(7)), [0b1011_1000]);
    }
}
