//! See `fuzz::histograms`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::histograms::target(data));
