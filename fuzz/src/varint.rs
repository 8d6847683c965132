//! Varints: any bytes, and every number found in them again.

use receiver::storage::codec::varint::{Reader, put, put_signed};

pub fn target(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut numbers = Vec::new();
    while let Ok(number) = reader.varint() {
        numbers.push(number);
    }
    let mut bytes = Vec::new();
    for number in &numbers {
        put(&mut bytes, *number);
        put_signed(&mut bytes, *number as i64);
    }
    let mut reader = Reader::new(&bytes);
    for number in &numbers {
        assert_eq!(reader.varint().as_ref(), Ok(number));
        assert_eq!(reader.signed(), Ok(*number as i64));
    }
    assert!(reader.is_at_end());
}
