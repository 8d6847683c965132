//! See `fuzz::snappy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::snappy::target(data));
