//! Target `sst_reader`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb_tests::fuzz::sst_reader(data));
