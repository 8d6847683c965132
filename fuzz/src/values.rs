//! Chunks of floats: any bytes read or skipped; and any floats, bit for bit.

use receiver::storage::codec::{
    values::{Encoder, decode, skip},
    varint::Reader,
};

/// The first byte says how many values the chunk is to hold.
pub fn target(data: &[u8]) {
    let Some((n, bytes)) = data.split_first() else { return };
    let n = usize::from(*n).max(1);
    let mut values = Vec::new();
    let (mut reader, mut skipper) = (Reader::new(bytes), Reader::new(bytes));
    let is_read = decode(&mut reader, n, &mut values).is_ok();
    let is_skipped = skip(&mut skipper, n).is_ok();
    if is_read {
        assert!(is_skipped && skipper.position() == reader.position());
        assert_eq!(values.len(), n);
        round_trip(&values);
    }
    let floats: Vec<f64> = bytes
        .chunks_exact(8)
        .map(|bytes| f64::from_bits(u64::from_le_bytes(bytes.try_into().expect("eight"))))
        .collect();
    round_trip(&floats);
    // Decimals, as metrics are: most bits make no sense.
    let decimals: Vec<f64> = bytes
        .chunks_exact(3)
        .map(|three| {
            f64::from(i16::from_le_bytes([three[0], three[1]]))
                / 10f64.powi(i32::from(three[2] % 17))
        })
        .collect();
    round_trip(&decimals);
}

fn round_trip(values: &[f64]) {
    if values.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    Encoder::default().encode(values, &mut bytes);
    let mut reader = Reader::new(&bytes);
    let mut again = Vec::new();
    decode(&mut reader, values.len(), &mut again).expect("what was written can be read");
    assert!(reader.is_at_end());
    assert!(
        values.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()),
        "{values:?} {again:?}"
    );
}
