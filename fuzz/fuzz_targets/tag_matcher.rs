//! Target `tag_matcher`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb_tests::fuzz::tag_matcher(data));
