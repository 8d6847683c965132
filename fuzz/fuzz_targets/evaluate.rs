//! See `fuzz::evaluate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::evaluate::target(data));
