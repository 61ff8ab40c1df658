//! Target `prometheus_text`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb_tests::fuzz::prometheus_text(data));
