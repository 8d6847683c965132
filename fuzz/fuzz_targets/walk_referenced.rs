//! See `fuzz::walk_referenced`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::walk_referenced::target(data));
