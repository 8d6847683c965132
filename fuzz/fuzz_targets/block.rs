//! See `fuzz::block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::block::target(data));
