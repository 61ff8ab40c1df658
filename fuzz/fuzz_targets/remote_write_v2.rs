//! Target `remote_write_v2`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb_tests::fuzz::remote_write_v2(data));
