//! Target `otlp_json`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb_tests::fuzz::otlp_json(data));
