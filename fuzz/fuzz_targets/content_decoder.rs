//! Target `content_decoder`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb_tests::fuzz::content_decoder(data));
