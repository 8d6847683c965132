//! See `fuzz::promql`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::promql::target(data));
