//! Target `line_protocol`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb_tests::fuzz::line_protocol(data));
