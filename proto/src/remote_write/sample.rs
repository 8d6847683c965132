//! Samples of both versions, written by hand because of one bit.
//!
//! Generated code leaves out a field that *equals* its default, and −0 equals 0, so that the sign would be lost on the
//! wire. These leave out only what has all bits clear, as the implementations in Go and C++ do.

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut},
    encoding::{DecodeContext, WireType, double, int64, skip_field},
};

/// `prometheus.Sample` of remote write 1.0 and remote read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct One {
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// `io.prometheus.write.v2.Sample` of remote write 2.0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Two {
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// When the counter started, in milliseconds since the Unix epoch; 0 where unknown.
    pub start_timestamp: i64,
}

impl Message for One {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        write_double(1, self.value, buf);
        write_int64(2, self.timestamp, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => double::merge(wire_type, &mut self.value, buf, ctx),
            2 => int64::merge(wire_type, &mut self.timestamp, buf, ctx),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        double_len(1, self.value) + int64_len(2, self.timestamp)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Message for Two {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        write_double(1, self.value, buf);
        write_int64(2, self.timestamp, buf);
        write_int64(3, self.start_timestamp, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => double::merge(wire_type, &mut self.value, buf, ctx),
            2 => int64::merge(wire_type, &mut self.timestamp, buf, ctx),
            3 => int64::merge(wire_type, &mut self.start_timestamp, buf, ctx),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        double_len(1, self.value)
            + int64_len(2, self.timestamp)
            + int64_len(3, self.start_timestamp)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn write_double(tag: u32, value: f64, buf: &mut impl BufMut) {
    if value.to_bits() != 0 {
        double::encode(tag, &value, buf);
    }
}

fn double_len(tag: u32, value: f64) -> usize {
    if value.to_bits() == 0 { 0 } else { double::encoded_len(tag, &value) }
}

fn write_int64(tag: u32, value: i64, buf: &mut impl BufMut) {
    if value != 0 {
        int64::encode(tag, &value, buf);
    }
}

fn int64_len(tag: u32, value: i64) -> usize {
    if value == 0 { 0 } else { int64::encoded_len(tag, &value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote_write::{STALE_MARKER_BITS, v1, v2};

    /// What generated code has of it, for comparing.
    #[derive(Clone, Copy, PartialEq, Message)]
    struct Generated {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
        #[prost(int64, tag = "3")]
        start_timestamp: i64,
    }

    const VALUES: [u64; 8] = [
        0,
        1 << 63,
        1,
        STALE_MARKER_BITS,
        0x7ff8_0000_0000_0001,
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
        0x3ff8_0000_0000_0000,
    ];
    const TIMES: [i64; 5] = [0, 1, -1, 1_800_000_000_123, i64::MIN];

    #[test]
    fn all_bits_survive() {
        for bits in VALUES {
            let value = f64::from_bits(bits);
            for timestamp in TIMES {
                let samples = vec![One { value, timestamp }];
                let request = v1::WriteRequest {
                    timeseries: vec![v1::TimeSeries { samples, ..v1::TimeSeries::default() }],
                    ..v1::WriteRequest::default()
                };
                let read = v1::WriteRequest::decode(request.encode_to_vec().as_slice()).unwrap();
                let sample = read.timeseries[0].samples[0];
                assert_eq!((sample.value.to_bits(), sample.timestamp), (bits, timestamp));

                let samples = vec![Two { value, timestamp, start_timestamp: timestamp }];
                let request = v2::Request {
                    timeseries: vec![v2::TimeSeries { samples, ..v2::TimeSeries::default() }],
                    ..v2::Request::default()
                };
                let read = v2::Request::decode(request.encode_to_vec().as_slice()).unwrap();
                let sample = read.timeseries[0].samples[0];
                assert_eq!((sample.value.to_bits(), sample.timestamp), (bits, timestamp));
                assert_eq!(sample.start_timestamp, timestamp);
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_generated_code_but_for_the_sign() {
        for bits in VALUES.into_iter().filter(|bits| *bits != 1 << 63) {
            for timestamp in TIMES {
                let value = f64::from_bits(bits);
                let two = Two { value, timestamp, start_timestamp: 7 };
                let generated = Generated { value, timestamp, start_timestamp: 7 };
                assert_eq!(two.encode_to_vec(), generated.encode_to_vec());
                assert_eq!(two.encoded_len(), generated.encoded_len());
                let one = One { value, timestamp };
                let generated = Generated { value, timestamp, start_timestamp: 0 };
                assert_eq!(one.encode_to_vec(), generated.encode_to_vec());
                assert_eq!(one.encoded_len(), generated.encoded_len());
            }
        }
        let minus = One { value: -0.0, timestamp: 0 };
        assert_eq!(minus.encode_to_vec(), [0x09, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    }

    #[test]
    fn unknown_fields_are_skipped_and_the_last_of_a_field_counts() {
        // value 1.0, field 9 as a text, timestamp 5, timestamp 6.
        let bytes = [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x4a, 2, b'a', b'b', 0x10, 5, 0x10, 6];
        assert_eq!(One::decode(&bytes[..]), Ok(One { value: 1.0, timestamp: 6 }));
        assert!(One::decode(&bytes[..5]).is_err());
        // A text where the value should be.
        assert!(Two::decode(&[0x0a, 0][..]).is_err());
    }
}
